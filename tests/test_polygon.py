"""Straight crops along polygons: exact cases, then what must hold for any polygon, then refinement and the command."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from data.synth.geometry import Curve, WordGeometry
from helpers import noise, save_rectifier
from rectify import Rectifier, cli
from rectify.conventions import MARGIN, TEXT_EXTENT, canonical_points, extent_of, grid_points, to_pixels
from rectify.images import Image, read_image
from rectify.polygon import (
    COLS,
    PREVIEW_PIXELS,
    ROWS,
    check_polygon,
    flatten_placement,
    place_polygons,
    preview,
    rectify_polygons,
    text_edges,
)
from rectify.rectifier import CROP_MARGIN, flatten

Captured = pytest.CaptureFixture[str]
Array = NDArray[np.float64]

PHOTO = noise(120, 200, 3)

QUAD = np.array([[40.0, 20], [150, 35], [140, 90], [30, 60]])
"""Clockwise from the top left, in perspective."""


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Array:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float64)


def crop(image: Image, polygon: Any, **options: Any) -> Image:
    return rectify_polygons(image, [polygon], **options)[0].image


def smooth(height: int = 240, width: int = 320) -> Image:
    """A picture whose neighbouring pixels are alike, so that an error in place is one in value, in proportion."""
    return cv2.GaussianBlur(noise(height, width, 3), (0, 0), 6).astype(np.uint8)


@pytest.mark.parametrize("shape", [(120, 200, 3), (120, 200), (120, 200, 1)])
@pytest.mark.parametrize("box", [(30, 20, 90, 50), (0, 0, 200, 120), (7, 3, 8, 4), (50, 60, 75, 96)])
def test_a_rectangle_gives_exactly_that_part(shape: tuple[int, ...], box: tuple[int, int, int, int]) -> None:
    image = noise(*shape)
    x0, y0, x1, y1 = box
    np.testing.assert_array_equal(crop(image, rectangle(*box)), image[y0:y1, x0:x1])


def test_a_rectangle_of_many_points_too() -> None:
    x = [30, 37, 37, 55, 90]
    polygon = [*([value, 20] for value in x), *([value, 50] for value in (90, 80, 71, 40, 30))]
    np.testing.assert_array_equal(crop(PHOTO, polygon), PHOTO[20:50, 30:90])


def test_an_elongated_upright_rectangle_is_read_downwards() -> None:
    """The letters' tops are on the right then."""
    np.testing.assert_array_equal(crop(PHOTO, rectangle(30, 10, 50, 90)), np.rot90(PHOTO[10:90, 30:50]))


def test_keep_order_reads_as_the_points_say() -> None:
    corners = rectangle(30, 20, 90, 50)
    for start in range(4):
        expected = np.rot90(PHOTO[20:50, 30:90], start)
        np.testing.assert_array_equal(crop(PHOTO, np.roll(corners, -start, axis=0), keep_order=True), expected)
    arc = np.concatenate([corners[:1], [[60.0, 20]], corners[1:3], [[60.0, 50]], corners[3:]])
    turned = np.roll(arc, 3, axis=0)
    np.testing.assert_array_equal(crop(PHOTO, turned, keep_order=True), PHOTO[20:50, 30:90][::-1, ::-1])
    np.testing.assert_array_equal(crop(PHOTO, turned), PHOTO[20:50, 30:90])


@pytest.mark.parametrize("quad", [QUAD, QUAD + 0.37, [[40, 20], [150, 35], [150, 85], [40, 100]]])
def test_a_quadrilateral_is_what_opencv_makes_of_it(quad: Any) -> None:
    image = smooth()
    flat = crop(image, quad)
    height, width = flat.shape[:2]
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(np.array(quad, np.float32), target)
    expected = cv2.warpPerspective(image, matrix, (width, height), flags=cv2.INTER_LINEAR)
    assert np.abs(flat.astype(int) - expected).max() <= 1


def test_all_orders_of_a_quadrilaterals_corners_give_one_picture() -> None:
    first = crop(PHOTO, QUAD)
    for order in itertools.permutations(range(4)):  # those that cross themselves among them
        np.testing.assert_array_equal(crop(PHOTO, QUAD[list(order)]), first)


