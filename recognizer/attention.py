"""Decoding the logits of attention heads in numpy."""

from __future__ import annotations

import numpy as np

from recognizer.ctc import Decoded, Logits, log_softmax


def greedy(logits: Logits, first: int, end: int, characters: int) -> Decoded:
    """The most probable letter of each step, up to the one that ends the word.

    Args:
        logits: (N, T, C).
        first: class of the first character; others follow.
        end: class that ends a word.
        characters: how many there are. Classes that are neither one of them nor the end stand for nothing and are
            left out of the text.

    Returns:
        For each sample its character indices, from 1, and its confidence: the geometric mean of the probabilities of
        its letters and of its end.
    """
    scores = log_softmax(logits)
    best = logits.argmax(-1)
    decoded = []
    for classes, probabilities in zip(best, scores.max(-1), strict=True):
        ends = np.flatnonzero(classes == end)
        length = int(ends[0]) if len(ends) else len(classes)
        letters = [int(c) - first + 1 for c in classes[:length] if first <= c < first + characters]
        decoded.append((letters, float(np.exp(probabilities[: length + 1].mean()))))
    return decoded
