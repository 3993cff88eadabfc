"""Decoding the logits of attention heads in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recognizer.ctc import Decoded, Logits, log_softmax

END = 0
"""Class that ends a word in this project's own head, where class 1 + i is the i-th character."""


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


def both_ways(logits: Logits, characters: int) -> Decoded:
    """The better of two readings of each word, one from the left and one from the right.

    Args:
        logits: (N, 2, T, 1 + characters) as ``attention_network.AttentionHead`` gives them.

    Source: Shi et al., ASTER, PAMI 2018, section 3.2.3.
    """
    return [read for read, _ in read_with_maps(logits, np.empty((*logits.shape[:3], 0)), characters)]


def read_with_maps(
    logits: Logits, maps: NDArray[np.floating], characters: int
) -> list[tuple[tuple[list[int], float], NDArray[np.floating]]]:
    """``both_ways``, and where each letter of the better reading was looked for.

    Args:
        maps: (N, 2, T, frames) beside the logits.

    Returns:
        For each word its reading, and the maps (L, frames) of its L letters from the first on.
    """
    from_left, from_right = (greedy(logits[:, side], 1, END, characters) for side in (0, 1))
    chosen = []
    for left, right, (left_maps, right_maps) in zip(from_left, from_right, maps, strict=True):
        if left[1] >= right[1]:
            chosen.append((left, left_maps[: len(left[0])]))
        else:
            chosen.append(((right[0][::-1], right[1]), right_maps[: len(right[0])][::-1]))
    return chosen
