"""The rectifier at run time: locate the word in a crop, then sample it flat from the full resolution."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rectify.conventions import MARGIN, extent_of, to_pixels
from rectify.engine import Engine, load_engine, pick_config
from rectify.families import ThinPlateSpline
from rectify.images import Image, check_image
from rectify.polygon import NO_MARGIN, Placement, flatten_placement, place_polygons
from rectify.rectified import Rectified
from rectify.shape import frame_size, text_shape, thumbnail
from rectify.warp import warp
from rectify.weights_io import select_weights

if TYPE_CHECKING:
    from torch import nn

REFINE_MARGIN = (0.1, 0.25)
"""What the network sees around a polygon that it is to refine: about as much as around the words it was trained on."""

BATCH = 64
"""Thumbnails in one call of the network."""


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
            flat = warp(image, pixels, self.rows, self.cols, self._thumbnail_size, keep=True)
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

    def rectify_polygon(
        self,
        image: Image,
        polygon: ArrayLike,
        refine: bool = False,
        margin: tuple[float, float] | None = None,
        keep_order: bool = False,
    ) -> Rectified:
        """A straight crop out of a photo, along a polygon as text detectors give it.

        Args:
            image: the photo.
            polygon: (M, 2) points in pixels, counted from the photo's top left corner: a quadrilateral, or an even
                number of points of which the first half runs along one edge of the text and the second half back along
                the other (see ``polygon.text_edges`` for the order).
            refine: let the network look at the straight crop and correct it. The photo is sampled once all the same,
                along both maps together.
            margin: space around the word, see ``Rectifier``. None gives exactly what is in the polygon, and with
                ``refine`` the rectifier's own margin.
            keep_order: trust the order of the points: the first half is the top edge, in reading direction.

        Raises:
            TypeError, ValueError: not an image, or not such a polygon, or one outside of the image.
        """
        return self.rectify_polygons(image, [polygon], refine, margin, keep_order)[0]

    def rectify_polygons(
        self,
        image: Image,
        polygons: Sequence[ArrayLike],
        refine: bool = False,
        margin: tuple[float, float] | None = None,
        keep_order: bool = False,
    ) -> list[Rectified]:
        """Straight crops along many polygons of one photo, see ``rectify_polygon``."""
        placements = place_polygons(image, polygons, keep_order)
        if refine:
            placements = self._refined(image, placements)
        if margin is None:
            margin = self.margin if refine else NO_MARGIN
        return [flatten_placement(image, placement, margin) for placement in placements]

    def _refined(self, image: Image, placements: list[Placement]) -> list[Placement]:
        """Placements corrected by what the network finds in the crops along them."""
        crops = [flatten_placement(image, placement, REFINE_MARGIN).image for placement in placements]
        return [
            placement.refined(points * extent_of(REFINE_MARGIN), self.rows, self.cols)
            for placement, points in zip(placements, self.locate(crops), strict=True)
        ]

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
    """Size (width, height) at which a flat word keeps the resolution of its source, see ``shape.frame_size``."""
    length, height = text_shape(points.astype(np.float64), rows, cols)
    return frame_size(image, length, height, margin)


def _build_network(config: Mapping[str, Any]) -> nn.Module:
    from rectify.network import LocalizationConfig, LocalizationNetwork

    return LocalizationNetwork(pick_config(LocalizationConfig, config))
