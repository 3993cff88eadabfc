"""How probable texts and their beginnings are under CTC, many at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recognizer.ctc import BLANK
from recognizer.lexicon_search import Scores
from recognizer.trie import Integers


class CtcPrefixes:
    """A ``PrefixScorer`` of one crop.

    Of each prefix it keeps the probability, after each number of frames, of the paths that read it so far, and of those
    among them that end on a blank. The bound of a longer prefix is the probability of all texts that begin with it.

    Args:
        log_probabilities: (T, 1 + S), column 0 the blank.

    Source: Graves et al., Connectionist Temporal Classification, ICML 2006, section 3.2.
    """

    def __init__(self, log_probabilities: NDArray[np.float64]) -> None:
        # Each frame relative to its best class, which keeps products over many frames within float64.
        most = np.maximum(log_probabilities.max(1), -1e300)
        self._offset = float(most.sum())
        self._frames = np.exp(log_probabilities - most[:, None])
        remaining = np.cumprod(self._frames.sum(1)[::-1])[::-1]
        # Times the probability of whatever follows the frame.
        self._onwards = self._frames * np.append(remaining[1:], 1.0)[:, None]
        self._count = 0
        self._last = np.zeros(64, np.int64)
        self._ends = np.zeros((64, len(self._frames) + 1))
        self._blank_ends = np.zeros_like(self._ends)

    def start(self) -> tuple[Scores, Scores]:
        """See ``PrefixScorer``."""
        blanks = np.concatenate([[1.0], np.cumprod(self._frames[:, BLANK])])[None]
        return self._keep(blanks, blanks, np.array([BLANK]))

    def extend(self, prefixes: Integers, symbols: Integers) -> tuple[Scores, Scores]:
        """See ``PrefixScorer``."""
        # A character that is repeated needs a blank in between.
        repeats = symbols == self._last[prefixes]
        before = np.where(repeats[:, None], self._blank_ends[prefixes], self._ends[prefixes]).T
        on_symbol = np.zeros((len(self._frames) + 1, len(prefixes)))
        on_blank = np.zeros_like(on_symbol)
        for t, (frame, blank) in enumerate(zip(self._frames[:, symbols], self._frames[:, BLANK], strict=True)):
            np.add(on_symbol[t], before[t], out=on_symbol[t + 1])
            on_symbol[t + 1] *= frame
            np.add(on_blank[t], on_symbol[t], out=on_blank[t + 1])
            on_blank[t + 1] *= blank
        return self._keep((on_symbol + on_blank).T, on_blank.T, symbols)

    def _keep(self, ends: Scores, blank_ends: Scores, last: Integers) -> tuple[Scores, Scores]:
        """Number these prefixes and return their scores."""
        rows = slice(self._count, self._count + len(last))
        self._count = rows.stop
        while self._count > len(self._last):
            self._last = np.concatenate([self._last, np.zeros_like(self._last)])
            self._ends = np.concatenate([self._ends, np.zeros_like(self._ends)])
            self._blank_ends = np.concatenate([self._blank_ends, np.zeros_like(self._blank_ends)])
        self._last[rows], self._ends[rows], self._blank_ends[rows] = last, ends, blank_ends
        longer = ends[:, :-1] @ self._onwards
        longer[np.arange(len(last)), last] = (blank_ends[:, :-1] * self._onwards[:, last].T).sum(1)
        with np.errstate(divide="ignore"):
            return np.log(ends[:, -1]) + self._offset, np.log(longer) + self._offset
