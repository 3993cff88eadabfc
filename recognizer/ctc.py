"""Decoding CTC logits in numpy: the best path, a prefix beam search, and how probable a text is.

Class 0 is the blank. Source: Graves et al., Connectionist Temporal Classification, ICML 2006, sections 3 and 4.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

BLANK = 0

NEGLIGIBLE = 1e-6
"""Probability in a frame below which the beam search does not try a character."""

Logits = NDArray[np.floating]
Decoded = list[tuple[list[int], float]]
"""For each sample the class indices of its text and the confidence: the probability of the text, summed over all
alignments, as a geometric mean over its characters, so that long words are not less certain than short ones."""


def greedy(logits: Logits) -> Decoded:
    """The text of the most probable path: repeats merged, blanks dropped.

    Args:
        logits: (N, T, C).
    """
    path = logits.argmax(-1)
    first = np.ones_like(path, bool)
    first[:, 1:] = path[:, 1:] != path[:, :-1]
    texts = [frames[keep].tolist() for frames, keep in zip(path, first & (path != BLANK), strict=True)]
    return list(zip(texts, confidence(logits, texts), strict=True))


def beam(logits: Logits, width: int = 10) -> Decoded:
    """The most probable text by a prefix beam search.

    Args:
        logits: (N, T, C).
        width: prefixes kept after each frame, and characters tried at each.

    Source: Hannun et al., First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent
    DNNs, 2014, algorithm 1, without the language model.
    """
    texts = [_search(frames, width) for frames in np.exp(log_softmax(logits))]
    return list(zip(texts, confidence(logits, texts), strict=True))


DECODERS: dict[str, Callable[[Logits], Decoded]] = {"greedy": greedy, "beam": beam}


def confidence(logits: Logits, texts: Sequence[Sequence[int]]) -> list[float]:
    """Confidence (see ``Decoded``), 0..1, of one text a sample."""
    lengths = np.array([max(1, len(text)) for text in texts])
    return [float(value) for value in np.exp(np.minimum(0.0, log_probability(logits, texts) / lengths))]


def log_probability(logits: Logits, texts: Sequence[Sequence[int]], normalized: bool = False) -> NDArray[np.float64]:
    """Logarithm (N,) of the probability of one text a sample, summed over its alignments; -inf where none fits.

    Args:
        logits: (N, T, C), or (1, T, C) for N texts of one sample.
        texts: N sequences of class indices from 1.
        normalized: the logits are log probabilities already, of all classes or of some.
    """
    count = len(texts)
    states = 2 * np.array([len(text) for text in texts], int) + 1
    # The labels with a blank around each, padded with blanks that no path can leave.
    labels = np.full((count, states.max(initial=1)), BLANK)
    for row, text in zip(labels, texts, strict=True):
        row[1 : 2 * len(text) : 2] = text
    skips = np.zeros(labels.shape, bool)  # from the state before the last one: only between different characters
    skips[:, 3::2] = labels[:, 3::2] != labels[:, 1:-2:2]
    frames = np.asarray(logits, np.float64) if normalized else log_softmax(logits)
    scores = np.take_along_axis(frames, labels[:, None, :], axis=2)
    forward = np.full(labels.shape, -np.inf)
    forward[:, :2] = scores[:, 0, :2]
    for frame in scores.swapaxes(0, 1)[1:]:
        step = forward.copy()
        step[:, 1:] = np.logaddexp(step[:, 1:], forward[:, :-1])
        step[:, 2:] = np.logaddexp(step[:, 2:], np.where(skips[:, 2:], forward[:, :-2], -np.inf))
        forward = step + frame
    rows = np.arange(count)
    ends_on_character = np.where(states > 1, forward[rows, states - 2], -np.inf)
    return np.asarray(np.logaddexp(forward[rows, states - 1], ends_on_character))


def log_softmax(logits: Logits) -> NDArray[np.float64]:
    """Log probabilities over the last axis."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def _search(frames: NDArray[np.float64], width: int) -> list[int]:
    """The best text for the probabilities (T, C) of one sample."""
    # Of each prefix: the probability of the paths that end on a blank, and of those that end on its last character.
    prefixes: dict[tuple[int, ...], tuple[float, float]] = {(): (1.0, 0.0)}
    likely = np.argsort(-frames[:, 1:], axis=1)[:, :width] + 1
    for probabilities, characters in zip(frames, likely, strict=True):
        on_blank: dict[tuple[int, ...], float] = defaultdict(float)
        on_character: dict[tuple[int, ...], float] = defaultdict(float)
        tried = [(int(c), float(probabilities[c])) for c in characters if probabilities[c] > NEGLIGIBLE]
        for prefix, (blank, character) in prefixes.items():
            total = blank + character
            last = prefix[-1] if prefix else BLANK
            on_blank[prefix] += total * float(probabilities[BLANK])
            if prefix:
                on_character[prefix] += character * float(probabilities[last])
            for c, p in tried:
                longer = (*prefix, c)
                on_character[longer] += (blank if c == last else total) * p
        totals = {prefix: on_blank[prefix] + on_character[prefix] for prefix in on_blank.keys() | on_character.keys()}
        best = sorted(totals, key=totals.__getitem__, reverse=True)[:width]
        scale = totals[best[0]]  # kept near one: a product over many frames would underflow
        prefixes = {prefix: (on_blank[prefix] / scale, on_character[prefix] / scale) for prefix in best}
    return list(next(iter(prefixes)))  # the most probable is first