def test_a_concave_quadrilateral_in_either_direction() -> None:
    corners = np.array([[20.0, 20], [80, 45], [140, 20], [80, 100]])
    first = crop(PHOTO, corners)
    for start, step in itertools.product(range(4), (1, -1)):
        np.testing.assert_array_equal(crop(PHOTO, np.roll(corners, start, axis=0)[::step]), first)


ARC = np.concatenate(
    [
        [
            [160 - r * np.cos(a), 150 - sign * r * np.sin(a)]
            for a in np.linspace(0.3, np.pi - 0.3, 7)[:: 1 if r > 90 else -1]
        ]
        for sign, r in ((1, 120), (1, 80))
    ]
)
"""A word of 14 points on an arc, clockwise from the top left."""


@pytest.mark.parametrize("start", range(14))
@pytest.mark.parametrize("clockwise", [True, False])
def test_an_outline_that_starts_anywhere_is_read_along_its_edges(start: int, clockwise: bool) -> None:
    rolled = np.roll(ARC, start, axis=0)[:: 1 if clockwise else -1]
    top, bottom = text_edges(rolled)
    np.testing.assert_array_equal(top, ARC[:7])
    np.testing.assert_array_equal(bottom, ARC[:6:-1])


def test_an_order_that_is_kept_is_not_looked_into() -> None:
    top, _ = text_edges(np.roll(ARC, 3, axis=0), keep_order=True)
    np.testing.assert_array_equal(top, np.roll(ARC, 3, axis=0)[:7])


@settings(max_examples=200, deadline=None)
@given(st.integers(3, 8), st.floats(0.4, 2.5), st.floats(0.5, 8.0), st.integers(0, 2**32 - 1))
def test_edges_given_as_they_should_be_stay_so(count: int, ratio: float, length: float, seed: int) -> None:
    """Short and long words whose one end is up to 2.5 times as high as the other, roughly annotated."""
    x, heights = np.linspace(0, length, count), np.linspace(1, ratio, count) / 2
    top, bottom = np.column_stack([x, -heights]), np.column_stack([x, heights])
    polygon = 40 * np.concatenate([top, bottom[::-1]]) + 100
    polygon += np.random.default_rng(seed).uniform(-1, 1, polygon.shape) * min(1.0, 10 * length / count)
    found = text_edges(polygon)
    np.testing.assert_array_equal(found[0], polygon[:count])
    np.testing.assert_array_equal(found[1], polygon[: count - 1 : -1])


def test_contours_as_opencv_has_them() -> None:
    np.testing.assert_array_equal(crop(PHOTO, QUAD[:, None].astype(np.int32)), crop(PHOTO, QUAD))


@pytest.mark.parametrize("degrees", range(-170, 190, 20))
def test_text_runs_from_left_to_right(degrees: int) -> None:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = (rectangle(-30, -8, 30, 8)) @ turn + (100, 60)
    top, bottom = text_edges(corners)
    right, down = top[1] - top[0]
    assert right > 1e-9 or (abs(right) < 1e-9 and down > 0)
    np.testing.assert_allclose(np.hypot(right, down), 60)
    np.testing.assert_allclose(np.linalg.norm(bottom[0] - top[0]), 16)
    side = (top[1] - top[0])[::-1] * (-1, 1)
    assert (bottom[0] - top[0]) @ side > 0, "not mirrored"


@pytest.mark.parametrize("degrees", [-44, -20, 0, 20, 44])
def test_nearly_square_quadrilaterals_stay_as_upright_as_they_are(degrees: int) -> None:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = rectangle(-14, -20, 14, 20) @ turn
    for start in range(4):
        top, _ = text_edges(np.roll(corners, start, axis=0))
        np.testing.assert_allclose(top, corners[:2])


def arc_geometry(curve: Curve, angle: float = 0.0) -> WordGeometry:
    """A word ten times as long as high, 40 pixels high, bent, in the middle of a photo of 640 × 480 pixels."""
    scale = 2 * 40 / 480
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[cosine * 480 / 640, -sine * 480 / 640, 0], [sine, cosine, 0], [0, 0, 1]])
    middle = WordGeometry((640, 480), 10.0, curve, tuple(map(tuple, matrix))).outline(65).mean(0)
    matrix[:2, 2] = -middle
    return WordGeometry((640, 480), 10.0, curve, tuple(map(tuple, matrix)))


