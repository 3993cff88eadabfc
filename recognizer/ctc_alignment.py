"""Where the letters of a known text are in a CTC head's frames.

Source: Graves et al., Connectionist Temporal Classification, ICML 2006, section 4; the best path through the states of
the text instead of the sum over all (Viterbi, IEEE Transactions on Information Theory 13, 1967).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recognizer.ctc import alignments


class Alignment(NamedTuple):
    """The most probable alignment of a text."""

    places: NDArray[np.float64]
    """(letters,) middle of each letter in frames, the first frame from 0 to 1."""
    seen: NDArray[np.float64]
    """(letters,) probability of each letter in the frame that shows it best, 0..1."""


def align(log_probabilities: NDArray[np.floating], text: Sequence[int]) -> Alignment | None:
    """Finds the letters of a text; None where the frames are too few for it.

    Args:
        log_probabilities: (T, C), class 0 the blank.
        text: class indices from 1, at least one.
    """
    (classes,), _, (skips,) = alignments([text])
    scores = np.asarray(log_probabilities, np.float64)[:, classes]
    best = np.full(len(classes), -np.inf)
    best[:2] = scores[0, :2]
    came_from = np.zeros(scores.shape, np.int64)
    ways = np.full((3, len(classes)), -np.inf)  # to stay, from the state before, from the one before that
    for frame in range(1, len(scores)):
        ways[0], ways[1, 1:], ways[2, 2:] = best, best[:-1], np.where(skips, best[:-2], -np.inf)
        came_from[frame] = ways.argmax(0)
        best = ways.max(0) + scores[frame]
    state = int(len(best) - 2 + best[-2:].argmax())
    if not np.isfinite(best[state]):
        return None
    path = np.empty(len(scores), np.int64)
    for frame in range(len(scores) - 1, -1, -1):
        path[frame] = state
        state -= came_from[frame, state]
    on_letter = path == np.arange(1, len(classes), 2)[:, None]
    weights = np.where(on_letter, np.exp(scores[:, 1::2].T), 0.0) + 1e-12 * on_letter
    places = weights @ (np.arange(len(scores)) + 0.5) / weights.sum(1)
    return Alignment(places, weights.max(1))
