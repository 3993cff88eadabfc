"""Decoders against the enumeration of every path."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recognizer.ctc import beam, confidence, greedy, log_probability, log_softmax, quick_log_probability

seeds = st.integers(0, 10_000)


def from_path(path: list[int], classes: int = 4) -> NDArray[np.float64]:
    """Logits (1, T, C) that are sure of a path."""
    return 50.0 * np.eye(classes)[path][None]


def random_logits(seed: int, count: int = 3, steps: int = 4, classes: int = 3) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, 2, (count, steps, classes))


def enumerated(logits: NDArray[np.float64]) -> dict[tuple[int, ...], float]:
    """Probability of every text of one sample (T, C), summed over all its paths."""
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    texts: dict[tuple[int, ...], float] = defaultdict(float)
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        text = tuple(c for c, _ in itertools.groupby(path) if c != 0)
        texts[text] += math.prod(probabilities[t, c] for t, c in enumerate(path))
    return texts


@pytest.mark.parametrize("decoder", [greedy, beam])
@pytest.mark.parametrize(
    ("path", "text"),
    [
        ([0, 0, 0], []),
        ([1, 1, 2], [1, 2]),
        ([1, 0, 1], [1, 1]),
        ([0, 3, 3, 0, 0, 3, 2, 2], [3, 3, 2]),
        ([2], [2]),
    ],
)
def test_sure_paths(decoder: type, path: list[int], text: list[int]) -> None:
    ((indices, sure),) = decoder(from_path(path))
    assert indices == text
    assert sure == pytest.approx(1)


def test_beam_sums_paths_where_the_best_path_is_wrong() -> None:
    """Blank 0.6 and one character 0.4 in two frames: the best path is empty (0.36), the best text is not (0.64)."""
    logits = np.log([[[0.6, 0.4], [0.6, 0.4]]])
    assert greedy(logits) == [([], pytest.approx(0.36))]
    assert beam(logits) == [([1], pytest.approx(0.64))]


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_wide_beam_finds_the_most_probable_text(seed: int) -> None:
    logits = random_logits(seed)
    for sample, (indices, sure) in zip(logits, beam(logits, width=100), strict=True):
        texts = enumerated(sample)
        assert texts[tuple(indices)] == pytest.approx(max(texts.values()))
        assert sure == pytest.approx(texts[tuple(indices)] ** (1 / max(1, len(indices))))


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_log_probability_is_the_sum_over_all_paths(seed: int) -> None:
    logits = random_logits(seed, count=1)
    texts = enumerated(logits[0])
    many = np.repeat(logits, len(texts), axis=0)
    np.testing.assert_allclose(np.exp(log_probability(many, list(texts))), list(texts.values()), rtol=1e-9)
    assert sum(texts.values()) == pytest.approx(1)


def test_a_text_that_does_not_fit_has_no_probability() -> None:
    logits = random_logits(0, count=3, steps=2)
    np.testing.assert_array_equal(log_probability(logits, [[1, 2, 1], [1, 1], [1, 2, 1, 2]]), [-np.inf] * 3)
    assert confidence(logits, [[1, 2, 1], [1, 1], [1, 2, 1, 2]]) == [0, 0, 0]


@pytest.mark.parametrize("spread", [0.0, 2.0])
def test_confidence_is_the_log_probability_of_long_texts_too(spread: float) -> None:
    """Undecided frames: many alignments, whose sum would leave the range of a number in so many of them."""
    logits = np.random.default_rng(0).normal(0, 1, (1, 1800, 4)) * spread
    logits[:, ::3, 1] += 1e-6  # without any spread, an empty text would be the only one
    texts = [text for text, _ in greedy(logits)]
    lengths = np.array([len(text) for text in texts])
    assert lengths.min() >= 1
    expected = np.exp(np.minimum(0, log_probability(logits, texts) / lengths))
    np.testing.assert_allclose(confidence(logits, texts), expected, rtol=1e-4)


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_greedy_is_the_best_path(seed: int) -> None:
    logits = random_logits(seed, count=5, steps=12, classes=4)
    for sample, (indices, sure) in zip(logits, greedy(logits), strict=True):
        assert indices == [c for c, _ in itertools.groupby(sample.argmax(-1).tolist()) if c != 0]
        assert 0 < sure <= 1


@pytest.mark.parametrize("decoder", [greedy, beam])
def test_a_batch_is_its_samples(decoder: type) -> None:
    logits = random_logits(3, count=6, steps=20, classes=5)
    together = decoder(logits)
    for index in range(6):
        ((indices, sure),) = decoder(logits[index : index + 1])
        assert together[index] == (indices, pytest.approx(sure))


@pytest.mark.parametrize("decoder", [greedy, beam])
def test_adding_a_constant_to_a_frame_changes_nothing(decoder: type) -> None:
    logits = random_logits(4, steps=10)
    shifted = logits + np.random.default_rng(0).normal(0, 100, (3, 10, 1))
    for (a, sure_a), (b, sure_b) in zip(decoder(logits), decoder(shifted), strict=True):
        assert a == b
        assert sure_a == pytest.approx(sure_b)


@pytest.mark.parametrize("decoder", [greedy, beam])
def test_long_and_extreme_logits_stay_finite(decoder: type) -> None:
    logits = np.random.default_rng(0).normal(0, 300, (2, 128, 95)).astype(np.float32)
    for indices, sure in decoder(logits):
        assert len(indices) > 50
        assert 0 <= sure <= 1


def test_confidence_is_a_mean_over_characters() -> None:
    """Twice the same character with a sure blank between: twice as improbable, just as confident."""
    once = np.log([[[0.3, 0.7]]])
    twice = np.log([[[0.3, 0.7], [1, 1e-30], [0.3, 0.7]]])
    assert greedy(once) == [([1], pytest.approx(0.7))]
    assert greedy(twice) == [([1, 1], pytest.approx(0.7))]


def test_no_samples() -> None:
    assert greedy(np.zeros((0, 5, 3))) == []
    assert beam(np.zeros((0, 5, 3))) == []


def test_log_softmax_sums_to_one() -> None:
    np.testing.assert_allclose(np.exp(log_softmax(random_logits(0) * 1000)).sum(-1), 1)


def test_quick_log_probabilities_of_several_texts_a_sample_are_the_exact_ones() -> None:
    logits = np.random.default_rng(0).normal(size=(2, 12, 4))
    texts, owners = [[1, 2], [3], [2, 2, 1]], np.array([1, 0, 1])
    quick = quick_log_probability(log_softmax(logits), texts, owners)
    np.testing.assert_allclose(quick, log_probability(logits[owners], texts), atol=1e-9)
