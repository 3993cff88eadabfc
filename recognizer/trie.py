"""A trie over words as flat arrays, so that many prefixes are followed at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

ROOT = 0
NO_WORD = -1


class Trie:
    """Words as sequences of symbols. Node 0 is the empty prefix; the children of a node follow each other.

    Args:
        words: sequences of symbols from 1. Of equal ones the first counts.

    Attributes:
        symbols: (nodes,) last symbol of each prefix, 0 for the root.
        words: (nodes,) index in ``words`` of the word that ends there, or ``NO_WORD``.
    """

    def __init__(self, words: Sequence[Sequence[int]]) -> None:
        first: dict[tuple[int, ...], int] = {}
        for index, word in enumerate(words):
            first.setdefault(tuple(word), index)
        ordered = sorted(first)
        self._build(_padded(ordered))
        self.words[self._ends(ordered)] = [first[word] for word in ordered]

    def __len__(self) -> int:
        return len(self.symbols)

    def children(self, nodes: Integers) -> tuple[Integers, Integers]:
        """All children of some nodes.

        Returns:
            (M,) the children, and (M,) for each the position in ``nodes`` of its parent.
        """
        counts = self._counts[nodes]
        parents = np.repeat(np.arange(len(nodes)), counts)
        before = np.cumsum(counts) - counts
        return self._firsts[nodes][parents] + np.arange(len(parents)) - before[parents], parents

    def _build(self, table: Integers) -> None:
        """Number the prefixes, level by level, of sorted words (W, longest), padded with 0."""
        # A row begins a new prefix of length d + 1 where one of its first d + 1 symbols differs from the row above.
        differs = np.ones(table.shape, bool)
        differs[1:] = table[1:] != table[:-1]
        begins = np.logical_or.accumulate(differs, axis=1) & (table > 0)
        sizes = begins.sum(0)
        offsets = 1 + np.cumsum(sizes) - sizes
        self._nodes = np.where(table > 0, offsets + np.cumsum(begins, axis=0) - 1, ROOT)
        count = 1 + int(sizes.sum())
        self.symbols = np.zeros(count, np.int64)
        self.symbols[self._nodes[begins]] = table[begins]
        above = np.concatenate([np.zeros((len(table), 1), np.int64), self._nodes[:, :-1]], axis=1)
        self._counts = np.bincount(above[begins], minlength=count)
        self._firsts = 1 + np.cumsum(self._counts) - self._counts
        self.words = np.full(count, NO_WORD)

    def _ends(self, ordered: Sequence[Sequence[int]]) -> Integers:
        """The node at which each word ends."""
        lengths = np.array([len(word) for word in ordered], np.int64)
        nodes = np.column_stack([np.zeros(len(ordered), np.int64), self._nodes])
        del self._nodes  # needed no more, and larger than the trie
        return nodes[np.arange(len(ordered)), lengths]


def _padded(words: Sequence[Sequence[int]]) -> Integers:
    """Words as rows (W, longest or at least 1), padded with 0."""
    lengths = np.array([len(word) for word in words], np.int64)
    table = np.zeros((len(words), lengths.max(initial=1)), np.int64)
    table[np.arange(table.shape[1]) < lengths[:, None]] = [symbol for word in words for symbol in word]
    return table
