"""Trains the network that tells which way up a crop is.

    python -m train.orientation OUT --synthetic LMDB... --real LMDB... [--steps N]

Synthetic words, whose direction is known, and photographed ones, which are taken for upright where no quadrilateral
says more, are turned by random angles. Some synthetic words are set letter above letter: their letters are what is
upright. OUT receives the weights; ``rectify-ocr export OUT DIR`` makes the ONNX file.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from data.augment import Augmentation
from data.loader import Sample, SampleSet, Source
from data.synth.geometry import WordGeometry
from rectify.conventions import Points, grid_points, pixel_centers, to_pixels
from rectify.orientation import THUMBNAIL, view
from rectify.orientation_network import CHANNELS, OrientationNetwork
from train.crops import rotated
from train.weights import SUFFIX, save_network

HOLD_OUT = 16
"""Every n-th photographed word is kept for validation, as in the other trainings."""
REAL_SHARE = 0.4
STACKED_SHARE = 0.1
"""Part of the synthetic words that are set letter above letter."""
UPRIGHT_SHARE = 0.5
"""Part of the words that lie within a few degrees of a quarter turn, as they do in photographs; others at any angle."""
LETTER = (24, 24)
"""(height, largest width) in pixels of a letter above letters."""
UPRIGHT = np.array([[-1.0, 0.0], [1.0, 0.0]])
"""The middle line of a word that fills its crop."""
DESCRIPTION = {"format": 1, "kind": "orientation", "channels": list(CHANNELS), "thumbnail": list(THUMBNAIL)}


class TurnedWords(Dataset[tuple[NDArray[np.uint8], NDArray[np.float32]]]):
    """Batches of turned words: pictures (N, h, w, 3) uint8 and how far each quarter turn is right (N, 4).

    Args:
        real, synthetic: words; of the first, those much higher than wide are left out, as their direction is unknown.
    """

    def __init__(self, real: SampleSet, synthetic: SampleSet, batch_size: int, seed: int, augment: bool = True) -> None:
        self.real, self.synthetic, self.batch_size, self.seed = real, synthetic, batch_size, seed
        self.augment = Augmentation() if augment else None

    def __getitem__(self, step: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        rng = np.random.default_rng([self.seed, step])
        pictures: list[NDArray[np.uint8]] = []
        targets: list[NDArray[np.float32]] = []
        while len(pictures) < self.batch_size:
            words = self.real if rng.random() < REAL_SHARE else self.synthetic
            sample = words.usable(int(rng.integers(len(words))))
            if sample is None or (sample.geometry is None and sample.image.shape[0] > sample.image.shape[1]):
                continue
            picture, target = turned_word(sample, rng, self.augment)
            pictures.append(picture)
            targets.append(target)
        return np.stack(pictures), np.stack(targets)


def turned_word(
    sample: Sample, rng: np.random.Generator, augment: Augmentation | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """What the network sees of a word turned at random, and its target (4,).

    Args:
        augment: for photographs; rendered words come with their own variety.
    """
    degrees = rng.uniform(-180, 180)
    if rng.random() < UPRIGHT_SHARE:
        degrees = 90.0 * int(rng.integers(4)) + rng.normal(0, 6)
    image, ends = sample.image, middle_line(sample)
    if sample.geometry and len(sample.geometry.characters) > 2 and rng.random() < STACKED_SHARE:
        image, ends = stacked(sample.image, sample.geometry), UPRIGHT
    elif augment and sample.geometry is None:
        image, moved = augment(image, rng, ends)
        ends = ends if moved is None else moved
    (x0, y0), (x1, y1) = to_pixels(ends, image.shape[1::-1])
    upwards = -math.degrees(math.atan2(y1 - y0, x1 - x0))
    seen, laid = view(rotated(image, degrees))
    return seen, soft_target(upwards + degrees + 90 * laid)


def middle_line(sample: Sample) -> Points:
    """Both ends (2, 2) of a word's middle line, normalised, from left to right."""
    if sample.geometry:
        return sample.geometry.map(UPRIGHT)
    if sample.outline is None:
        return UPRIGHT
    half = len(sample.outline) // 2
    top, bottom = sample.outline[[0, half - 1]], sample.outline[[-1, half]]
    return np.asarray((top + bottom) / 2)


