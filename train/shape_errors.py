"""How far predicted control points are from the truth: of one synthetic word, of one annotated quadrilateral."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from data.quads import Quad
from data.synth.geometry import WordGeometry, project
from rectify.conventions import MARGIN, TEXT_EXTENT, Points, canonical_points, extent_of, grid_points, to_pixels
from rectify.shape import text_shape
from rectify.tps import text_outline, tps_basis

FRAME = (192, 64)
"""Pixels (width, height) to which a crop is scaled for end-point errors, whatever its size."""

ANNOTATED_SPACE = (0.087, 0.050)
"""``annotated_space`` of IC15's training words, around what the shipped rectifier finds."""

_SAMPLES = 33
"""Points along each line that is measured."""
_TEXT_GRID = (33, 9)
"""Points (along, across) all over the text."""
_FRAME_GRID = (65, 33)
"""The same all over the rectified image."""
_RASTER = 1024
"""Pixels of the longer side on which polygons are compared."""
_OUTWARDS = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
"""Directions, along and across, in which the corners lie from the middle."""


@dataclass(frozen=True)
class WordErrors:
    """One synthetic word, against its true map."""

    end_point: float
    """Mean distance of the control points from the true ones, in pixels of ``FRAME``."""
    outline: float
    """The same of the text outline, which has no margin."""
    everywhere: float
    """The same of all of the text, the inside included; like the last, it compares grids of control points, too."""
    aligned: float
    """End-point error after the best scale and shift along and across the word: what no other margin would cure."""
    slope: float
    """Degrees by which top line and baseline are off the horizontal when rectified, mean of both."""
    bend: float
    """RMS distance of top line and baseline from a straight line when rectified, in % of the text height."""


def word_errors(points: Points, truth: WordGeometry, rows: int, cols: int) -> WordErrors:
    """Compare predicted control points (rows·cols, 2), normalised, with the map that the word was rendered by."""
    true_points = truth.control_points(rows, cols)
    slope, bend = _straightness(points, truth, rows, cols)
    return WordErrors(
        end_point=_mean_distance(points, true_points),
        outline=_mean_distance(text_outline(points, rows, cols), truth.outline()),
        everywhere=_mean_distance(_text_basis(rows, cols) @ points, truth.map(_text_points() / np.array(TEXT_EXTENT))),
        aligned=_aligned_error(points, truth, rows, cols),
        slope=slope,
        bend=bend,
    )


def flatten_points(points: Points, truth: WordGeometry) -> NDArray[np.float64]:
    """Where normalised points (M, 2) of the crop lie on the flat word's ink box [-1, 1]²: the inverse of ``map``."""
    bent = project(np.linalg.inv(np.asarray(truth.matrix)), np.asarray(points, np.float64))
    x, y = truth.curve.straighten(bent[:, 0], bent[:, 1], truth.length)
    return np.stack([x / (truth.length / 2), y * 2], axis=1)


def share_outside(points: Points, rows: int, cols: int, margin: tuple[float, float] = MARGIN) -> NDArray[np.float64]:
    """% of the rectified image's area, margin included, that lies outside of the crop and repeats its border (N,).

    Args:
        points: (N, rows·cols, 2), normalised.
        margin: space around the word in the rectified image, see ``Rectifier``.
    """
    places = _frame_basis(rows, cols, extent_of(margin)) @ points
    return np.asarray(100 * (np.abs(places) > 1 + 1e-9).any(2).mean(1))


@dataclass(frozen=True, eq=False)
class QuadErrors:
    """One real word, against its official quadrilateral."""

    offsets: NDArray[np.float64]
    """(4, 2) by how much the quad's corners lie further out than the text outline's, along and across the word, in % of
    half the crop's width + height."""
    height: float
    """Of the text, in the same unit."""
    iou: float
    """Intersection over union of quad and text outline, 0..1."""


def quad_errors(points: Points, quad: Quad, rows: int, cols: int) -> QuadErrors:
    """Compare predicted control points (rows·cols, 2), normalised, with a quadrilateral."""
    outline = to_pixels(text_outline(points, rows, cols), quad.size)
    half = len(outline) // 2
    corners = outline[[0, half - 1, half, -1]]
    unit = sum(quad.size) / 200
    left, right = corners[[0, 3]].mean(0), corners[[1, 2]].mean(0)
    along = (right - left) / max(float(np.linalg.norm(right - left)), 1e-9)
    axes = np.stack([along, [-along[1], along[0]]], axis=1)
    height = float(np.linalg.norm(corners[[3, 2]] - corners[[0, 1]], axis=1).mean())
    offsets = (quad.corners - corners) @ axes * _OUTWARDS / unit
    return QuadErrors(offsets, height / unit, polygon_iou(outline, quad.corners))


