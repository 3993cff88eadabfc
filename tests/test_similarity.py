"""SSIM against its definition, and a rectified crop beside its flat rendering."""

from __future__ import annotations

import numpy as np
import pytest

from data.synth.geometry import Curve, WordGeometry
from helpers import noise
from rectify.shape import resize
from train.similarity import flat_similarity, ssim

WORD = WordGeometry((192, 64), 5.0, Curve("arc", 0.9), ((0.3, 0.02, 0), (0.02, 0.9, -0.1), (0, 0, 1)))


def test_equal_pictures_are_alike() -> None:
    image = noise(40, 60)
    assert ssim(image, image) == pytest.approx(1)


def test_one_window_by_the_formula() -> None:
    """On 11 x 11 pixels there is one window, and the formula can be written out."""
    a, b = noise(11, 11, seed=1), noise(11, 11, seed=2)
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = np.outer(line, line) / line.sum() ** 2
    x, y = a.astype(float), b.astype(float)
    mx, my = (weights * x).sum(), (weights * y).sum()
    vx, vy, cov = (
        (weights * (x - mx) ** 2).sum(),
        (weights * (y - my) ** 2).sum(),
        (weights * (x - mx) * (y - my)).sum(),
    )
    c1, c2 = 6.5025, 58.5225
    expected = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert ssim(a, b) == pytest.approx(expected, rel=1e-9)


def test_brighter_and_flatter_pictures_are_less_alike() -> None:
    image = noise(40, 60) // 2 + 64
    assert ssim(image, image + 20) > ssim(image, image // 2 + 64) > ssim(image, noise(40, 60, seed=5))


@pytest.mark.parametrize("shape", [(40, 61), (40, 60, 1)])
def test_pictures_that_cannot_be_compared_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="of one size"):
        ssim(noise(*shape), noise(40, 60))
    with pytest.raises(ValueError, match="from 11x11"):
        ssim(noise(10, 60), noise(10, 60))


def test_the_true_points_give_the_flat_rendering() -> None:
    # Noise this coarse is still alike when it is off by a little.
    image = resize(noise(8, 24, 3), (192, 64))
    exact = WORD.control_points(9, 9)
    assert flat_similarity(image, exact, WORD, 9, 9) > 0.95
    shifted = flat_similarity(image, exact + [4 / 192, 0], WORD, 9, 9)
    assert shifted < 0.9 and shifted > flat_similarity(image, exact + [16 / 192, 0], WORD, 9, 9)
