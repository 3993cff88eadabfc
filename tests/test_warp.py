"""Sampling in numpy and OpenCV: what must be exact, and what happens at borders and when shrinking."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from helpers import noise
from rectify import warp as module
from rectify.conventions import canonical_points, to_pixels
from rectify.warp import warp, warp_along, warp_batch

Image = NDArray[np.uint8]


def whole(image: Image, rows: int = 5, cols: int = 5) -> NDArray[np.float64]:
    """Control points of the crop's own rectangle."""
    return to_pixels(canonical_points(rows, cols), image.shape[1::-1])


def bilinear(image: Image, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bilinear values at pixel coordinates, border replicated, computed directly."""
    height, width = image.shape[:2]
    x0, y0 = np.floor(xs).astype(int), np.floor(ys).astype(int)
    fx, fy = (xs - x0)[..., None], (ys - y0)[..., None]

    def at(y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.float64]:
        return image[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)].astype(float)

    top = at(y0, x0) * (1 - fx) + at(y0, x0 + 1) * fx
    bottom = at(y0 + 1, x0) * (1 - fx) + at(y0 + 1, x0 + 1) * fx
    return top * (1 - fy) + bottom * fy


@pytest.mark.parametrize("shape", [(50, 200, 3), (50, 200), (50, 200, 1), (2, 2, 3), (300, 700, 3), (20, 20000)])
@pytest.mark.parametrize(("rows", "cols"), [(2, 2), (5, 5), (2, 10)])
def test_identity_is_exact(shape: tuple[int, ...], rows: int, cols: int) -> None:
    image = noise(*shape)
    result = warp(image, whole(image, rows, cols), rows, cols, (shape[1], shape[0]))
    np.testing.assert_array_equal(result, image)


@pytest.mark.parametrize("shift", [(0.5, 0), (0, 0.25), (-0.75, 0.5), (12.5, -7.25)])
def test_translation(shift: tuple[float, float]) -> None:
    image = noise(40, 90, 3)
    result = warp(image, whole(image) + shift, 5, 5, (90, 40))
    ys, xs = np.mgrid[:40, :90].astype(float)
    np.testing.assert_allclose(result, bilinear(image, xs + shift[0], ys + shift[1]), atol=1)


def test_affine() -> None:
    image = noise(40, 90, 3)
    matrix, shift = np.array([[0.5, 0.25], [-0.125, 0.5]]), np.array([16.5, 14.25])
    points = whole(image) @ matrix.T + shift
    result = warp(image, points, 5, 5, (90, 40))
    ys, xs = np.mgrid[:40, :90].astype(float)
    x, y = np.moveaxis(np.stack([xs, ys], -1) @ matrix.T + shift, -1, 0)
    np.testing.assert_allclose(result, bilinear(image, x, y), atol=5)  # OpenCV may round positions to 1/32 pixel
    assert np.abs(result - bilinear(image, x, y)).mean() < 1


def test_quarter_turn_and_mirror_are_exact() -> None:
    image = noise(30, 70, 3)
    grid = whole(image).reshape(5, 5, 2)
    turned = warp(image, np.rot90(grid).reshape(-1, 2), 5, 5, (30, 70))
    np.testing.assert_array_equal(turned, np.rot90(image))
    mirrored = warp(image, grid[:, ::-1].reshape(-1, 2), 5, 5, (70, 30))
    np.testing.assert_array_equal(mirrored, image[:, ::-1])


def test_border_is_replicated() -> None:
    image = noise(20, 30, 3)
    result = warp(image, whole(image) + np.array([25, 0]), 5, 5, (30, 20))
    np.testing.assert_array_equal(result[:, :5], image[:, 25:])
    np.testing.assert_array_equal(result[:, 5:], np.repeat(image[:, -1:], 25, axis=1))


def test_extent_shows_more_around_the_frame() -> None:
    image = noise(40, 60, 3)
    inner = to_pixels(canonical_points(5, 5) / 2, (60, 40))
    np.testing.assert_array_equal(warp(image, inner, 5, 5, (60, 40), extent=(2.0, 2.0)), image)


@pytest.mark.parametrize(("across", "down"), [(4, 4), (4, 1), (1, 5), (2, 8)])
def test_shrinking_averages_each_axis(across: int, down: int) -> None:
    image = noise(40, 80, 3)
    result = warp(image, whole(image), 5, 5, (80 // across, 40 // down))
    means = image.reshape(40 // down, down, 80 // across, across, 3).mean((1, 3))
    np.testing.assert_allclose(result, means, atol=1)


def test_shrinking_a_turned_word_is_averaged() -> None:
    """Stripes of one pixel, down to a fifth: every sample falls on a pixel, so that bilinear alone gives black or
    white; the average is grey."""
    image = np.zeros((400, 400), np.uint8)
    image[:, ::2] = 255
    corner = np.sqrt(0.5) * 100
    turn = np.array([[1, -1], [1, 1]]) * corner
    points = canonical_points(5, 5) @ turn.T + 200
    result = warp(image, points, 5, 5, (40, 40)).astype(float)
    assert np.abs(result - 127.5).max() < 45


def test_large_results_in_strips_agree_with_small_ones() -> None:
    image = noise(60, 90, 3)
    points = whole(image) + np.random.default_rng(0).normal(0, 3, (25, 2))
    large = warp(image, points, 5, 5, (900, 600))
    # Every tenth pixel from 4.5 is where the small result has its pixels; neighbours at 4 and 5 enclose it.
    small = warp(image, points, 5, 5, (90, 60)).astype(float)
    around = large[4::10, 4::10].astype(float) + large[5::10, 5::10] + large[4::10, 5::10] + large[5::10, 4::10]
    assert np.abs(around / 4 - small).mean() < 2


def test_grey_stays_grey() -> None:
    image = noise(20, 30)
    color = np.stack([image] * 3, axis=2)
    points = whole(image) + np.random.default_rng(0).normal(0, 2, (25, 2))
    grey = warp(image, points, 5, 5, (40, 25))
    assert grey.shape == (25, 40)
    np.testing.assert_array_equal(np.stack([grey] * 3, axis=2), warp(color, points, 5, 5, (40, 25)))


def test_points_that_fell_together_give_one_color() -> None:
    image = noise(20, 30, 3)
    result = warp(image, np.full((25, 2), 7.0), 5, 5, (8, 6))
    np.testing.assert_array_equal(result, np.broadcast_to(image[7, 7], (6, 8, 3)))


@pytest.mark.parametrize("size", [(300, 200), (60, 40), (100, 100), (700, 500)])
def test_along_any_map_is_as_along_a_spline(size: tuple[int, int]) -> None:
    """The spline of an affine map is that map; enlarged, shrunk, in strips, and with more around it. It reaches all of
    the image, so both average the same when they shrink."""
    image = noise(200, 300, 3)
    matrix = np.array([[120.0, 30.0], [-20.0, 80.0]])
    points = canonical_points(3, 4) @ matrix + (150, 100)
    for extent in ((1.0, 1.0), (1.25, 1.25)):
        expected = warp(image, points, 3, 4, size, extent).astype(int)
        result = warp_along(image, lambda flat: flat @ matrix + (150, 100), size, extent)
        assert np.abs(result - expected).max() <= 1


def test_along_a_map_shrinking_averages_the_part_it_reaches() -> None:
    image = np.zeros((300, 400), np.uint8)
    image[:, ::2] = 255
    result = warp_along(image, lambda flat: flat * (100, 50) + (200, 150), (40, 20))
    assert np.abs(result.astype(int) - 127).max() <= 40


@pytest.mark.parametrize("size", [(64, 32), (160, 32), (10, 300)])
def test_a_batch_gives_the_same_pictures(size: tuple[int, int]) -> None:
    """Enlarged and shrunk, colour and grey; and each as when it is alone."""
    images = [photo(60, 90, 3), photo(20, 30), photo(300, 40, 1), photo(200, 500, 3)]
    points = np.stack([whole(image) + np.random.default_rng(0).normal(0, 3, (25, 2)) for image in images])
    together = warp_batch(images, points, 5, 5, size)
    assert together.shape == (4, *size[::-1], 3)
    for image, place, kept in zip(images, points, together, strict=True):
        np.testing.assert_array_equal(warp_batch([image], place[None], 5, 5, size)[0], kept)
        direct = warp(image, place, 5, 5, size)
        difference = np.abs(kept.astype(int) - direct.reshape(*direct.shape[:2], -1))
        # Steps to no less than half stand for exact means where it shrinks.
        assert difference.mean() < 2
        assert difference.max() <= 12


def photo(*shape: int) -> np.ndarray:
    """As smooth as photographs are."""
    return cv2.GaussianBlur(noise(*shape), (0, 0), 3).reshape(shape)


@pytest.mark.parametrize("along", [False, True])
def test_views_are_copied_once_and_not_for_every_strip(along: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    view = noise(300, 900, 3)[::-1, :, ::-1]
    points = to_pixels(canonical_points(5, 5), view.shape[1::-1])
    seen = []

    def spy(source: NDArray[np.uint8], *rest: Any) -> None:
        seen.append(source)
        sample(source, *rest)

    sample = module._sample
    monkeypatch.setattr(module, "_sample", spy)
    if along:
        result = warp_along(view, lambda flat: to_pixels(flat, (900, 300)), (900, 300))
    else:
        result = warp(view, points, 5, 5, (900, 300))
    np.testing.assert_array_equal(result, view)
    assert len(seen) > 1 and len({id(source) for source in seen}) == 1 and seen[0].flags.c_contiguous


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_sharp_sampling_keeps_stripes_that_bilinear_sampling_dulls(channels: tuple[int, ...]) -> None:
    """Stripes of six pixels, seen half a pixel further: bilinear sampling takes an eighth of their contrast."""
    x = np.arange(90).reshape(1, 90, *[1] * len(channels))

    def stripes(shift: float) -> np.ndarray:
        wave = 128 + 100 * np.sin((x + shift) * (np.pi / 3))
        return np.rint(np.broadcast_to(wave, (40, 90, *channels))).astype(np.uint8)

    points = whole(stripes(0)) + np.array([0.5, 0])
    expected = stripes(0.5)[:, 3:-3].astype(int)
    errors = [
        np.abs(warp(stripes(0), points, 5, 5, (90, 40), sharp=sharp)[:, 3:-3] - expected).max()
        for sharp in (False, True)
    ]
    assert 10 < errors[0] < 15 and errors[1] < 4
    np.testing.assert_array_equal(warp(stripes(0), whole(stripes(0)), 5, 5, (90, 40), sharp=True), stripes(0))


def test_a_batch_of_nothing() -> None:
    assert warp_batch([], np.zeros((0, 25, 2)), 5, 5, (64, 32)).shape == (0, 32, 64, 3)