def corner_error(words: Sequence[QuadErrors], space: tuple[float, float] = (0.0, 0.0)) -> float:
    """Mean distance of the corners, in % of half the crop's width + height.

    Args:
        space: added to the outlines at the ends, and above and below, in text heights.
    """
    moved = [word.offsets - np.array(space) * word.height for word in words]
    return float(np.mean([np.linalg.norm(offsets, axis=1).mean() for offsets in moved]))


def annotated_space(words: Sequence[QuadErrors]) -> tuple[float, float]:
    """What annotators leave around the letters in the mean, in text heights: at the ends, and above and below."""
    ends, sides = np.mean([word.offsets.mean(0) / max(word.height, 1e-9) for word in words], axis=0)
    return float(ends), float(sides)


def polygon_iou(a: Points, b: Points) -> float:
    """Intersection over union of two polygons (M, 2), (N, 2), to about 1 %; 0 if neither has an area."""
    low = np.minimum(a.min(0), b.min(0))
    scale = (_RASTER - 1) / max((np.maximum(a.max(0), b.max(0)) - low).max(), 1e-9)
    masks = []
    for polygon in (a, b):
        mask = np.zeros((_RASTER, _RASTER), np.uint8)
        cv2.fillPoly(mask, [np.rint((polygon - low) * scale).astype(np.int32)], 1)
        masks.append(mask.astype(bool))
    return float((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum())


def _mean_distance(points: Points, others: Points) -> float:
    """Between normalised points, in pixels of ``FRAME``."""
    return float(np.linalg.norm((points - others) * np.array(FRAME) / 2, axis=-1).mean())


def _aligned_error(points: Points, truth: WordGeometry, rows: int, cols: int) -> float:
    """The fit is made on the flat word, where along and across are the axes, and its residual taken back to pixels
    by the word's own length and height."""
    flat = flatten_points(points, truth)
    wanted = canonical_points(rows, cols) / np.array(TEXT_EXTENT)
    centered = flat - flat.mean(0)
    scale = np.maximum((centered * wanted).sum(0), 0) / np.maximum((centered**2).sum(0), 1e-12)  # no mirroring
    residual = centered * scale - wanted  # the wanted points are centred already
    shape = text_shape(to_pixels(truth.control_points(rows, cols), FRAME), rows, cols)
    return float(np.linalg.norm(residual * np.array(shape) / 2, axis=1).mean())


def _straightness(points: Points, truth: WordGeometry, rows: int, cols: int) -> tuple[float, float]:
    """Slope in degrees and bend in % of the text height. The flat word's lines are followed where the rectified
    image shows top line and baseline; a wrong spline meets the flat word along a crooked or sloping line."""
    edges = text_outline(points, rows, cols, _SAMPLES).reshape(2, _SAMPLES, 2)
    slopes, bends = [], []
    for edge in edges:
        x, y = (flatten_points(edge, truth) * np.array([truth.length / 2, 0.5])).T  # in text heights
        x, y = x - x.mean(), y - y.mean()
        angle = np.arctan2((x * y).sum(), (x * x).sum())
        slopes.append(abs(np.degrees(angle)))
        bends.append(100 * np.sqrt(np.mean((y * np.cos(angle) - x * np.sin(angle)) ** 2)))
    return float(np.mean(slopes)), float(np.mean(bends))


def _text_points() -> NDArray[np.float64]:
    """Points of the canonical frame all over the text."""
    along, across = (np.linspace(-side, side, count) for side, count in zip(TEXT_EXTENT, _TEXT_GRID, strict=True))
    return grid_points(along, across)


@lru_cache(maxsize=16)
def _frame_basis(rows: int, cols: int, extent: tuple[float, float]) -> NDArray[np.float64]:
    """Of points all over a rectified image."""
    along, across = (np.linspace(-side, side, count) for side, count in zip(extent, _FRAME_GRID, strict=True))
    return tps_basis(grid_points(along, across), rows, cols)


@lru_cache(maxsize=16)
def _text_basis(rows: int, cols: int) -> NDArray[np.float64]:
    return tps_basis(_text_points(), rows, cols)
