"""Crops out of an LMDB for measuring: decoded in batches of bounded memory, turned when asked, bad ones named."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from rectify.images import check_image, read_image
from train.metrics import normalize
from train.output import complain, progress

Image = NDArray[np.uint8]
Prepare = Callable[[Image, int], Image]
"""What is done to a decoded crop before it is measured, given its number in the LMDB."""

HOLD_OUT = 16
"""Every so many-th photographed word is kept from the trainings: what decoders and confidences are tuned on."""
BATCH_CROPS = 256
BATCH_BYTES = 64 << 20


class Reader(Protocol):
    """What measuring needs of ``data.reader.LmdbReader``; indices run from 0."""

    folder: Path

    def __len__(self) -> int: ...

    def label(self, index: int, /) -> str: ...

    def image_bytes(self, index: int, /) -> bytes: ...

    def geometry(self, index: int, /) -> dict[str, Any] | None: ...

    def ink(self, index: int, /) -> NDArray[np.bool_] | None: ...


class Relabelled:
    """A set with other labels where there are such.

    Args:
        reader: the set.
        texts: labels by number from 1; samples without one keep their own.
    """

    def __init__(self, reader: Reader, texts: Mapping[int, str]) -> None:
        self.folder = reader.folder
        self.image_bytes, self.geometry, self.ink = reader.image_bytes, reader.geometry, reader.ink
        self._reader, self._texts = reader, texts

    def __len__(self) -> int:
        return len(self._reader)

    def label(self, index: int) -> str:
        """The text of sample ``index``, from 0."""
        text = self._texts.get(index + 1)
        return self._reader.label(index) if text is None else text


@dataclass(frozen=True)
class Crop:
    """One sample as it was read. A bad one has an ``error``, no image and, if that was missing, an empty label."""

    number: int
    """In the LMDB, from 1."""
    label: str = ""
    image: Image | None = None
    error: str | None = None


def spread(length: int, count: int) -> list[int]:
    """Up to ``count`` places spread evenly over 0 .. length - 1."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).astype(int)).tolist()


def held_back(reader: Reader, every: int = HOLD_OUT) -> Iterator[Crop]:
    """The samples that the trainings leave out, those whose labels keep nothing excepted; with a progress bar, and bad
    ones named on stderr.

    Args:
        every: 1 for sets that no training sees.
    """
    with progress(reader.folder.name, len(reader)) as bar:
        for index in range(0, len(reader), every):
            bar.update(index - bar.n)
            try:
                label = normalize(reader.label(index))
                crop = Crop(index + 1, label, read_crop(reader, index + 1)) if label else None
            except (ValueError, OSError) as error:
                complain(error)
                continue
            if crop:
                yield crop


def labels(reader: Reader, wanted: Callable[[str], bool]) -> Iterator[Crop]:
    """The samples whose labels are wanted, still without images; one whose label is bad has an error."""
    for index in range(len(reader)):
        try:
            label = reader.label(index)
        except (ValueError, OSError) as error:
            yield Crop(index + 1, error=str(error))
        else:
            if wanted(label):
                yield Crop(index + 1, label)


def read_crop(reader: Reader, number: int, prepare: Prepare | None = None) -> Image:
    """The decoded and prepared image (H, W, 3) uint8 of sample ``number``, from 1.

    Raises:
        ValueError: it is missing or not an image.
    """
    image = read_image(reader.image_bytes(number - 1), name=f"{reader.folder}: image-{number:09d}")
    if prepare is None:
        return image
    image = prepare(image, number)
    try:
        check_image(image)
    except ValueError as error:
        raise ValueError(f"{reader.folder}: image-{number:09d}, turned: {error}") from None
    return image


AnyCrop = TypeVar("AnyCrop", bound=Crop)


def batches(crops: Iterable[AnyCrop]) -> Iterator[list[AnyCrop]]:
    """The crops in lists that stay under ``BATCH_CROPS`` crops, and under ``BATCH_BYTES`` unless one is larger."""
    batch: list[AnyCrop] = []
    size = 0
    for crop in crops:
        pixels = 0 if crop.image is None else crop.image.nbytes
        if batch and (len(batch) == BATCH_CROPS or size + pixels > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(crop)
        size += pixels
    if batch:
        yield batch


def rotated(image: Image, degrees: float) -> Image:
    """The image turned counter-clockwise about its centre, on a canvas that holds all of it.

    Args:
        image: (H, W) or (H, W, C) uint8.
        degrees: any angle.

    Returns:
        uint8; the corners are filled by replicating the border.
    """
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    cosine, sine = np.abs(matrix[0, :2])
    # Less a hair, so that a right angle's rounding error adds no pixel.
    canvas = [math.ceil(side - 1e-6) for side in (width * cosine + height * sine, width * sine + height * cosine)]
    matrix[:, 2] += (canvas[0] - width) / 2, (canvas[1] - height) / 2
    turned = cv2.warpAffine(image, matrix, canvas, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, np.uint8)


def random_rotation(most: float, seed: int) -> Prepare:
    """Turns each crop within ±``most`` degrees, by an angle that depends on (seed, number) alone."""

    def turn(image: Image, number: int) -> Image:
        return rotated(image, np.random.default_rng([seed, number]).uniform(-most, most))

    return turn


def set_names(folders: Sequence[str | os.PathLike[str]]) -> dict[str, Path]:
    """Folders by the name of their set: the folder's own name, with as many parents as tell equal ones apart.

    A folder that is given twice is one set.
    """
    paths = list(dict.fromkeys(Path(os.path.abspath(folder)) for folder in folders))
    return {_shortest_name(path, paths): path for path in paths}


def _shortest_name(path: Path, paths: Sequence[Path]) -> str:
    for count in range(1, len(path.parts)):
        tail = path.parts[-count:]
        if sum(other.parts[-count:] == tail for other in paths) == 1:
            return "/".join(tail)
    return str(path)
