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

RESCALED = 16
"""Frames after which products of probabilities are scaled anew, before they leave the range of a number."""

Logits = NDArray[np.floating]
Decoded = list[tuple[list[int], float]]
"""For each sample the class indices of its text and the confidence: the probability of the text, summed over all
alignments, as a geometric mean over its characters, so that long words are not less certain than short ones."""
AT_ONCE = 512
"""Texts whose alignments are held in memory together."""


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
    """Confidence (see ``Decoded``), 0..1, of one text a sample, each about as probable as the sample's best."""
    lengths = np.maximum(1, [len(text) for text in texts])
    return np.exp(np.minimum(0.0, quick_log_probability(log_softmax(logits), texts) / lengths)).tolist()


def quick_log_probability(
    log_probabilities: NDArray[np.floating], texts: Sequence[Sequence[int]], owners: NDArray[np.integer] | None = None
) -> NDArray[np.float64]:
    """``log_probability`` (N,) of normalized logits in plain products, of float32, in a fraction of the time; texts of
    no account may become -inf.

    Args:
        log_probabilities: (samples, T, C).
        texts: N sequences of class indices from 1.
        owners: (N,) sample of each text; without them there is one text a sample.
    """
    owners = np.arange(len(texts)) if owners is None else owners
    if len(texts) > AT_ONCE:
        parts = [slice(start, start + AT_ONCE) for start in range(0, len(texts), AT_ONCE)]
        return np.concatenate([quick_log_probability(log_probabilities, texts[part], owners[part]) for part in parts])
    labels, states, skips = alignments(texts)
    scores = log_probabilities.astype(np.float32).swapaxes(0, 1)[:, owners[:, None], labels]
    # Relative to its most probable state, each frame of a good alignment has a factor near one.
    best = scores.max(-1, keepdims=True)
    factors = np.exp(np.subtract(scores, best, out=scores), out=scores)
    logarithm = best.sum((0, 2), dtype=np.float64)
    # Two states of no weight in front, so that every state has the two before it; all steps write to the same arrays.
    padded = np.zeros((len(texts), labels.shape[1] + 2), np.float32)
    forward, previous, skipped = padded[:, 2:], padded[:, 1:-1], padded[:, :-2]
    forward[:, :2] = factors[0, :, :2]
    step, ways = np.empty_like(forward), np.zeros_like(forward)
    ways[:, 2:] = skips
    for number, factor in enumerate(factors[1:], start=1):
        np.multiply(ways, skipped, out=step)
        step += previous
        step += forward
        np.multiply(step, factor, out=forward)
        if number % RESCALED == 0:
            largest = np.maximum(forward.max(1), np.finfo(np.float32).tiny)
            forward /= largest[:, None]
            logarithm += np.log(largest)
    rows = np.arange(len(texts))
    ends = forward[rows, states - 1] + np.where(states > 1, forward[rows, states - 2], 0)
    with np.errstate(divide="ignore"):  # a text that does not fit: the logarithm of zero
        return np.asarray(np.log(ends) + logarithm)


def log_probability(logits: Logits, texts: Sequence[Sequence[int]], normalized: bool = False) -> NDArray[np.float64]:
    """Logarithm (N,) of the probability of one text a sample, summed over its alignments; -inf where none fits.

    Args:
        logits: (N, T, C), or (1, T, C) for N texts of one sample.
        texts: N sequences of class indices from 1.
        normalized: the logits are log probabilities already, of all classes or of some.
    """
    labels, states, skips = alignments(texts)
    frames = np.asarray(logits, np.float64) if normalized else log_softmax(logits)
    scores = np.take_along_axis(frames, labels[:, None, :], axis=2)
    forward = np.full(labels.shape, -np.inf)
    forward[:, :2] = scores[:, 0, :2]
    for frame in scores.swapaxes(0, 1)[1:]:
        step = forward.copy()
        step[:, 1:] = np.logaddexp(step[:, 1:], forward[:, :-1])
        step[:, 2:] = np.logaddexp(step[:, 2:], np.where(skips, forward[:, :-2], -np.inf))
        forward = step + frame
    rows = np.arange(len(texts))
    ends_on_character = np.where(states > 1, forward[rows, states - 2], -np.inf)
    return np.asarray(np.logaddexp(forward[rows, states - 1], ends_on_character))


def alignments(texts: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """The states that alignments of N texts go through.

    Returns:
        The class (N, S) of each state: the text's characters with a blank around each, padded with blanks that no
        alignment can leave; how many states (N,) are not padding; and whether state 2, 3, ... (N, S - 2) can follow the
        one before the last: only between different characters.
    """
    states = 2 * np.array([len(text) for text in texts], int) + 1
    labels = np.full((len(texts), states.max(initial=1)), BLANK)
    for row, text in zip(labels, texts, strict=True):
        row[1 : 2 * len(text) : 2] = text
    skips = np.zeros((len(texts), max(0, labels.shape[1] - 2)), bool)
    skips[:, 1::2] = labels[:, 3::2] != labels[:, 1:-2:2]
    return labels, states, skips


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
