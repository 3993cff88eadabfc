"""Letters of a known text in a CTC head's frames: exact cases, and against all paths."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recognizer.ctc import log_softmax
from recognizer.ctc_alignment import align


def frames_of(path: list[int], classes: int = 4, sure: float = 0.9) -> np.ndarray:
    """Log probabilities that show one class a frame."""
    probabilities = np.full((len(path), classes), (1 - sure) / (classes - 1))
    probabilities[np.arange(len(path)), path] = sure
    return np.log(probabilities)


def test_letters_are_where_they_are_seen() -> None:
    found = align(frames_of([0, 1, 0, 0, 2, 2, 0, 3]), [1, 2, 3])
    assert found is not None
    np.testing.assert_allclose(found.places, [1.5, 5.0, 7.5])
    np.testing.assert_allclose(found.seen, 0.9)


def test_a_letter_that_is_not_seen_is_placed_between_its_neighbours_and_doubted() -> None:
    found = align(frames_of([1, 0, 0, 0, 3]), [1, 2, 3])
    assert found is not None
    assert 1 < found.places[1] < 4 and found.seen[1] < 0.05 and found.seen[[0, 2]].min() > 0.8


def test_equal_neighbours_have_a_blank_between_them() -> None:
    found = align(frames_of([1, 1, 1]), [1, 1])
    assert found is not None
    np.testing.assert_allclose(found.places, [0.5, 2.5])


@pytest.mark.parametrize("text", [[1, 2, 3], [1, 1]])
def test_frames_that_are_too_few(text: list[int]) -> None:
    assert align(frames_of([1, 1]), text) is None


def merged(path: tuple[int, ...]) -> list[int]:
    return [c for before, c in zip((0, *path), path, strict=False) if c and c != before]


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.lists(st.integers(1, 2), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_it_is_the_most_probable_of_all_paths(seed: int, count: int, text: list[int]) -> None:
    frames = log_softmax(np.random.default_rng(seed).normal(0, 2, (count, 3)))
    paths = [path for path in product(range(3), repeat=count) if merged(path) == text]
    found = align(frames, text)
    if not paths:
        assert found is None
        return
    assert found is not None
    best = max(paths, key=lambda path: sum(frames[frame, c] for frame, c in enumerate(path)))
    runs: list[list[int]] = []
    for frame, (before, c) in enumerate(zip((0, *best), best, strict=False)):
        if c and c != before:
            runs.append([])
        if c:
            runs[-1].append(frame)
    for run, letter, place, seen in zip(runs, text, found.places, found.seen, strict=True):
        weights = np.exp(frames[run, letter])
        assert place == pytest.approx(weights @ (np.array(run) + 0.5) / weights.sum())
        assert seen == pytest.approx(weights.max())