def polygon_of(geometry: WordGeometry, samples: int) -> Array:
    return np.asarray(to_pixels(geometry.outline(samples), geometry.size) + 0.5, np.float64)


@pytest.mark.parametrize(
    ("curve", "angle", "samples", "pixels"),
    [
        (Curve("arc", np.pi), 0.0, 7, 0.5),
        (Curve("arc", np.pi), 1.2, 9, 0.2),
        (Curve("arc", -np.pi), -0.4, 7, 0.5),
        (Curve("arc", 5.2), 0.0, 10, 0.5),
        (Curve("arc", 1.5), -1.3, 5, 0.2),
        (Curve("wave", 0.3, 1.0, 0.2), 0.0, 12, 2.0),
    ],
)
def test_curved_words_of_known_geometry_are_straightened(
    curve: Curve, angle: float, samples: int, pixels: float
) -> None:
    """Every point of the word, not of the outline alone, comes from where the rendering puts it; 40 pixels high.

    A wave is rendered by lifting its letters, without turning them, so the lengths along it are others.
    """
    geometry = arc_geometry(curve, angle)
    photo = np.zeros((480, 640), np.uint8)
    (placement,) = place_polygons(photo, [polygon_of(geometry, samples)]).values()
    flat = grid_points(np.linspace(-1, 1, 101), np.linspace(-1, 1, 11))
    truth = to_pixels(geometry.map(flat), geometry.size)
    assert np.linalg.norm(placement.place(flat * TEXT_EXTENT) - truth, axis=1).max() < pixels


def test_a_half_circle_of_stripes_becomes_straight_stripes() -> None:
    """Rendered and cropped: horizontal stripes of the flat word, and its vertical ones, come back in place."""
    geometry = arc_geometry(Curve("arc", np.pi))
    flat = np.full((160, 1600), 255, np.uint8)
    flat[70:90] = 0
    flat[:, ::200] = flat[:, 1::200] = 0
    columns, rows = np.meshgrid(np.arange(640), np.arange(480))
    x0, y0 = to_pixels(geometry.map(np.zeros((1, 2))), geometry.size)[0].tolist()
    x, y = geometry.curve.straighten((columns - x0) / 40, (rows - y0) / 40, 10.0)
    grid = np.stack([(x + 5) * 160 - 0.5, (y + 0.5) * 160 - 0.5], axis=2).astype(np.float32)
    photo = cv2.remap(cv2.GaussianBlur(flat, (0, 0), 2), grid, None, cv2.INTER_LINEAR, borderValue=128)
    result = crop(photo, polygon_of(geometry, 9))
    assert result.shape == pytest.approx((40, 400), abs=1)
    middle = np.argmin(result[:, 10:-10], axis=0)
    assert np.abs(middle - (result.shape[0] - 1) / 2).max() <= 3
    darkest = result[3:12, 30:].mean(0)
    expected = np.arange(50, 400, 50) * result.shape[1] / 400
    for column in expected:
        near = np.arange(int(column) - 12, min(int(column) + 12, result.shape[1]))
        assert abs(near[np.argmin(darkest[near - 30])] - column) <= 1.5


def test_directions_of_a_polygon_give_one_picture() -> None:
    polygon = polygon_of(arc_geometry(Curve("arc", 2.0), 0.3), 7)
    photo = smooth(480, 640)
    first = crop(photo, polygon)
    for other in (polygon[::-1], np.roll(polygon, 7, axis=0), np.roll(polygon[::-1], 7, axis=0)):
        np.testing.assert_array_equal(crop(photo, other), first)


def test_repeated_points_change_nothing() -> None:
    polygon = polygon_of(arc_geometry(Curve("arc", 2.0)), 5)
    doubled = np.concatenate([polygon[:3], polygon[2:8], polygon[7:]])
    photo = smooth(480, 640)
    assert np.abs(crop(photo, doubled).astype(int) - crop(photo, polygon)).max() <= 1


