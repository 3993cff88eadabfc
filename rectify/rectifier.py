"""The rectifier at run time: locate the word in a crop, then sample it flat from the full resolution."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rectify.conventions import MARGIN, extent_of, to_pixels
from rectify.engine import Engine, load_engine, pick_config
from rectify.families import ThinPlateSpline
from rectify.images import MAX_SIDE, Image, check_image
from rectify.shape import text_shape, thumbnail
from rectify.warp import warp
from rectify.weights_io import select_weights

if TYPE_CHECKING:
    from torch import nn

MAX_ENLARGEMENT = 4
"""A rectified image has at most this many times the pixels of its source."""

BATCH = 64
"""Thumbnails in one call of the network."""


@dataclass(frozen=True, eq=False)
class Rectified:
    """A crop sampled flat."""

    image: Image = field(repr=False)
    """(H, W) or (H, W, C) uint8 as the source was, margin included."""
    control_points: NDArray[np.float32] = field(repr=False)
    """(rows·cols, 2) in pixels of the source."""
    rows: int
    cols: int
    rectified: bool = True
    """False where the crop was left as it is."""


class Rectifier:
    """Flattens crops of a word: curved, slanted, turned or in perspective.

    Images are uint8 arrays, (H, W), (H, W, 1) or (H, W, 3), and results keep their channels; the order RGB is what the
    network was trained on.

    Args:
        weights: a weight file or folder; None takes the shipped ones.
        threads: of the network.
        margin: space around the word in the results, as shares of its length at each end and of its height above and
            below. The default is what this project's recogniser was trained with; other engines may like more.

    Raises:
        FileNotFoundError, ValueError: no weights there, or none of a rectifier.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = None,
        threads: int = 1,
        margin: tuple[float, float] = MARGIN,
    ) -> None:
        extent_of(margin)  # refused before the first picture
        self.margin = margin
        file = select_weights(weights, "rectifier", __file__)
        self._engine: Engine = load_engine(file, threads, _build_network)
        config = self._engine.config
        self.rows = int(config["rows"])
        self.cols = int(config["cols"])
        self._thumbnail_size = (int(config["thumbnail"][0]), int(config["thumbnail"][1]))
        self._passes = int(config.get("passes", 1))

    def locate(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Control points (N, rows·cols, 2) of N crops, normalised (x, y) in each.

        Raises:
            TypeError, ValueError: not images (see ``images.check_image``).
        """
        for image in images:
            check_image(image)
        points = np.empty((len(images), self.rows * self.cols, 2), np.float32)
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH]
            found = self._engine(np.stack([thumbnail(image, self._thumbnail_size) for image in batch]))
            for _ in range(self._passes - 1):
                found = self._look_again(batch, found)
            points[start : start + BATCH] = found
        return points

    def _look_again(self, images: Sequence[Image], points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Control points (N, K, 2) corrected by a look at the words as they are rectified so far."""
        seen = []
        for image, found in zip(images, points, strict=True):
            pixels = to_pixels(found, image.shape[1::-1])
            flat = warp(image, pixels, self.rows, self.cols, self._thumbnail_size)
            seen.append(thumbnail(flat, self._thumbnail_size))
        corrections = self._engine(np.stack(seen))
        spline = ThinPlateSpline(self.rows, self.cols)
        return spline.map(points.reshape(len(points), -1), corrections).astype(np.float32)

    def rectify(self, image: Image, size: tuple[int, int] | None = None) -> Rectified:
        """Flattens one crop.

        Args:
            size: (width, height) of the result; None keeps the resolution of the source.
        """
        return self._flatten(image, self.locate([image])[0], size)

    def __call__(self, images: Sequence[Image]) -> list[Rectified]:
        """Flattens many crops, in their order, each at the resolution of its source."""
        return [self._flatten(image, points, None) for image, points in zip(images, self.locate(images), strict=True)]

    def _flatten(self, image: Image, points: NDArray[np.float32], size: tuple[int, int] | None) -> Rectified:
        points = to_pixels(points, image.shape[1::-1]).astype(np.float32)
        flat = flatten(image, points, self.rows, self.cols, size, self.margin)
        return Rectified(flat, points, self.rows, self.cols)


def flatten(
    image: Image,
    points: NDArray[np.float32],
    rows: int,
    cols: int,
    size: tuple[int, int] | None = None,
    margin: tuple[float, float] = MARGIN,
) -> Image:
    """A crop sampled flat along known control points.

    Args:
        image: (H, W) or (H, W, C) uint8.
        points: (rows·cols, 2) in pixels of the image.
        size: (width, height) of the result; None keeps the resolution of the source.
        margin: space around the word, see ``Rectifier``.
    """
    return warp(image, points, rows, cols, size or natural_size(image, points, rows, cols, margin), extent_of(margin))


def natural_size(
    image: Image, points: NDArray[np.float32], rows: int, cols: int, margin: tuple[float, float] = MARGIN
) -> tuple[int, int]:
    """Size (width, height) at which a flat word, margin included, keeps the resolution of its source.

    At most ``MAX_ENLARGEMENT`` times the pixels of the source, whatever the points are.
    """
    length, height = text_shape(points.astype(np.float64), rows, cols)
    sides = np.array([length * (1 + 2 * margin[0]), height * (1 + 2 * margin[1])])
    largest = MAX_ENLARGEMENT * image.shape[0] * image.shape[1]
    sides *= min(1.0, np.sqrt(largest / max(sides.prod(), 1.0)))
    # A side that is cut to the longest possible, or raised to a pixel, is a degenerate set of points anyway.
    width, height = np.clip(np.rint(sides), 1, min(MAX_SIDE, largest)).astype(int)
    return int(width), int(height)


def _build_network(config: Mapping[str, Any]) -> nn.Module:
    from rectify.network import LocalizationConfig, LocalizationNetwork

    return LocalizationNetwork(pick_config(LocalizationConfig, config))
