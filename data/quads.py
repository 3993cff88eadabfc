"""Where annotators say that photographed words lie: quadrilaterals and polygons, beside a dataset or in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rectify.conventions import TEXT_EXTENT, to_normalized
from rectify.polygon import place_polygon

QUADS = "quads.jsonl"
"""Beside data.mdb, a line of JSON for each crop: ``{"index": number from 1, "size": [w, h], "quad": [[x, y] * 4]}``."""
VERTICAL = 1.5
"""A crop this many times higher than wide holds a vertical word, of whose reading direction a quad says nothing."""


@dataclass(frozen=True, eq=False)
class Quad:
    """The official quadrilateral of a real word."""

    size: tuple[int, int]
    """(width, height) of the crop in which it was drawn."""
    corners: NDArray[np.float64]
    """(4, 2) pixels of ``size``, clockwise from the top left."""

    @property
    def vertical(self) -> bool:
        """Whether the crop holds a vertical word."""
        return _holds_vertical(self.size)

    @property
    def usable(self) -> bool:
        """Whether it says where a word lies and which way it runs: a convex quadrilateral, and not a vertical word."""
        around = np.roll(self.corners, -1, axis=0) - self.corners
        following = np.roll(around, -1, axis=0)
        turns = around[:, 0] * following[:, 1] - around[:, 1] * following[:, 0]
        return not self.vertical and bool((turns > 0).all())

    @classmethod
    def of(cls, geometry: Mapping[str, Any] | None) -> Quad | None:
        """That of a word of a full image, whose geometry ``lmdb build`` stored; None for any other."""
        polygon = _polygon(geometry)
        return cls(*polygon) if polygon and len(polygon[1]) == 4 else None

    def outline(self, samples: int, space: tuple[float, float] = (0.0, 0.0)) -> NDArray[np.float64]:
        """The word's outline in the crop as ``tps.text_outline`` gives it, normalised (2·samples, 2).

        The points lie along the edges as those of a flat word seen in the perspective that makes the quadrilateral.

        Args:
            space: that the quadrilateral leaves around the letters, in text heights, at the ends, and above and below.
        """
        corners = to_normalized(self.corners, self.size)
        square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
        matrix = cv2.getPerspectiveTransform(square, corners.astype(np.float32))
        edges = np.linalg.norm(np.roll(self.corners, -1, axis=0) - self.corners, axis=1)
        around = _around_text(samples, edges[::2].mean(), edges[1::2].mean(), space)
        return cv2.perspectiveTransform(around[None], matrix)[0]


def annotated_outline(
    geometry: Mapping[str, Any] | None, samples: int, space: tuple[float, float] = (0.0, 0.0)
) -> NDArray[np.float64] | None:
    """``Quad.outline`` of a word of a full image with a polygon of any number of points, in reading order.

    Args:
        geometry: as ``lmdb build`` stored it.

    Returns:
        None for any other word, a vertical one, and where the polygon is none along two edges.
    """
    polygon = _polygon(geometry)
    if polygon is None:
        return None
    size, points = polygon
    if len(points) == 4:
        quad = Quad(size, points)
        return quad.outline(samples, space) if quad.usable else None
    if _holds_vertical(size):
        return None
    try:
        placement = place_polygon(points, size, keep_order=True)
    except ValueError:
        return None
    around = _around_text(samples, *placement.shape(), space)
    # Annotators count from the middle of the first pixel, detectors from its corner.
    outline = to_normalized(placement.place(around * TEXT_EXTENT) + 0.5, size)
    return outline.astype(np.float64, copy=False)


def _holds_vertical(size: tuple[int, int]) -> bool:
    return size[1] > VERTICAL * size[0]


def _polygon(geometry: Mapping[str, Any] | None) -> tuple[tuple[int, int], NDArray[np.float64]] | None:
    """The size of a crop and the points (M, 2) around its word in pixels of it, where its geometry is of that kind."""
    if not geometry or geometry.get("kind") != "polygon":
        return None
    try:
        width, height = geometry["size"]
        return (int(width), int(height)), np.array(geometry["outline"], np.float64).reshape(-1, 2)
    except (KeyError, TypeError, ValueError):
        return None


def _around_text(samples: int, length: float, height: float, space: tuple[float, float]) -> NDArray[np.float64]:
    """The outline (2·samples, 2) of the letters in [-1, 1]², which an annotated outline of this length and height
    fills; a fifth of the length is left at least."""
    ends, sides = space
    across = 1 / (1 + 2 * sides)
    along = max(0.2, 1 - 2 * ends * across * height / length)
    x = np.linspace(-along, along, samples)
    top = np.column_stack([x, np.full(samples, -across)])
    return np.concatenate([top, -top])


def read_quads(path: Path) -> dict[int, Quad]:
    """Official quadrilaterals by sample number; none where there is no such file.

    Raises:
        ValueError: a line is not what it should be.
    """
    if not path.is_file():
        return {}
    quads = {}
    for line_number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
            width, height = fields["size"]
            corners = np.array(fields["quad"], np.float64).reshape(4, 2)
            quads[int(fields["index"])] = Quad((int(width), int(height)), corners)
        except (ValueError, TypeError, KeyError) as error:
            message = f"{path}: line {line_number} lacks an index, a size or a quad of 4 points: {error}"
            raise ValueError(message) from error
    return quads
