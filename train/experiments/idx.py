"""Digits from IDX files, the format of MNIST."""

from __future__ import annotations

import gzip
import struct
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

UNSIGNED_BYTES = 0x08
PARTS = {"train": ("train",), "test": ("t10k", "test")}
"""How the names of the files of each part begin."""


class Digits(NamedTuple):
    """Pictures and what they show."""

    images: Tensor
    """(N, 1, H, W) float32 in 0..1, ink is light."""
    labels: Tensor
    """(N,) int64."""


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes, gzipped or not.

    Raises:
        ValueError: not such a file, or shorter or longer than it says.
    """
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != UNSIGNED_BYTES:
        raise ValueError(f"{path}: not an IDX file of unsigned bytes")
    start = 4 + 4 * data[3]
    shape = struct.unpack(f">{data[3]}I", data[4:start])
    if len(data) - start != int(np.prod(shape)):
        raise ValueError(f"{path}: says {shape} but holds {len(data) - start} bytes")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


@lru_cache(maxsize=4)
def load_digits(folder: Path, part: str) -> Digits:
    """The digits of a folder's ``part``, "train" or "test".

    The folder holds files named as MNIST's: train*-images-idx3-ubyte, train*-labels-idx1-ubyte and the same with t10k
    or test, each plain or with .gz.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the files do not hold as many labels as pictures.
    """
    images, labels = (read_idx(_find(folder, part, kind)) for kind in ("images-idx3", "labels-idx1"))
    if images.ndim != 3 or len(images) != len(labels):
        raise ValueError(f"{folder}: {part} has pictures of shape {images.shape} and {len(labels)} labels")
    return Digits(torch.from_numpy(images / np.float32(255))[:, None], torch.from_numpy(labels.astype(np.int64)))


def _find(folder: Path, part: str, kind: str) -> Path:
    for start in PARTS[part]:
        for path in sorted(folder.glob(f"{start}*-{kind}-ubyte*")):
            return path
    raise FileNotFoundError(f"{folder}: no {PARTS[part][0]}*-{kind}-ubyte[.gz]; give a folder of IDX files (--mnist)")
