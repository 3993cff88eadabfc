"""Loading batches from one LMDB: this project's, and a plain dataset with a collate function, two workers each.

The plain one is written from the description of deep-text-recognition-benchmark's: keys checked sample by sample at the
start, images decoded by Pillow to grey, resized to 32 x 100 by bicubic interpolation in the collate function, and made
float tensors of -1..1. This project's batches hold the pixels themselves, in colour and full resolution: "recogniser
alone" these and the labels, as a run with rectify=false and losses.alignment=0; "rectify-ocr" also thumbnails and known
control points for the localization network, which the plain one has nothing of.
"""

from __future__ import annotations

import io
import time
from functools import partial

import common
import lmdb
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from data.loader import BatchDataset, Source, View, training_loader


class Plain(Dataset):
    """Grey pictures and labels."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.env: lmdb.Environment | None = None
        env = lmdb.open(folder, readonly=True, lock=False, readahead=False, meminit=False)
        with env.begin() as transaction:
            count = int(transaction.get(b"num-samples"))
            labels = (transaction.get(b"label-%09d" % number) for number in range(1, count + 1))
            self.numbers = [n for n, label in enumerate(labels, 1) if len(label.decode()) <= 25]
        env.close()

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> tuple[Image.Image, str]:
        if self.env is None:
            self.env = lmdb.open(self.folder, readonly=True, lock=False, readahead=False, meminit=False)
        number = self.numbers[index]
        with self.env.begin() as transaction:
            label = transaction.get(b"label-%09d" % number).decode().lower()
            image = Image.open(io.BytesIO(transaction.get(b"image-%09d" % number))).convert("L")
        return image, label


def collate(samples: list[tuple[Image.Image, str]]) -> tuple[torch.Tensor, list[str]]:
    """(N, 1, 32, 100) in -1..1, and the labels."""
    from torchvision.transforms.functional import to_tensor

    tensors = [to_tensor(image.resize((100, 32), Image.BICUBIC)).sub_(0.5).div_(0.5) for image, _ in samples]
    return torch.cat([tensor.unsqueeze(0) for tensor in tensors]), [label for _, label in samples]


def main() -> None:
    parser = common.parser(__doc__, "python benchmarks/loading.py words.lmdb --json loading.json")
    parser.add_argument("lmdb", metavar="LMDB")
    parser.add_argument("--batches", type=int, default=40, help="of 128 samples in a round (default %(default)s)")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    plain = Plain(arguments.lmdb)  # first: LMDB must not be open twice in a process
    samples = 128 * arguments.batches
    source = {"words": Source((arguments.lmdb,))}
    whole = BatchDataset(source, 128, View(7, 7, letters, (96, 32)), 1)
    alone = BatchDataset(source, 128, View(7, 7, letters, None, geometry=False), 1)

    def load(dataset: BatchDataset) -> None:
        for _ in training_loader(dataset, 0, arguments.batches, arguments.workers):
            pass

    def load_plain() -> None:
        # The same ones in each round, as ours: read before, and in memory.
        chosen = torch.randint(len(plain), (samples,), generator=torch.Generator().manual_seed(1)).tolist()
        for _ in DataLoader(plain, 128, sampler=chosen, num_workers=arguments.workers, collate_fn=collate):
            pass

    tasks = {"recogniser alone": partial(load, alone), "rectify-ocr": partial(load, whole), "plain": load_plain}
    seconds = common.interleaved(tasks, arguments.rounds, time.perf_counter)
    per_sample = {name: [1e3 * s / samples for s in values] for name, values in seconds.items()}
    common.report(arguments, "loading", "ms a sample", per_sample, workers=arguments.workers)


if __name__ == "__main__":
    main()
