"""Candidates beside the most probable text: which they are, in which order, and that the right one is among them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from recognizer.candidates import candidates
from recognizer.ctc import greedy, log_softmax


def frames(*rows: dict[int, float], classes: int = 5) -> NDArray[np.float64]:
    """Log probabilities (1, T, C) of frames that name some classes; the rest shares next to nothing."""
    table = np.full((len(rows), classes), 1e-9)
    for row, given_row in zip(table, rows, strict=True):
        row[list(given_row)] = list(given_row.values())
    return np.log(table / table.sum(1, keepdims=True))[None]


def test_a_sure_word_has_no_other() -> None:
    assert candidates(frames({1: 1.0}, {0: 1.0}, {2: 1.0}), 10) == [[(1, 2)]]


def test_the_cheapest_change_comes_first() -> None:
    """A substitution at 0.4, a character missed at 0.3, one too many at 0.2."""
    table = frames({1: 0.6, 2: 0.4}, {0: 0.7, 3: 0.3}, {4: 0.8, 0: 0.2})
    assert candidates(table, 4) == [[(1, 4), (2, 4), (1, 3, 4), (2, 3, 4)]]
    (many,) = candidates(table, 100)
    assert (2, 3) in many and (1,) in many


def test_a_run_may_hide_a_double_letter() -> None:
    assert candidates(frames({1: 1.0}, {1: 0.6, 0: 0.4}, {1: 1.0}), 10) == [[(1,), (1, 1)]]


def test_no_more_than_asked_for_and_none_without_a_frame_to_change() -> None:
    table = frames({1: 0.6, 2: 0.4}, {0: 0.7, 3: 0.3}, {4: 0.8, 0: 0.2})
    assert [len(texts) for texts in candidates(table, 7)] == [7]
    assert candidates(frames({0: 1.0}), 3) == [[()]]
    assert candidates(np.zeros((0, 3, 5)), 3) == []


@given(st.integers(0, 10_000))
def test_texts_differ_and_begin_with_that_of_the_best_path(seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, (1, 8, 6))
    (found,) = candidates(log_softmax(logits), 20)
    assert len(set(found)) == len(found)
    assert list(found[0]) == greedy(logits)[0][0]


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_each_word_has_the_texts_that_it_has_alone(seed: int, words: int) -> None:
    looks = log_softmax(np.random.default_rng(seed).normal(0, 3, (words, 7, 6)))
    assert candidates(looks, 12) == [candidates(look[None], 12)[0] for look in looks]
