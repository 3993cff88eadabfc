"""Sizes of thumbnails, of located words and of what the recogniser samples."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import RECOGNIZER_CONFIG, noise
from rectify.conventions import MARGIN, canonical_points, to_pixels
from rectify.shape import (
    QuickResizer,
    frame_size,
    quick_resize,
    resize,
    sample_width,
    text_shape,
    thumbnail,
)


def block_means(image: np.ndarray, rows: int, cols: int) -> np.ndarray:
    height, width, channels = image.shape
    return image.reshape(height // rows, rows, width // cols, cols, channels).mean((1, 3))


def test_shrinking_averages() -> None:
    image = noise(64, 96, 3)
    np.testing.assert_allclose(resize(image, (24, 32)), block_means(image, 2, 4), atol=0.51)


def test_one_axis_is_averaged_while_the_other_grows() -> None:
    image = noise(8, 96, 3)
    averaged = block_means(image, 1, 4)
    result = resize(image, (24, 16)).astype(float)
    # Rows at a quarter and three quarters between the averaged ones.
    np.testing.assert_allclose(result[1], 0.75 * averaged[0] + 0.25 * averaged[1], atol=1.01)
    np.testing.assert_allclose(result[0], averaged[0], atol=0.51)


def test_enlarging_interpolates() -> None:
    image = np.array([[0, 100]], np.uint8)
    assert resize(image, (4, 1)).tolist() == [[0, 25, 75, 100]]


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (20, 30, 3)])
@pytest.mark.parametrize("size", [(10, 8), (60, 40), (60, 8), (30, 20)])
def test_resize_keeps_the_axes(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    assert resize(noise(*shape), size).shape == (size[1], size[0], *shape[2:])


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (20, 30, 3)])
def test_thumbnail_is_rgb_of_the_size(shape: tuple[int, ...]) -> None:
    small = thumbnail(noise(*shape), (96, 32))
    assert small.shape == (32, 96, 3)
    assert small.dtype == np.uint8


def test_grey_thumbnail_repeats_the_grey() -> None:
    image = noise(20, 30)
    np.testing.assert_array_equal(thumbnail(image, (9, 6)), thumbnail(np.stack([image] * 3, axis=2), (9, 6)))


@pytest.mark.parametrize("size", [(37, 50), (64, 192), (90, 97), (301, 700), (20, 400)])
def test_a_thumbnail_is_close_to_exact_means(size: tuple[int, int]) -> None:
    smooth = cv2.GaussianBlur(noise(*size, 3), (0, 0), 2 * max(size[0] / 32, size[1] / 96))
    assert np.abs(thumbnail(smooth, (96, 32)).astype(int) - resize(smooth, (96, 32))).max() <= 2
    grain = noise(*size, 3)
    assert thumbnail(grain, (96, 32)).std() < 1.4 * resize(grain, (96, 32)).std()


@pytest.mark.parametrize("shape", [(80, 230, 3), (81, 231, 3), (64, 192), (300, 97, 1), (20, 400, 3)])
@pytest.mark.parametrize("size", [(96, 32), (96, 40), (115, 40), (48, 150)])
def test_a_resizer_gives_what_quick_resize_gives(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    resizer = QuickResizer()
    for source in (image, image[::-1], np.rot90(image), image):
        for wanted in (size, (size[0] // 2, size[1]), size):
            np.testing.assert_array_equal(resizer(source, wanted), quick_resize(source, wanted))


def test_a_resizer_halves_once(monkeypatch: pytest.MonkeyPatch) -> None:
    image, seen = noise(200, 600, 3), []

    def noted(source: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        seen.append(source.shape[:2])
        return quick_resize(source, size)

    monkeypatch.setattr("rectify.shape.quick_resize", noted)
    resizer = QuickResizer()
    for size in ((96, 32), (90, 30), (300, 100)):
        resizer(image, size)
    assert seen.count((200, 600)) == 1


def test_a_resizer_does_not_take_one_image_for_another() -> None:
    """Images that nobody else holds: in memory the next one may lie where the last one was."""
    resizer = QuickResizer()
    for grey in range(50):
        assert (resizer(np.full((80, 240, 3), grey, np.uint8), (96, 32)) == grey).all()


def test_shape_of_the_whole_crop_is_its_size_without_the_margin() -> None:
    length, height = text_shape(to_pixels(canonical_points(5, 5), (200, 50)), 5, 5)
    assert length * (1 + 2 * MARGIN[0]) == pytest.approx(200)
    assert height * (1 + 2 * MARGIN[1]) == pytest.approx(50)


@given(st.floats(-math.pi, math.pi))
def test_shape_does_not_depend_on_rotation(angle: float) -> None:
    points = to_pixels(canonical_points(3, 4), (120, 40))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    assert text_shape(points @ turn.T, 3, 4) == pytest.approx(text_shape(points, 3, 4))


def test_shape_of_an_arc_is_its_arc_length() -> None:
    radius, angle, height = 100.0, math.pi / 2, 20.0
    x, y = canonical_points(5, 9).T
    around = x * angle * (1 + 2 * MARGIN[0]) / 2
    from_center = radius - y * height * (1 + 2 * MARGIN[1]) / 2
    points = np.stack([from_center * np.sin(around), -from_center * np.cos(around)], axis=1)
    measured = text_shape(points, 5, 9)
    assert measured == (pytest.approx(radius * angle, rel=0.01), pytest.approx(height, rel=0.02))


def test_shape_takes_batches() -> None:
    points = np.stack([to_pixels(canonical_points(5, 5), size) for size in [(200, 50), (100, 30), (64, 64)]])
    lengths, heights = text_shape(points, 5, 5)
    for index in range(3):
        assert (lengths[index], heights[index]) == pytest.approx(text_shape(points[index], 5, 5))


@pytest.mark.parametrize(
    ("crop", "width"),
    [((100, 25), 160), ((100, 50), 80), ((20, 50), 64), ((2000, 25), 512), ((200, 24), 320), ((30, 3000), 64)],
)
def test_sample_width_of_whole_crops(crop: tuple[int, int], width: int) -> None:
    """32 · 1.2 · aspect, to the nearest multiple of 16, between 64 and 512."""
    shape = text_shape(to_pixels(canonical_points(2, 2), crop), 2, 2)
    assert sample_width(*shape, RECOGNIZER_CONFIG) == width


@pytest.mark.parametrize("shape", [(0, 0), (5, 0), (float("nan"), 1), (1, float("nan")), (float("inf"), 1)])
def test_degenerate_shapes_still_have_a_width(shape: tuple[float, float]) -> None:
    assert sample_width(*shape, RECOGNIZER_CONFIG) in (64, 512)


@given(st.floats(0, 1e5), st.floats(0, 1e5))
def test_sample_width_is_always_one_of_the_trained_ones(length: float, height: float) -> None:
    assert sample_width(length, height, RECOGNIZER_CONFIG) in range(64, 513, 16)


@pytest.mark.parametrize(("least", "scale"), [(0, 1.0), (20, 1.0), (30, 1.5), (40, 2.0), (64, 2.0)])
def test_small_words_are_sampled_finer_up_to_twice(least: int, scale: float) -> None:
    """A word of 100 x 20 pixels without margin in a crop of 200 x 50."""
    assert frame_size(noise(50, 200, 3), 100.0, 20.0, (0.0, 0.0), least) == (100 * scale, 20 * scale)


@pytest.mark.parametrize(("least", "longest"), [(0, 400), (2, 800)])
def test_a_degenerate_word_is_no_longer_than_the_pixels_of_its_source_allow(least: int, longest: int) -> None:
    assert frame_size(noise(10, 10, 3), 1e9, 1e-3, (0.0, 0.0), least)[0] == longest
