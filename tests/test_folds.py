"""Splines that fold, and what is left of their bends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rectify.conventions import canonical_points
from rectify.folds import folds_over, unfolded

ROWS, COLS = 4, 6
IDENTITY = canonical_points(ROWS, COLS)


def crossed() -> np.ndarray:
    """Two columns of points that have changed places."""
    points = IDENTITY.reshape(ROWS, COLS, 2).copy()
    points[:, [1, 2]] = points[:, [2, 1]]
    return points.reshape(-1, 2)


def test_folds() -> None:
    missing = np.full_like(IDENTITY, np.nan)
    points = np.stack([IDENTITY, IDENTITY * 0.5 + 0.1, IDENTITY * [-1, 1], crossed(), IDENTITY * 0, missing])
    assert folds_over(points, ROWS, COLS).tolist() == [False, False, True, True, True, True]
    assert folds_over(points[:0], ROWS, COLS).tolist() == []


@given(st.floats(0, 6.28), st.floats(0.1, 3), st.floats(-2, 2))
def test_turning_scaling_and_moving_folds_nothing(angle: float, scale: float, shift: float) -> None:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = scale * canonical_points(2, 7) @ turn + shift
    assert not folds_over(points[None], 2, 7)[0]


def test_what_does_not_fold_is_left_as_it_is() -> None:
    bent = IDENTITY + np.column_stack([np.zeros(len(IDENTITY)), 0.2 * IDENTITY[:, 0] ** 2])
    points = np.stack([IDENTITY, bent]).astype(np.float32)
    assert unfolded(points, ROWS, COLS) is points


def test_of_a_folding_bend_the_most_is_kept() -> None:
    """Halves of the way from the nearest affine map, which is the identity itself for a bend that is even in x."""
    bend = np.column_stack([np.zeros(len(IDENTITY)), IDENTITY[:, 1] * (1.0 - 3 * IDENTITY[:, 0] ** 2)])
    terms = np.column_stack([np.ones(len(IDENTITY)), IDENTITY])
    bend -= terms @ np.linalg.lstsq(terms, bend, rcond=None)[0]
    points = np.stack([IDENTITY + bend, IDENTITY])
    result = unfolded(points, ROWS, COLS)
    kept = (result[0] - IDENTITY)[:, 1] @ bend[:, 1] / (bend[:, 1] @ bend[:, 1])
    np.testing.assert_allclose(result[0], IDENTITY + kept * bend, atol=1e-12)
    assert 0 < kept < 1 and 16 * kept == pytest.approx(round(16 * kept))
    more = IDENTITY + (kept + 1 / 16) * bend
    assert folds_over(np.stack([result[0], more]), ROWS, COLS).tolist() == [False, True]
    np.testing.assert_array_equal(result[1], IDENTITY)


def test_a_change_that_folds_goes_back_towards_what_was_before() -> None:
    before = IDENTITY * 0.8
    points = np.stack([before + (crossed() - IDENTITY), before + 0.1])
    result = unfolded(points, ROWS, COLS, earlier=np.stack([before, before]))
    kept = np.linalg.norm(result[0] - before) / np.linalg.norm(points[0] - before)
    np.testing.assert_allclose(result[0], before + kept * (points[0] - before), atol=1e-12)
    assert 0 < kept < 1 and not folds_over(result, ROWS, COLS).any()
    np.testing.assert_array_equal(result[1], points[1])


@pytest.mark.parametrize("points", [IDENTITY * [-1, 1], IDENTITY * [1, 0]])
def test_the_crop_stands_in_for_a_mirrored_or_flat_map(points: np.ndarray) -> None:
    np.testing.assert_allclose(unfolded(points[None], ROWS, COLS)[0], IDENTITY)


@given(st.integers(0, 1000))
def test_nothing_folds_afterwards(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.3, (3, len(IDENTITY), 2))
    result = unfolded((IDENTITY + noise).astype(np.float32), ROWS, COLS)
    assert result.dtype == np.float32
    assert not folds_over(result.astype(np.float64), ROWS, COLS).any()
