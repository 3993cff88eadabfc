from __future__ import annotations

import numpy as np
import pytest

from rectify.conventions import MARGIN, canonical_points
from rectify.strength import bend_strength

HEIGHT = 20.0
LENGTH = 100.0
FLAT = canonical_points(5, 5) * np.array([LENGTH * (1 + 2 * MARGIN[0]), HEIGHT * (1 + 2 * MARGIN[1])]) / 2


def test_an_upright_rectangle_is_not_bent_wherever_it_lies() -> None:
    assert bend_strength(FLAT, 5, 5) == pytest.approx(0, abs=1e-4)
    assert bend_strength(FLAT * (3, 0.5) + (40, 70), 5, 5) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("degrees", [5.0, -10.0, 45.0])
def test_a_turned_word_is_bent_by_its_slope(degrees: float) -> None:
    """Points evenly along an edge of length L deviate by L·sin/√12, a little more for few points."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    expected = 100 * LENGTH * abs(np.sin(angle)) / np.sqrt(12) / HEIGHT * np.sqrt(18 / 16)
    assert bend_strength(FLAT @ turn.T, 5, 5) == pytest.approx(expected, rel=1e-3)


def test_it_does_not_depend_on_the_resolution() -> None:
    bent = FLAT + np.column_stack([np.zeros(25), (FLAT[:, 0] / LENGTH) ** 2 * HEIGHT])
    assert bend_strength(bent, 5, 5) > 5
    assert bend_strength(3 * bent, 5, 5) == pytest.approx(bend_strength(bent, 5, 5))


def test_points_that_fell_together_give_a_number() -> None:
    assert bend_strength(np.zeros((25, 2)), 5, 5) == 0
    assert np.isfinite(bend_strength(FLAT * (1, 0) @ np.array([[1, 1], [0, 0]]), 5, 5))