def test_the_spline_through_the_control_points_is_nearly_the_map() -> None:
    geometry = arc_geometry(Curve("arc", 2.0))
    photo = smooth(480, 640)
    (result,) = rectify_polygons(photo, [polygon_of(geometry, 9)], margin=MARGIN)
    assert (result.rows, result.cols, result.control_points.dtype) == (ROWS, COLS, np.float32)
    size = result.image.shape[1], result.image.shape[0]
    spline = flatten(photo, result.control_points, ROWS, COLS, size)
    assert np.abs(spline.astype(int) - result.image).mean() < 1


def test_margin_shows_what_is_around() -> None:
    flat = crop(PHOTO, rectangle(50, 40, 110, 60), margin=(0.1, 0.5))
    np.testing.assert_array_equal(flat, PHOTO[30:70, 44:116])


def test_a_polygon_that_reaches_out_of_the_photo_replicates_its_border() -> None:
    expected = cv2.copyMakeBorder(PHOTO, 10, 0, 20, 0, cv2.BORDER_REPLICATE)[:30, :50]
    np.testing.assert_array_equal(crop(PHOTO, rectangle(-20, -10, 30, 20)), expected)


def test_a_small_part_of_a_large_photo_costs_its_own_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    remap = cv2.remap

    def spy(source: Image, *arguments: Any, **options: Any) -> Any:
        seen.append(source.shape)
        return remap(source, *arguments, **options)

    monkeypatch.setattr(cv2, "remap", spy)
    crop(np.zeros((3000, 4000), np.uint8), rectangle(1000, 800, 1100, 830) + [[0, 0], [5, 9], [0, 0], [0, 0]])
    assert all(height < 60 and width < 140 for height, width in seen)


def test_many_polygons_are_each_alone_and_in_order() -> None:
    polygons = [QUAD, rectangle(5, 5, 30, 20), polygon_of(arc_geometry(Curve("arc", 2.0)), 5) / 4]
    results = rectify_polygons(PHOTO, polygons)
    for result, polygon in zip(results, polygons, strict=True):
        np.testing.assert_array_equal(result.image, crop(PHOTO, polygon))
        assert result.rectified
    assert rectify_polygons(PHOTO, []) == []


@pytest.mark.parametrize(
    ("polygon", "message"),
    [
        ([[0, 0], [10, 0], [10, 10]], "3 points, it takes at least 4"),
        ([], "list of points"),
        ([[0, 0], [10, 0], [20, 0], [20, 10], [0, 10]], "5 points, it takes an even number"),
        ([[0, 5], [10, 5], [20, 5], [30, 5]], "encloses no area"),
        ([[5, 5]] * 6, "encloses no area"),
        ([[50, 50], [100, 50], [100, 100], [100, 100], [100, 50], [50, 50.0001]], "encloses no area"),
        ([[0, 0], [10, 0], [10, float("nan")], [0, 10]], "not a finite number"),
        ([[0, 0], [10, 0], [10, float("inf")], [0, 10]], "not a finite number"),
        (rectangle(200, 0, 240, 30), "outside of the image of 200x120 pixels"),
        (rectangle(0, -30, 40, 0), "outside of the image of 200x120 pixels"),
        ([[0, 0], [40, 0], [80, 0], [0, 40], [40, 40], [80, 40]], "crosses itself"),
        ([[0, 0], [60, 30], [60, 0], [50, 5]], None),
        ([[0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], "list of points"),
        ([[0, 0], [1, 0], [1]], "list of points"),
        (["a", "b", "c", "d"], "list of points"),
        (None, "list of points"),
        ([[0, 0], [10**400, 0], [10, 10], [0, 10]], "list of points"),
        ([[0, 0], [1e200, 0], [10, 10], [0, 10]], "beyond 1e.06 pixels"),
    ],
)
def test_degenerate_polygons_are_named(polygon: Any, message: str | None) -> None:
    if message is None:
        assert crop(PHOTO, polygon).size
        return
    with pytest.raises(ValueError, match=message) as error:
        rectify_polygons(PHOTO, [QUAD, polygon])
    assert str(error.value).startswith("polygons[1]: ")
    assert "\n" not in str(error.value)


def test_keep_order_refuses_what_would_be_mirrored() -> None:
    with pytest.raises(ValueError, match="counter-clockwise"):
        crop(PHOTO, QUAD[::-1], keep_order=True)
    with pytest.raises(ValueError, match="crosses itself"):
        crop(PHOTO, QUAD[[0, 2, 1, 3]], keep_order=True)


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(TypeError, match="float64"):
        rectify_polygons(np.zeros((9, 9)), [rectangle(0, 0, 9, 9)])  # type: ignore[arg-type]


@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.sampled_from([1.0, 30.0, 1000.0, 1e7]))
@settings(max_examples=60, deadline=None)
def test_any_polygon_gives_a_crop_or_an_error(seed: int, half: int, scale: float) -> None:
    """Of at most four times the photo's pixels, with control points that are numbers."""
    rng = np.random.default_rng(seed)
    polygon = rng.normal(0, scale, (2 * half, 2)) + (100, 60)
    if seed % 3:
        polygon = np.round(polygon)
    try:
        (result,) = rectify_polygons(PHOTO, [polygon])
    except ValueError:
        return
    assert 1 <= result.image.shape[0] * result.image.shape[1] <= 4 * PHOTO.shape[0] * PHOTO.shape[1] * 1.05
    assert np.isfinite(result.control_points).all()


