from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.quads import Quad, annotated_outline, read_quads
from rectify.conventions import to_pixels


def test_a_damaged_quad_is_named(tmp_path: Path) -> None:
    path = tmp_path / "quads.jsonl"
    path.write_text('{"index": 1, "size": [1, 2], "quad": [[0, 0], [1, 0], [1, 1], [0, 1]]}\n{"index": 2}\n')
    with pytest.raises(ValueError, match=r"quads\.jsonl: line 2"):
        read_quads(path)
    assert read_quads(tmp_path / "none.jsonl") == {}
    path.write_text('\n{"index": 1, "size": [1, 2], "quad": [[0, 0], [1, 0], [1, 1], [0, 1]]}\n\n')
    assert read_quads(path).keys() == {1}


def test_the_outline_of_the_whole_crop_is_its_border() -> None:
    quad = Quad((100, 50), np.array([[-0.5, -0.5], [99.5, -0.5], [99.5, 49.5], [-0.5, 49.5]]))
    expected = [[-1, -1], [0, -1], [1, -1], [1, 1], [0, 1], [-1, 1]]
    np.testing.assert_allclose(quad.outline(3), expected, atol=1e-6)


def test_the_outline_is_denser_at_the_far_end() -> None:
    """In the picture of a plane, points at equal distances come closer where it is farther away."""
    quad = Quad((100, 50), np.array([[0, 0], [90, 15], [90, 35], [0, 49]], float))
    outline = quad.outline(9)
    np.testing.assert_allclose(
        outline[[0, 8, 9, 17]], quad.corners * (2 / np.array([100, 50])) + 1 / np.array([100, 50]) - 1, atol=1e-6
    )
    steps = np.diff(outline[:9, 0])
    assert (np.diff(steps) < 0).all() and steps[0] > 2 * steps[-1]


@pytest.mark.parametrize("degrees", [0, 30])
def test_the_space_that_annotators_leave_is_taken_off(degrees: int) -> None:
    """A word 80 long and 20 high, with a fifth of its height left at the ends and a tenth above and below."""
    turn = np.array([[np.cos(t := np.radians(degrees)), -np.sin(t)], [np.sin(t), np.cos(t)]])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    quad = Quad((200, 100), corners * [44, 12] @ turn.T + [100, 50])
    outline = to_pixels(quad.outline(2, space=(0.2, 0.1)), (200, 100))
    np.testing.assert_allclose(outline, corners * [40, 10] @ turn.T + [100, 50], atol=1e-4)


def test_something_of_a_word_is_left_however_much_space_is_taken_off() -> None:
    quad = Quad((20, 20), np.array([[0, 0], [19, 0], [19, 19], [0, 19]], float))
    outline = quad.outline(2, space=(0.9, 0.0))
    assert np.ptp(outline[:, 0]) == pytest.approx(0.2 * 19 / 10, abs=1e-6)


def polygon(points: Any, size: tuple[int, int] = (200, 100)) -> dict[str, Any]:
    """Geometry of a word of a full image."""
    return {"kind": "polygon", "size": list(size), "outline": np.asarray(points).tolist(), "source": {}}


def test_a_quadrilateral_of_a_full_image_is_one_like_the_others() -> None:
    corners = np.array([[10, 20], [180, 30], [175, 80], [14, 70]], float)
    quad, geometry = Quad((200, 100), corners), polygon(corners)
    found = Quad.of(geometry)
    assert found is not None and found.size == (200, 100)
    for space in ((0.0, 0.0), (0.1, 0.05)):
        outline = annotated_outline(geometry, 9, space)
        assert outline is not None
        np.testing.assert_array_equal(outline, quad.outline(9, space))


@pytest.mark.parametrize("space", [(0.0, 0.0), (0.2, 0.1)])
def test_the_outline_of_a_curved_word(space: tuple[float, float]) -> None:
    """20 pixels high, on an arc of 120 degrees with a radius of 60."""
    angles = np.radians(np.linspace(-60, 60, 9))
    middle, height = 60.0, 20.0
    length = middle * np.ptp(angles)
    edges = [np.column_stack([r * np.sin(angles), -r * np.cos(angles)]) for r in (middle + 10, middle - 10)]
    points = np.concatenate([edges[0], edges[1][::-1]]) + (100, 90)
    outline = annotated_outline(polygon(points, (201, 100)), 9, space)
    assert outline is not None and Quad.of(polygon(points)) is None
    across = 1 / (1 + 2 * space[1])
    turned = angles * (1 - 2 * space[0] * across * height / length)
    expected = [
        np.column_stack([r * np.sin(turned), -r * np.cos(turned)]) + (100, 90)
        for r in (middle + 10 * across, middle - 10 * across)
    ]
    found = to_pixels(outline, (201, 100))
    np.testing.assert_allclose(found, np.concatenate([expected[0], expected[1][::-1]]), atol=0.4)


@pytest.mark.parametrize(
    "geometry",
    [
        None,
        {"kind": "flat"},
        {"kind": "polygon", "size": [40, 20]},
        polygon([[0, 0], [0, 49], [99, 49], [99, 0]]),
        polygon([[0, 0], [20, 0], [20, 99], [0, 99]], (21, 100)),
        polygon([[0, 0], [10, 0], [20, 0], [20, 99], [10, 99], [0, 99]], (21, 100)),
        polygon([[0, 0], [10, 0], [20, 0], [20, 10], [0, 10]]),
        polygon([[0, 0], [10, 0], [20, 0], [0, 10], [10, 10], [20, 10]]),
    ],
    ids=["none", "other", "damaged", "mirrored", "vertical", "vertical, of six", "odd", "crossed"],
)
def test_what_says_no_outline(geometry: dict[str, Any] | None) -> None:
    assert annotated_outline(geometry, 9) is None


@pytest.mark.parametrize(
    ("size", "corners", "usable"),
    [
        ((100, 50), [[0, 0], [99, 0], [99, 49], [0, 49]], True),
        ((50, 100), [[0, 0], [49, 0], [49, 99], [0, 99]], False),
        ((100, 50), [[0, 0], [99, 49], [99, 0], [0, 49]], False),
        ((100, 50), [[0, 0], [0, 49], [99, 49], [99, 0]], False),
    ],
    ids=["upright", "vertical", "crossed", "mirrored"],
)
def test_only_a_clockwise_quadrilateral_that_is_not_vertical_teaches(
    size: tuple[int, int], corners: list[list[float]], usable: bool
) -> None:
    assert Quad(size, np.array(corners, float)).usable == usable
