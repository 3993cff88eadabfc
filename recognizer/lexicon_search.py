"""The most probable words of a trie for one crop, whatever head scores it."""

from __future__ import annotations

import heapq
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recognizer.trie import NO_WORD, ROOT, Integers, Trie

TOGETHER = 16
"""Least prefixes that are scored in one call: that many cost little more than one, in numpy and in a network."""
MOST = 20_000
"""Prefixes after which the search gives up on proving its best word. A crop that reads like a word needs a few dozen,
one whose text is far from every word may need thousands."""

Scores = NDArray[np.float64]


class PrefixScorer(Protocol):
    """How probable texts and their beginnings are for one crop.

    Scored prefixes are numbered in the order in which they were scored; the empty one is number 0 and known from the
    start. S is the number of symbols, which count from 1.
    """

    def start(self) -> tuple[Scores, Scores]:
        """What ``extend`` would return for the empty prefix."""

    def extend(self, prefixes: Integers, symbols: Integers) -> tuple[Scores, Scores]:
        """Score B prefixes, each a known one and a symbol more.

        Args:
            prefixes: (B,) numbers of known prefixes.
            symbols: (B,) the symbol that follows each.

        Returns:
            (B,) log probability of each as a whole text, and (B, 1 + S) what the log probability of any text that goes
            on with each symbol cannot exceed. The closer that bound, the quicker the search; column 0 is not used.
        """


def search(trie: Trie, scorer: PrefixScorer, count: int = 1, within: float = np.inf) -> list[tuple[int, float]]:
    """The most probable words, found by following the most promising prefixes first.

    No word can be more probable than the bound of its prefix, so the search ends, and is exact, when no prefix's bound
    is above the least of the ``count`` best words (A*; for CTC Graves et al., ICML 2006, section 3.2, prefix search
    decoding). On crops that read like noise it stops after ``MOST`` prefixes with the best words so far.

    Args:
        count: words to find at most.
        within: how far their log probabilities may be below the best one's; the less, the sooner the search ends.

    Returns:
        Index and log probability of up to ``count`` words, the most probable first; impossible ones are left out.
    """
    found: list[tuple[float, int]] = []  # a heap, the least probable on top
    least = -np.inf
    # Prefixes to score: their node, the number of the prefix before it, and their bound.
    nodes, before, bounds = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    chosen = np.array([ROOT])
    whole, longer = scorer.start()
    scored = 0
    while True:
        ends = np.where(trie.words[chosen] == NO_WORD, -np.inf, whole)
        for place in np.flatnonzero(ends > least).tolist():
            heapq.heappush(found, (float(ends[place]), int(trie.words[chosen[place]])))
        while len(found) > count:
            heapq.heappop(found)
        best = max(found)[0] if found else -np.inf
        least = max(best - within, found[0][0] if len(found) == count else -np.inf)
        children, parents = trie.children(chosen)
        nodes = np.concatenate([nodes, children])
        before = np.concatenate([before, scored + parents])
        bounds = np.concatenate([bounds, longer[parents, trie.symbols[children]]])
        scored += len(chosen)
        promising = bounds > least
        nodes, before, bounds = nodes[promising], before[promising], bounds[promising]
        if not len(nodes) or scored > MOST:
            return [(word, score) for score, word in sorted(found, reverse=True) if score >= best - within]
        together = max(TOGETHER, scored // 4)  # a search that takes long takes larger steps
        order = np.argpartition(-bounds, together)[:together] if len(bounds) > together else slice(None)
        chosen = nodes[order]
        whole, longer = scorer.extend(before[order], trie.symbols[chosen])
        bounds[order] = -np.inf
