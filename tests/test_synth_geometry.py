from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.synth.geometry import Curve, WordGeometry, control_points, project
from data.synth.layout import draw_geometry, flat_coordinates
from rectify.conventions import TEXT_EXTENT, to_pixels

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def drawn(seed: int, length: float) -> WordGeometry:
    return draw_geometry(length, ((-1.0, 1.0),), np.random.default_rng(seed))


def test_flat_word_fills_its_box() -> None:
    geometry = WordGeometry((100, 20), 2.0, Curve(), ((1.0, 0, 0), (0, 2.0, 0), (0, 0, 1.0)))
    np.testing.assert_allclose(geometry.map([[-1, -1], [1, 1], [0, 0]]), [[-1, -1], [1, 1], [0, 0]])


def test_half_circle_has_its_middle_on_top_and_its_ends_level() -> None:
    geometry = WordGeometry((1, 1), 2 * math.pi, Curve("arc", math.pi), IDENTITY)
    left, middle, right = geometry.map([[-1, 0], [0, 0], [1, 0]])
    # The mid-line is π radii long and covers half a circle: radius 2, its centre 2 below the middle.
    np.testing.assert_allclose(middle, [0, 0], atol=1e-12)
    np.testing.assert_allclose([left, right], [[-2, 2], [2, 2]], atol=1e-12)


def test_control_points_lie_on_the_outline_enlarged_by_the_margin() -> None:
    geometry = WordGeometry((100, 20), 2.0, Curve(), ((1.0, 0, 0), (0, 2.0, 0), (0, 0, 1.0)))
    points = geometry.control_points(2, 2)
    np.testing.assert_allclose(points[0], [-1 / TEXT_EXTENT[0], -1 / TEXT_EXTENT[1]])
    np.testing.assert_allclose(points[3], [1 / TEXT_EXTENT[0], 1 / TEXT_EXTENT[1]])


@given(
    kind=st.sampled_from(["flat", "arc", "wave"]),
    amount=st.floats(0.1, 3.0),
    sign=st.sampled_from([-1, 1]),
    length=st.floats(3, 10),
    phase=st.floats(0, 6),
)
def test_straightening_undoes_bending(kind: str, amount: float, sign: int, length: float, phase: float) -> None:
    curve = Curve(kind, sign * amount, 1.3, phase)
    x, y = np.meshgrid(np.linspace(-length / 2, length / 2, 9), np.linspace(-0.5, 0.5, 5))
    back = curve.straighten(*curve.bend(x, y, length), length)
    np.testing.assert_allclose(back, [x, y], atol=1e-9)


@given(seed=st.integers(0, 10_000), length=st.floats(0.3, 14))
def test_pixels_map_to_flat_coordinates_and_back(seed: int, length: float) -> None:
    geometry = drawn(seed, length)
    x, y = flat_coordinates(geometry)
    inside = (np.abs(x) <= 1.1) & (np.abs(y) <= 1.1)
    pixels = to_pixels(geometry.map(np.column_stack([x[inside], y[inside]])), geometry.size)
    rows, columns = np.nonzero(inside)
    np.testing.assert_allclose(pixels, np.column_stack([columns, rows]), atol=0.05)


@given(seed=st.integers(0, 10_000), length=st.floats(0.3, 14))
def test_the_word_is_in_its_crop_and_not_turned_over(seed: int, length: float) -> None:
    geometry = drawn(seed, length)
    outline = geometry.outline()
    top, bottom = to_pixels(outline, geometry.size).reshape(2, -1, 2)
    text_height = np.linalg.norm(top - bottom[::-1], axis=1).mean()
    beyond = (np.abs(outline) - 1) * np.array(geometry.size) / 2
    assert beyond.max() < 0.12 * text_height  # annotators cut by 0.04; a narrow crop is widened to its least size
    middle = geometry.map([[-0.01, 0], [0.01, 0], [0, -0.01], [0, 0.01]])
    along, down = middle[1] - middle[0], middle[3] - middle[2]
    assert along[0] * down[1] - along[1] * down[0] > 0


def test_json_round_trip_and_outline_in_pixels() -> None:
    geometry = drawn(5, 4.0)
    stored = json.loads(json.dumps(geometry.to_json()))
    again = WordGeometry.from_json(stored)
    np.testing.assert_array_equal(again.control_points(5, 5), geometry.control_points(5, 5))
    assert len(stored["outline"]) == 34
    np.testing.assert_allclose(stored["outline"], to_pixels(geometry.outline(), geometry.size), atol=0.01)


def test_a_matrix_of_another_shape_is_refused() -> None:
    fields = drawn(1, 3.0).to_json() | {"matrix": [[1, 0, 0], [0, 1, 0]]}
    with pytest.raises(ValueError, match=r"its matrix has the shape \(2, 3\)"):
        WordGeometry.from_json(fields)


def test_json_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="geometry of a synthetic word"):
        WordGeometry.from_json({"size": [1, 1]})


def test_projection_of_a_known_homography() -> None:
    matrix = np.array([[1.0, 0, 0], [0, 1, 0], [1, 0, 1]])
    np.testing.assert_allclose(project(matrix, np.array([[1.0, 1.0]])), [[0.5, 0.5]])


def test_a_word_cut_by_its_polygon_has_no_map() -> None:
    outline = {"kind": "polygon", "size": [4, 2], "outline": [[0, 0], [3, 0], [3, 1], [0, 1]]}
    assert WordGeometry.of(outline) is None
    assert WordGeometry.of(None) is None
    with pytest.raises(ValueError, match="not the geometry"):
        WordGeometry.of({"size": [4, 2]})


def test_control_points_of_many_words_are_those_of_each() -> None:
    rng = np.random.default_rng(0)
    words = [draw_geometry(rng.uniform(1, 8), ((-1.0, 1.0),), rng) for _ in range(40)]
    assert {word.curve.kind for word in words} == {"flat", "arc", "wave"}
    together = control_points(words, 4, 6)
    np.testing.assert_allclose(together, [word.control_points(4, 6) for word in words], atol=1e-12)