def stacked(image: NDArray[np.uint8], geometry: WordGeometry) -> NDArray[np.uint8]:
    """A synthetic word (H, W, 3) set letter above letter."""
    height, most = LETTER
    widths = [0.5 * height * geometry.length * (end - start) for start, end in geometry.characters]
    width = round(max(4, min(most, max(widths))))
    letters = []
    for start, end in geometry.characters:
        xs = (start + end) / 2 + max(end - start, 2 * width / (height * geometry.length)) / 2 * pixel_centers(width)
        places = to_pixels(geometry.map(grid_points(xs, 1.1 * pixel_centers(height))), image.shape[1::-1])
        x, y = places.T.reshape(2, height, width).astype(np.float32)
        letters.append(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    return np.concatenate(letters)


def soft_target(degrees: float) -> NDArray[np.float32]:
    """How far each quarter turn (4,) is right for a word turned to the left by so many degrees: the nearest one alone
    up to 35 degrees, from there on shared with the next, and both alike at 45."""
    quarter = math.floor(degrees / 90)
    beyond = min(1.0, max(0.0, (degrees - 90 * quarter - 35) / 20))
    target = np.zeros(4, np.float32)
    target[quarter % 4] += 1 - beyond
    target[(quarter + 1) % 4] += beyond
    return target


def train(out: Path, data: TurnedWords, steps: int, rate: float, bf16: bool = False) -> OrientationNetwork:
    """Train and write the weights into ``out``.

    Args:
        bf16: compute in bfloat16, in half of the time where the processor has it.
    """
    torch.manual_seed(data.seed)
    network = OrientationNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    cv2.setNumThreads(1)  # a worker forked beside OpenCV's threads would wait for them forever
    loader = DataLoader(data, batch_size=None, sampler=range(steps), num_workers=1, prefetch_factor=8)
    bar = tqdm(loader, total=steps, unit="step", disable=None)
    smoothed = 0.0
    for step, (pictures, targets) in enumerate(bar):
        network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = network(pictures.permute(0, 3, 1, 2).float())
        loss = F.cross_entropy(logits.float(), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        smoothed += (loss.item() - smoothed) / min(step + 1, 50)
        bar.set_postfix(loss=smoothed, refresh=False)
    out.mkdir(parents=True, exist_ok=True)
    save_network(out / f"orientation{SUFFIX}", network, DESCRIPTION, torch.float32)
    return network


@torch.no_grad()
def accuracy(network: OrientationNetwork, pictures: Tensor, targets: Tensor) -> float:
    """Percent of the pictures of which the network names the best quarter turn."""
    network.eval()
    found = network(pictures.permute(0, 3, 1, 2).float()).argmax(1)
    return 100 * float((found == targets.argmax(1)).float().mean())


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--synthetic", nargs="+", required=True, metavar="LMDB")
    parser.add_argument("--real", nargs="+", required=True, metavar="LMDB", help="photographed words to train on")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--bf16", action="store_true", help="half of the time where the processor computes in bfloat16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    real, synthetic = Source(tuple(options.real), hold_out=HOLD_OUT), Source(tuple(options.synthetic))
    data = TurnedWords(SampleSet(real), SampleSet(synthetic), options.batch_size, options.seed)
    network = train(options.out, data, options.steps, options.rate, options.bf16)
    kept = SampleSet(real, held_out=True)
    pictures, targets = TurnedWords(kept, kept, 1000, options.seed + 1, augment=False)[0]
    print(f"held-back words, turned: {accuracy(network, torch.from_numpy(pictures), torch.from_numpy(targets)):.1f} %")


if __name__ == "__main__":
    main()
