"""Letters when rectified: even for the truth, uneven by as much as the map is, cut off by as much as is outside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from data.synth.geometry import Curve, WordGeometry
from rectify.conventions import TEXT_EXTENT, canonical_points
from train.letter_errors import is_inside, letter_errors

ROWS = COLS = 5
LETTERS = ((-1.0, -0.6), (-0.5, -0.1), (0.0, 0.4), (0.6, 1.0))
FLAT = WordGeometry((192, 64), 4.0, Curve(), ((0.3, 0, 0), (0, 1.2, 0), (0, 0, 1)), LETTERS)
BENT = WordGeometry(
    (192, 64), 5.0, Curve("arc", 1.2), ((0.25, 0.04, 0.05), (0.05, 0.7, -0.1), (0.01, 0.02, 1)), LETTERS
)


def looking(x: float = 0.0, y: float = 0.0, scale: float = 1.0) -> NDArray[np.float64]:
    """Control points of ``FLAT`` that look at the flat word moved and scaled."""
    return FLAT.map(canonical_points(ROWS, COLS) / np.array(TEXT_EXTENT) * scale + [x, y])


@pytest.mark.parametrize("truth", [FLAT, BENT])
def test_the_truth_is_even_and_whole(truth: WordGeometry) -> None:
    errors = letter_errors(truth.control_points(9, 9), truth, 9, 9)
    assert errors.height == pytest.approx(0, abs=0.3)
    assert errors.spacing == pytest.approx(0, abs=0.3)
    assert errors.cut_off == 0


def test_an_arc_left_as_it_is_shows_uneven_letters() -> None:
    crop = canonical_points(ROWS, COLS)
    errors = letter_errors(crop, replace(BENT, matrix=((0.25, 0, 0), (0, 0.7, 0), (0.1, 0, 1))), ROWS, COLS)
    assert errors.height is not None and errors.height > 3
    assert errors.spacing is not None and errors.spacing > 3


def test_perspective_that_was_not_undone_shows_in_the_heights() -> None:
    """Letters at flat x are 1 / (1 + x / 2) as high, so their heights are known exactly."""
    truth = replace(FLAT, matrix=((0.3, 0, 0), (0, 1.2, 0), (0.25, 0, 1)))  # bent x is twice the flat one
    errors = letter_errors(canonical_points(ROWS, COLS), truth, ROWS, COLS)
    heights = 1 / (1 + np.mean(LETTERS, axis=1) / 2)
    assert errors.height == pytest.approx(100 * heights.std() / heights.mean(), abs=1e-3)


def test_one_letter_has_no_evenness_and_a_folded_spline_none() -> None:
    alone = letter_errors(looking(), replace(FLAT, characters=LETTERS[:1]), ROWS, COLS)
    assert (alone.height, alone.spacing) == (None, None)
    folded = letter_errors(canonical_points(ROWS, COLS) * 0, FLAT, ROWS, COLS)
    assert (folded.height, folded.spacing, folded.cut_off) == (None, None, 100)


@pytest.mark.parametrize(("shift", "share"), [(0.1, 0), (0.12 + 0.2, 100 / 8), (0.12 + 0.4, 100 / 4), (2.2, 100)])
def test_what_is_cut_off(shift: float, share: float) -> None:
    """The frame reaches to 1.12 of the half length; each letter is a quarter of the ink."""
    errors = letter_errors(looking(x=shift), FLAT, ROWS, COLS)
    assert errors.cut_off == pytest.approx(share, abs=1.5)
    assert (errors.cut_off == 0) == (share == 0)


def test_low_letters_are_not_cut_off_where_high_ones_would_be() -> None:
    lowered = looking(y=0.12 * 2 + 0.3)  # the frame begins 0.3 below the top of the ink box
    assert letter_errors(lowered, FLAT, ROWS, COLS).cut_off > 10
    low = replace(FLAT, heights=((-0.6, 1.0),) * 4)
    assert letter_errors(lowered, low, ROWS, COLS).cut_off == 0


def test_where_ink_is_known_only_ink_is_cut_off() -> None:
    """The right half of the word without ink but for the last letter's lower half, the frame as high as its middle."""
    ink = np.zeros((10, 40), bool)
    ink[:, :20] = ink[5:, 32:] = True
    shifted = looking(y=-1.24)  # the frame ends at the middle of the ink box
    cut = letter_errors(shifted, FLAT, ROWS, COLS, ink=ink).cut_off
    assert cut == pytest.approx(100 * (5 * 20 + 5 * 8) / (10 * 20 + 5 * 8))
    ink[5:] = False
    assert letter_errors(shifted, FLAT, ROWS, COLS, ink=ink).cut_off == 0
    assert letter_errors(shifted, FLAT, ROWS, COLS).cut_off > 0


def test_a_picture_without_ink_counts_as_none() -> None:
    shifted = looking(y=-1.24)
    blank = letter_errors(shifted, FLAT, ROWS, COLS, ink=np.zeros((3, 9), bool)).cut_off
    assert blank == letter_errors(shifted, FLAT, ROWS, COLS).cut_off


def test_a_wider_margin_cuts_less() -> None:
    points = looking(x=0.3)
    assert letter_errors(points, FLAT, ROWS, COLS).cut_off > 0
    assert letter_errors(points, FLAT, ROWS, COLS, (0.2, 0.12)).cut_off == 0


def test_what_a_border_that_crosses_itself_goes_around_is_shown() -> None:
    """Half a circle, whose frame overlaps itself where it is wide."""
    arc = WordGeometry((200, 100), 5.0, Curve("arc", 3.0), FLAT.matrix, LETTERS)
    points = arc.control_points(ROWS, COLS)
    margins = [(0.06, 0.12), (0.2, 0.4), (0.5, 0.8), (1.0, 1.0), (2.0, 2.0)]
    assert [letter_errors(points, arc, ROWS, COLS, margin).cut_off for margin in margins] == [0] * len(margins)


def test_inside_and_outside() -> None:
    arrow = np.array([[0.0, 0], [4, 0], [4, 4], [2, 1], [0, 4]])
    points = np.array([[2, 0.5], [0.5, 2], [3.5, 2], [2, 2], [-1, 1], [2, -1], [5, 4]])
    assert is_inside(points, arrow).tolist() == [True, True, True, False, False, False, False]
    assert is_inside(points, arrow[::-1]).tolist() == [True, True, True, False, False, False, False]
