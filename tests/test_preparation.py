"""Pictures for other projects' networks: to the bit what Pillow makes of them, and padded or stretched as they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from recognizer.preparation import Preparation, resample, to_grey, with_contrast


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, channels), np.uint8)


FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
FIRST = pytest.mark.skipif(int(Image.__version__.split(".")[0]) < 13, reason="older ones always start with the width")


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize(
    ("size", "target"),
    [
        ((40, 20), (100, 32)),
        ((300, 80), (100, 32)),
        ((7, 3), (256, 64)),
        ((50, 32), (100, 32)),
        ((100, 50), (100, 32)),
        ((100, 32), (100, 32)),
        pytest.param((90, 120), (100, 32), marks=FIRST),
    ],
)
def test_resizing_is_pillows_to_the_bit(size: tuple[int, int], target: tuple[int, int], name: str) -> None:
    image = noise(size[1], size[0])
    expected = np.asarray(Image.fromarray(image).resize(target, FILTERS[name]))
    np.testing.assert_array_equal(resample(image, target, name), expected)


@FIRST
@settings(deadline=None, max_examples=30)
@given(st.integers(2, 90), st.integers(2, 150), st.integers(2, 60), st.sampled_from(sorted(FILTERS)))
def test_resizing_is_pillows_whatever_the_sizes(height: int, width: int, target: int, name: str) -> None:
    image = noise(height, width, 1)
    expected = np.asarray(Image.fromarray(image[:, :, 0]).resize((2 * target, target), FILTERS[name]))
    np.testing.assert_array_equal(resample(image, (2 * target, target), name)[:, :, 0], expected)


def test_grey_is_pillows() -> None:
    image = noise(40, 50)
    np.testing.assert_array_equal(to_grey(image)[:, :, 0], np.asarray(Image.fromarray(image).convert("L")))
    grey = np.repeat(noise(8, 256, 1), 3, axis=2)
    np.testing.assert_array_equal(to_grey(grey), grey[:, :, :1])


def test_what_is_prepared_stays_as_it_is() -> None:
    for prepare in (Preparation(32, 100), Preparation(64, 256, grey=False, filter="bilinear")):
        once = prepare(noise(37, 81))
        assert once.shape == (prepare.height, prepare.width, 3)
        np.testing.assert_array_equal(prepare(once), once)


def test_grey_and_single_channels_are_the_same_picture() -> None:
    image = noise(20, 60, 1)
    for prepare in (Preparation(32, 100), Preparation(32, 100, grey=False), Preparation(32, 100, pad=True)):
        first = prepare(image)
        np.testing.assert_array_equal(first, prepare(image[:, :, 0]))
        np.testing.assert_array_equal(first, prepare(np.repeat(image, 3, axis=2)))


def test_padding_keeps_the_proportions_and_repeats_the_last_column() -> None:
    image = noise(16, 20, 1)
    prepared = Preparation(32, 100, pad=True)(image)
    np.testing.assert_array_equal(prepared[:, :40, :1], resample(image, (40, 32)))
    assert (prepared[:, 40:] == prepared[:, 39:40]).all()
    np.testing.assert_array_equal(Preparation(32, 100, pad=True)(noise(8, 90)), Preparation(32, 100)(noise(8, 90)))


def test_padding_to_whole_heights() -> None:
    prepare = Preparation(64, 0, pad=True, whole_heights=True, presize=True)
    for width, expected in ((32, 64), (33, 128), (64, 128), (10, 64), (320, 640)):
        assert prepare(noise(32, width)).shape == (64, expected, 3)
    image = noise(32, 64, 1)
    scaled = cv2.resize(image, (128, 64), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(prepare(image)[:, :, 0], scaled)


def test_contrast_is_stretched_where_it_is_faint() -> None:
    faint = np.tile(np.arange(100, 180, 4, dtype=np.uint8), (10, 1))[:, :, None]
    strong = with_contrast(faint, 0.5)
    assert strong.dtype == np.uint8 and np.ptp(strong.astype(int)) > 150
    assert (np.diff(strong[0, :, 0].astype(int)) >= 0).all()
    clear = np.tile(np.array([0, 255], np.uint8), (10, 10))[:, :, None]
    np.testing.assert_array_equal(with_contrast(clear, 0.5), clear)
    assert with_contrast(np.full((5, 5, 1), 7, np.uint8), 0.5).shape == (5, 5, 1)


def test_configuration_of_a_weight_file() -> None:
    prepare = Preparation(64, 256, False, "bilinear")
    assert Preparation.from_config({**vars(prepare), "unknown": 1}) == prepare
