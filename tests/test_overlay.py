"""Drawn control points: at the right place, on every kind of crop."""

from __future__ import annotations

import numpy as np
import pytest

from helpers import noise
from rectify.conventions import canonical_points, to_pixels
from rectify.overlay import GRID_COLOR, OUTLINE_COLOR, PADDING_COLOR, POINT_COLOR, draw_overlay
from rectify.tps import text_outline


def near(picture: np.ndarray, point: np.ndarray, color: tuple[int, int, int]) -> bool:
    """Whether a color is drawn within a pixel of a point."""
    x, y = np.rint(point).astype(int)
    around = picture[y - 1 : y + 2, x - 1 : x + 2].astype(int)
    return bool((np.abs(around - color).max(-1) < 40).any())


def test_points_and_outline_lie_where_they_should() -> None:
    """A crop of 60 x 20 is enlarged 16 times, with a rim of 8 pixels."""
    image = np.full((20, 60, 3), 255, np.uint8)
    points = to_pixels(canonical_points(3, 4) * 0.8, (60, 20))
    picture = draw_overlay(image, points, 3, 4)
    assert picture.shape == (20 * 16 + 16, 60 * 16 + 16, 3)

    def drawn(p: np.ndarray) -> np.ndarray:
        return (p + 0.5) * 16 - 0.5 + 8

    for point in points:
        assert near(picture, drawn(point), POINT_COLOR)
    for point in text_outline(points, 3, 4, 9):
        assert near(picture, drawn(point), OUTLINE_COLOR)
    between = (points[0] + points[1]) / 2
    assert near(picture, drawn(between), tuple(round(0.6 * c + 0.4 * 255) for c in GRID_COLOR))


def test_points_outside_get_a_rim() -> None:
    image = np.full((20, 60, 3), 255, np.uint8)
    points = to_pixels(canonical_points(2, 2), (60, 20)) + np.array([10, 0])
    picture = draw_overlay(image, points, 2, 2)
    assert picture.shape == (20 * 16 + 16, 60 * 16 + 16 + 160, 3)
    assert picture[4, 4].tolist() == [PADDING_COLOR] * 3


@pytest.mark.parametrize("shape", [(20, 60), (20, 60, 1), (20, 60, 3)])
def test_every_kind_of_crop(shape: tuple[int, ...]) -> None:
    image = noise(*shape)
    before = image.copy()
    picture = draw_overlay(image, to_pixels(canonical_points(5, 5), (60, 20)), 5, 5)
    assert picture.ndim == 3
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("shape", [(2, 2), (20, 20000), (1500, 3000), (5000, 30)])
@pytest.mark.parametrize("spread", [1.0, 1e3, 1e9])
def test_size_is_bounded_whatever_the_points_are(shape: tuple[int, int], spread: float) -> None:
    points = to_pixels(canonical_points(5, 5) * spread, shape[::-1])
    assert max(draw_overlay(noise(*shape), points, 5, 5).shape) <= 2 * 4096 + 20
