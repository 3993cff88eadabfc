"""What a set of images has in common, learnt without a label, without even knowing the class.

    python -m train.experiments co-localization --mnist DIR --out DIR

Each set holds images of one digit class. A transformer looks at a window of each image, such that what it sees in one
image is closer to what it sees in the others than to random windows of them: a triplet hinge loss on an encoding. The
encoding is that of a small classifier that was trained on the nine other classes, so it has never met the shared one,
and on windows that miss a digit or cut it, as a class of their own: else any part of a digit would be as good to agree
on as the whole. With two objects in each image one window cannot find both, which is shown as well.

Source: Jaderberg et al., Spatial Transformer Networks, NIPS 2015, appendix, co-localisation.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from rectify.arrays import Array, namespace
from rectify.families import Family
from rectify.families.family import columns, coordinates, joined
from rectify.transformer import Transformer
from train.experiments.clutter import attended_boxes, box_overlap, boxes_at, cluttered, cut, pasted
from train.experiments.distortions import SIDE, placed, uniform
from train.experiments.fit import Batch, Schedule, batches, fit, fit_classes, seeded
from train.experiments.glyphs import drawn_digits
from train.experiments.idx import Digits
from train.experiments.networks import convolutional_localization, small_cnn
from train.experiments.pictures import GREEN, RED, box, marked, picture, save_png, sheet
from train.experiments.runs import Figures, Report, Run, figures_of, finished
from train.output import number, table

KINDS = {"translated": (1, 0), "cluttered": (1, 16), "two objects": (2, 0)}
"""Digits and pieces of clutter in each image."""
AGREED = 0.5
"""Share of the steps over which the windows' agreement comes in. While they look anywhere, black is what two of them
agree on most easily; so they first learn to look where random windows seldom do."""
NEAR = 4
"""Pixels by which a window may be off and still hold a digit; from twice as many it misses it."""
SHOWN = 2
"""Classes of which there is a picture."""
FOUND = 0.5
"""Overlap from which a box counts as found."""


@dataclass(frozen=True)
class Window(Family):
    """A window of fixed size that stays within the image: x' = s·x + (1 - s)·tanh c, y' = s·y + (1 - s)·tanh d.

    Left free it would leave: what all windows see outside is the same.
    """

    scale: float

    parameters = 2

    def identity(self) -> NDArray[np.float64]:
        """The middle of the image; no parameters give the identity unless the scale is 1."""
        return np.zeros(2)

    def transform(self, theta: Array, points: Array) -> Array:
        c, d = columns((1 - self.scale) * namespace(theta).tanh(theta))
        x, y = coordinates(points)
        return joined(self.scale * x + c, self.scale * y + d)


@dataclass(frozen=True)
class Settings:
    """Size of the experiment."""

    schedule: Schedule
    encoder: Schedule
    classes: int = 10
    images: int = 100
    """In each set."""
    side: int = 84
    shrink: int = 4
    """How many times smaller the copy is that the localization network sees."""
    margin: float = 1.0
    tries: int = 3
    """Starts in each set; the one that ends with the lowest loss counts, which needs no truth."""
    train_digits: int | None = None
    width: int = 16
    """Of the encoder."""


FULL = Settings(schedule=Schedule(steps=1000, batch=32, rate=2e-3), encoder=Schedule(steps=300))
QUICK = replace(
    FULL,
    schedule=replace(FULL.schedule, steps=2, batch=8),
    encoder=Schedule(steps=2, batch=16),
    tries=1,
    classes=2,
    images=8,
    train_digits=200,
    width=4,
)


class Shared(NamedTuple):
    """Images that share a class, and where it is."""

    images: Tensor
    """(N, 1, side, side)."""
    boxes: Tensor
    """(N, objects, 4) normalised."""


class Found(NamedTuple):
    """Where a transformer looks in images that have something in common."""

    seen: Tensor
    """Boxes (N, 4) normalised."""
    loss: float
    """Mean of the last tenth of the steps."""


def run(run: Run) -> Report:
    """Learns from all sets and sums up."""
    settings = QUICK if run.quick else FULL
    cells = {str(label): label for label in range(settings.classes)}
    figures = finished(run, settings, cells, train_cell)
    header = ["boxes with IoU over 0.5, %", *map(str, range(settings.classes)), "mean"]
    rows = []
    for kind, (objects, _) in KINDS.items():
        for key, name in (("found", kind), ("either", f"{kind}: either")) if objects > 1 else (("found", kind),):
            shares = [figures[str(label)][kind][key] for label in range(settings.classes)]
            rows.append([name, *(number(share, 0) for share in shares), number(statistics.fmean(shares), 1)])
    markdown = (
        f"{table(header, rows)}\n\nBy the shared class; {settings.images} images in a set, the best of "
        f"{settings.tries} tries by their loss. With two objects the first row counts both, of which one window finds "
        "at most one; the second, images where it found either."
    )
    return Report(figures_of(run, settings, figures), markdown)


def train_cell(run: Run, settings: Settings, label: int) -> Figures:
    """Learns where the objects of one class are in a set of each kind; the share of boxes found."""
    torch.manual_seed(label)
    digits = run.digits("train", settings.train_digits)
    encoder = train_encoder(settings, digits, label)
    figures: Figures = {}
    for kind in KINDS:
        shared = shared_images(settings, digits, kind, label)
        seeds = range(label, label + 100 * settings.tries, 100)
        tries = (find_shared(settings, encoder, shared.images, seed) for seed in seeds)
        seen = min(tries, key=lambda found: found.loss).seen
        overlaps = torch.stack([box_overlap(seen, boxes) for boxes in shared.boxes.unbind(1)], 1)
        found = overlaps > FOUND
        figures[kind] = {
            "found": 100 * float(found.float().mean()),
            "either": 100 * float(found.any(1).float().mean()),
        }
        if label < SHOWN:
            drawn = shared_images(settings, drawn_digits(100), kind, label)
            _save_sheet(run.out / f"{kind.replace(' ', '-')}-{label}.png", drawn, seen)
    return figures


def find_shared(settings: Settings, encoder: nn.Module, images: Tensor, seed: int) -> Found:
    """The windows that a transformer learns to look at in images that have something in common."""
    torch.manual_seed(seed)
    family = Window(SIDE / settings.side)
    localization = convolutional_localization(family, settings.side, shrink=settings.shrink)
    transformer = Transformer(family, localization, (SIDE, SIDE))
    generator = seeded(4000 + seed)
    losses: list[float] = []

    def loss() -> Tensor:
        agreement = min(1.0, len(losses) / (AGREED * settings.schedule.steps))
        chosen = images[torch.randperm(len(images), generator=generator)[: settings.schedule.batch]]
        windows = random_windows(chosen, generator)
        value = triplet_loss(encoder(transformer(chosen).image), encoder(windows), settings.margin, agreement)
        losses.append(value.item())
        return value

    fit(transformer, settings.schedule, loss)
    with torch.no_grad():
        seen = attended_boxes(family, transformer(images).theta)
    return Found(seen, statistics.fmean(losses[-max(1, len(losses) // 10) :]))


def triplet_loss(seen: Tensor, random: Tensor, margin: float, agreement: float = 1.0) -> Tensor:
    """Hinge on triplets: what is seen in two images is to be closer, by the margin, than what is seen in the first one
    and a random window of it.

    Args:
        seen, random: encodings (N, F), one image a row.
        agreement: weight of the distance between what is seen in the two images.

    Returns:
        The mean over all ordered pairs of images.
    """
    between = (seen[:, None] - seen[None]).square().sum(2)
    apart = (seen - random).square().sum(1)[:, None]
    pairs = ~torch.eye(len(seen), dtype=torch.bool)
    return F.relu(agreement * between - apart + margin)[pairs].mean()


def train_encoder(settings: Settings, digits: Digits, left_out: int) -> nn.Module:
    """The features, of length one, of a classifier of all classes but one, in whose place are windows that miss;
    frozen."""
    others = digits.labels != left_out
    network = small_cnn(SIDE, settings.width)
    draw = batches(Digits(digits.images[others], digits.labels[others]), settings.encoder.batch, seeded(left_out))
    generator = seeded(5000 + left_out)

    def moved() -> Batch:
        images, labels = draw()
        places = SIDE * (2 * torch.rand(len(images), 2, generator=generator) - 1)
        held = torch.rand(len(images), generator=generator) < 0.5
        places[held] *= NEAR / SIDE
        missed = places.abs().amax(1) > 2 * NEAR
        scales = uniform(len(images), 0.8, 1.2, generator)
        scenes = cluttered(placed(images, torch.zeros_like(scales), scales, places, SIDE), digits.images, 1, generator)
        return scenes, torch.where(missed, left_out, labels)

    fit_classes(network, settings.encoder, moved)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return nn.Sequential(*list(network)[:-1], _UnitLength())


def shared_images(settings: Settings, digits: Digits, kind: str, label: int) -> Shared:
    """Images that each show the class once or twice, at random places; the same places for whatever digits."""
    objects, pieces = KINDS[kind]
    generator = seeded(6000 + label)
    room = settings.side - SIDE
    places = torch.randint(room + 1, (objects, settings.images, 2), generator=generator)
    if objects == 2:  # in the left and the right quarter of the room, so that no window holds both
        places[0, :, 0] //= 4
        places[1, :, 0] = room - places[1, :, 0] // 4
    members = digits.images[digits.labels == label]
    images = torch.zeros(settings.images, 1, settings.side, settings.side)
    for place in places:
        images = pasted(images, members[torch.randint(len(members), (len(images),), generator=generator)], place)
    images = cluttered(images, digits.images, pieces, generator)
    return Shared(images, boxes_at(places, SIDE, settings.side).transpose(0, 1))


def random_windows(images: Tensor, generator: Generator) -> Tensor:
    """A window (N, 1, 28, 28) of each image (N, 1, S, S), anywhere."""
    places = torch.randint(images.shape[2] - SIDE + 1, (len(images), 2), generator=generator)
    return cut(images, places, SIDE)


class _UnitLength(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return F.normalize(features, dim=1)


def _save_sheet(path: Path, shared: Shared, seen: Tensor) -> None:
    """Images with the objects' boxes green and the window that was found red."""
    pictures = [
        marked(picture(image, 2), [*((box(one), GREEN) for one in boxes), (box(window), RED)])
        for image, boxes, window in zip(shared.images[:16], shared.boxes, seen, strict=False)
    ]
    save_png(path, sheet([pictures[:8], pictures[8:]]))