@given(st.floats(0, 360), st.floats(2, 80), st.floats(2, 80), st.integers(0, 23))
@settings(max_examples=60, deadline=None)
def test_any_turned_rectangle_keeps_its_size_in_any_order(angle: float, a: float, b: float, order: int) -> None:
    turn = np.radians(angle)
    corners = rectangle(-a / 2, -b / 2, a / 2, b / 2) @ np.array(
        [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
    )
    corners = corners[list(list(itertools.permutations(range(4)))[order])] + (100, 60)
    height, width = crop(PHOTO, corners).shape[:2]
    assert sorted((height, width)) == pytest.approx(sorted((a, b)), abs=0.51)
    if max(a, b) > 1.51 * min(a, b):
        assert width >= height


def test_check_polygon_returns_the_points() -> None:
    np.testing.assert_array_equal(check_polygon([(0, 0), (9, 0), (9, 5), (0, 5)], (20, 20)), rectangle(0, 0, 9, 5))


@pytest.fixture
def confirming(tmp_path: Path) -> Rectifier:
    """A network that finds the word, in what it sees of a polygon, exactly in the polygon."""
    frame = canonical_points(5, 5)
    seen = np.array([(1 + 2 * margin) / (1 + 2 * own) for margin, own in zip(CROP_MARGIN, MARGIN, strict=True)])
    return Rectifier(save_rectifier(tmp_path / "confirming.onnx", frame / seen))


@pytest.mark.parametrize("polygon", [QUAD, rectangle(30, 20, 90, 50)])
def test_refinement_that_finds_nothing_to_correct_changes_nothing(confirming: Rectifier, polygon: Any) -> None:
    photo = smooth()
    plain = confirming.rectify_polygon(photo, polygon, margin=MARGIN)
    refined = confirming.rectify_polygon(photo, polygon, refine=True)
    assert refined.image.shape == plain.image.shape
    assert np.abs(refined.image.astype(int) - plain.image).max() <= 1
    np.testing.assert_allclose(refined.control_points, plain.control_points, atol=0.02)


def test_refinement_is_composed_with_the_polygon(tmp_path: Path) -> None:
    """The network finds the word in the right half of what it sees; the photo is sampled once, at its resolution."""
    half = canonical_points(5, 5) * (0.5, 1) + (0.5, 0)
    rectifier = Rectifier(save_rectifier(tmp_path / "half.onnx", half))
    (result,) = rectifier.rectify_polygons(PHOTO, [rectangle(50, 40, 150, 80)], refine=True)
    # 100 × 40 pixels, seen with margins of 10 and 10 pixels: the right half of 120 × 60.
    np.testing.assert_array_equal(result.image, PHOTO[30:90, 100:160])


@pytest.mark.parametrize("size", [(3, 5), (1, 200), (300, 70)])
def test_a_refined_map_takes_grids_where_it_takes_points(size: tuple[int, int]) -> None:
    (placement,) = place_polygons(smooth(), [QUAD]).values()
    points = canonical_points(5, 5) * 0.9 + np.random.default_rng(0).normal(0, 0.05, (25, 2))
    refined = placement.refined(points, 5, 5)
    assert refined.grid_place is not None
    xs, ys = np.linspace(-1.1, 1.1, size[0]), np.linspace(-1.3, 1.2, size[1])
    np.testing.assert_allclose(refined.grid_place(xs, ys), refined.place(grid_points(xs, ys)), atol=2e-3)


def test_words_smaller_than_a_crop_are_refined(confirming: Rectifier) -> None:
    polygon = rectangle(10, 10, 30, 10.8)
    plain = confirming.rectify_polygon(PHOTO, polygon, margin=MARGIN)
    assert confirming.rectify_polygon(PHOTO, polygon, refine=True).image.shape == plain.image.shape


def test_words_larger_than_a_crop_are_refined(confirming: Rectifier) -> None:
    photo = np.zeros((5000, 7000), np.uint8)
    (placement,) = place_polygons(photo, [rectangle(0, 0, 7000, 5000)]).values()
    seen = preview(photo, placement, CROP_MARGIN)
    assert seen.size <= 1.01 * PREVIEW_PIXELS
    assert seen.shape[1] / seen.shape[0] == pytest.approx(7000 * 1.2 / (5000 * 1.5), rel=0.01)
    points = confirming.locate([seen])[0] * extent_of(CROP_MARGIN)
    np.testing.assert_allclose(points, canonical_points(confirming.rows, confirming.cols), atol=1e-5)


def test_an_order_that_is_kept_is_kept_when_refined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the network for quarter turns would say."""
    rectifier = Rectifier(save_rectifier(tmp_path / "any.onnx", canonical_points(5, 5)), any_rotation=False)
    rectifier.any_rotation = True
    monkeypatch.setattr(Rectifier, "orientation", SimpleNamespace(turns=lambda images, sure: np.full(len(images), 2)))
    corners = rectangle(30, 20, 90, 50)
    kept, asked = (
        rectifier.rectify_polygon(PHOTO, corners, refine=True, margin=CROP_MARGIN, keep_order=keep).image
        for keep in (True, False)
    )
    np.testing.assert_array_equal(kept, asked[::-1, ::-1])
    assert not np.array_equal(kept, asked)


def test_small_words_along_polygons_are_sampled_finer(tmp_path: Path) -> None:
    path = save_rectifier(tmp_path / "any.onnx", canonical_points(5, 5))
    assert Rectifier(path, least_height=25).rectify_polygon(PHOTO, rectangle(30, 20, 90, 35)).image.shape == (
        25,
        100,
        3,
    )


def test_tips_of_a_lens_may_meet() -> None:
    lens = np.array([[20, 50], [60, 30], [100, 50], [100, 50], [60, 70], [20, 50]], float)
    moved = lens + [[0, 0], [0, 0], [0, 0], [0, 0.01], [0, 0], [0, 0.01]]
    met, apart = (rectify_polygons(smooth(), [edges], keep_order=True)[0].image.astype(int) for edges in (lens, moved))
    np.testing.assert_array_equal(rectify_polygons(smooth(), [lens])[0].image, met)
    assert np.abs(met - apart).max() <= 2


def test_a_polygon_that_is_none_need_not_lose_the_others(confirming: Rectifier) -> None:
    polygons = [QUAD, [[5, 5], [6, 6]], rectangle(5, 5, 30, 20), [[500, 5], [520, 5], [520, 15], [500, 15]]]
    told: dict[int, str] = {}
    for refine in (False, True):
        found = confirming.rectify_polygons(PHOTO, polygons, refine, on_error=lambda i, e: told.update({i: str(e)}))
        assert [crop is None for crop in found] == [False, True, False, True]
        for crop, polygon in ((found[0], polygons[0]), (found[2], polygons[2])):
            assert crop is not None
            np.testing.assert_array_equal(crop.image, confirming.rectify_polygon(PHOTO, polygon, refine).image)
    assert told == {1: "2 points, it takes at least 4", 3: "outside of the image of 200x120 pixels"}
    with pytest.raises(ValueError, match=r"polygons\[1\]: 2 points"):
        confirming.rectify_polygons(PHOTO, polygons)


def test_margins_are_two_numbers(confirming: Rectifier) -> None:
    margin: Any = 0.1
    with pytest.raises(ValueError, match=r"a margin is \(ends, sides\), got 0.1"):
        confirming.rectify_polygons(PHOTO, [QUAD], margin=margin)


def test_polygons_through_the_rectifier_are_those_without_it(confirming: Rectifier) -> None:
    polygons = [QUAD, rectangle(5, 5, 30, 20)]
    for ours, plain in zip(
        confirming.rectify_polygons(PHOTO, polygons), rectify_polygons(PHOTO, polygons), strict=True
    ):
        np.testing.assert_array_equal(ours.image, plain.image)
    np.testing.assert_array_equal(confirming.rectify_polygon(PHOTO, QUAD).image, crop(PHOTO, QUAD))
    assert confirming.rectify_polygons(PHOTO, [], refine=True) == []


def save(path: Path, image: Image) -> str:
    assert cv2.imwrite(str(path), image[:, :, ::-1])
    return str(path)


def test_command(tmp_path: Path, capsys: Captured) -> None:
    photo = save(tmp_path / "street.png", PHOTO)
    polygons = tmp_path / "words.json"
    items = [
        rectangle(30, 20, 90, 50).tolist(),
        [5, 5, 30, 5, 30, 20, 5, 20],
        {"transcription": "text", "points": QUAD.tolist()},
        {"quad": QUAD.tolist()},
        {"box": QUAD.tolist(), "txt": "text", "score": 0.9},
        {"bbox": [5, 5, 25, 15]},
    ]
    polygons.write_text(json.dumps(items))
    out = tmp_path / "out"
    assert cli.main(["crop", photo, str(polygons), "-o", str(out)]) == 0
    names = [f"street-{number}.png" for number in range(1, 7)]
    assert capsys.readouterr() == ("".join(f"{out / name}\n" for name in names), "")
    expected = [PHOTO[20:50, 30:90], PHOTO[5:20, 5:30], *[crop(PHOTO, QUAD)] * 3, PHOTO[5:20, 5:30]]
    for name, image in zip(names, expected, strict=True):
        np.testing.assert_array_equal(read_image(out / name), image)
    assert sorted(path.name for path in out.iterdir()) == names


def test_command_names_bad_polygons_and_crops_the_others(tmp_path: Path, capsys: Captured) -> None:
    photo = save(tmp_path / "street.png", PHOTO)
    polygons = tmp_path / "words.json"
    polygons.write_text(json.dumps([[[0, 0], [1, 1]], QUAD.tolist(), {"text": "a"}, "word", {"box": [1, 2, 3]}]))
    assert cli.main(["crop", photo, str(polygons), "-o", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'out' / 'street-2.png'}\n"
    lines = captured.err.splitlines()
    assert lines[0] == f"rectify-ocr: {polygons}: polygon 1: 2 points, it takes at least 4"
    assert [line.partition(": polygon ")[2][0] for line in lines] == ["1", "3", "4", "5"]
    assert "has none of the keys polygon, points" in lines[1] and "not a list of points" in lines[3]


def test_command_wants_a_list_of_polygons(tmp_path: Path, capsys: Captured) -> None:
    photo, polygons = save(tmp_path / "street.png", PHOTO), tmp_path / "words.json"
    polygons.write_text(json.dumps(QUAD.tolist()))
    assert cli.main(["crop", photo, str(polygons), "-o", str(tmp_path / "out")]) == 1
    assert "holds points of one polygon; it takes a list" in capsys.readouterr().err


def test_command_crops_nothing_of_a_photo_without_words(tmp_path: Path, capsys: Captured) -> None:
    photo, polygons = save(tmp_path / "street.png", PHOTO), tmp_path / "words.json"
    polygons.write_text("[]")
    assert cli.main(["crop", photo, str(polygons), "-o", str(tmp_path / "out")]) == 0
    assert capsys.readouterr() == ("", "")


def test_command_refines_with_weights(tmp_path: Path, capsys: Captured) -> None:
    photo = save(tmp_path / "street.png", PHOTO)
    weights = save_rectifier(tmp_path / "half.onnx", canonical_points(5, 5) * (0.5, 1) + (0.5, 0))
    polygons = tmp_path / "words.json"
    polygons.write_text(json.dumps([rectangle(50, 40, 150, 80).tolist()]))
    arguments = ["crop", photo, str(polygons), "-o", str(tmp_path), "--refine", "--weights", str(weights)]
    assert cli.main(arguments) == 0
    np.testing.assert_array_equal(read_image(tmp_path / "street-1.png"), PHOTO[30:90, 100:160])
    assert cli.main([*arguments, "--margin", "0", "0"]) == 0
    assert read_image(tmp_path / "street-1.png").shape[:2] == (round(60 / 1.24), round(60 / 1.12))
    capsys.readouterr()


def test_command_never_replaces_the_photo(tmp_path: Path, capsys: Captured) -> None:
    photo = Path(save(tmp_path / "a-1.png", PHOTO)).rename(tmp_path / "a.png")
    (tmp_path / "a-1.png").symlink_to(photo)
    polygons = tmp_path / "words.json"
    polygons.write_text(json.dumps([QUAD.tolist()]))
    assert cli.main(["crop", str(photo), str(polygons), "-o", str(tmp_path)]) == 1
    assert "would replace" in capsys.readouterr().err
    np.testing.assert_array_equal(read_image(photo), PHOTO)


@pytest.mark.parametrize(
    ("content", "message"), [("{", "not JSON"), ('{"a": 1}', "not a list of polygons"), (None, "words.json")]
)
def test_command_names_a_file_that_holds_no_polygons(
    tmp_path: Path, content: str | None, message: str, capsys: Captured
) -> None:
    photo = save(tmp_path / "street.png", PHOTO)
    if content is not None:
        (tmp_path / "words.json").write_text(content)
    assert cli.main(["crop", photo, str(tmp_path / "words.json"), "-o", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("rectify-ocr: ")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "-o"),
        (["-o", "out", "--weights", "w"], "--weights are for --refine"),
        (["-o", "out", "--refine", "--weights", "absent"], "absent"),
        (["-o", "out", "--margin", "-1", "0"], "a margin is"),
    ],
)
def test_command_wrong_usage(options: list[str], message: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["crop", "street.png", "words.json", *options])
    assert message in capsys.readouterr().err


def test_a_closed_polygon_of_an_odd_number_of_corners_is_none() -> None:
    corners = [[10, 10], [50, 5], [90, 10], [90, 40], [10, 40]]
    with pytest.raises(
        ValueError, match=r"5 points and one that closes it, it takes an even number.* keep their order"
    ):
        crop(PHOTO, np.array([*corners, corners[0]], float))
    with pytest.raises(ValueError, match="3 points and one that closes it, it takes at least 4"):
        crop(PHOTO, np.array([*corners[:3], corners[0]], float))


def test_a_closed_polygon_is_the_open_one() -> None:
    polygon = rectangle(5, 5, 60, 30)
    np.testing.assert_array_equal(crop(PHOTO, np.concatenate([polygon, polygon[:1]])), crop(PHOTO, polygon))


def test_a_sharp_rectifier_samples_polygons_sharply(tmp_path: Path) -> None:
    photo, quad = noise(120, 200, 3), [[20.3, 30.2], [150.4, 41.6], [148.1, 80.9], [18.7, 71.4]]
    weights = save_rectifier(tmp_path / "rectifier.onnx", canonical_points(5, 5))
    dull, sharp = (Rectifier(weights, sharp=on).rectify_polygon(photo, quad).image for on in (False, True))
    (placement,) = place_polygons(photo, [quad]).values()
    np.testing.assert_array_equal(sharp, flatten_placement(photo, placement, sharp=True).image)
    assert sharp.std() > dull.std()
