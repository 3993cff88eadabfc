"""How probable given texts are by the attention head, and the most probable one by beam search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recognizer.attention import END
from recognizer.ctc import Decoded, log_softmax
from rectify.engine import Engine

AT_ONCE = 256
"""Texts in one call of the network."""

Features = NDArray[np.float32]


class Speller:
    """Asks the attention head about texts, from the left and from the right.

    Args:
        network: of kind ``spelling``: scores (N, 2, L + 1, 1 + characters) of features (N, T, F) and letters (N, 2, L),
            see ``attention_network.AttentionHead``.
    """

    def __init__(self, network: Engine) -> None:
        self.config = network.config
        self._network = network

    def log_probabilities(
        self, features: Features, texts: Sequence[Sequence[int]], owners: NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Natural logarithms (N, 2) of the probabilities of N texts, their ends included, from the left and from the
        right.

        Args:
            features: (words, T, F) of the encoder.
            texts: classes from 1.
            owners: (N,) the word that each may be.
        """
        lengths = np.array([len(text) for text in texts], np.int64)
        letters = np.full((len(texts), 2, lengths.max(initial=1) + 1), END, np.int64)
        for row, text in zip(letters, texts, strict=True):
            row[:, : len(text)] = text, text[::-1]
        parts = [slice(start, start + AT_ONCE) for start in range(0, len(texts), AT_ONCE)]
        scores = [self._scores(features[owners[part]], letters[part, :, :-1]) for part in parts]
        chosen = np.take_along_axis(np.concatenate(scores), letters[..., None], axis=3)[..., 0]
        counted = np.arange(letters.shape[2]) <= lengths[:, None]
        return np.asarray((chosen * counted[:, None]).sum(2))

    def beam(self, features: Features, width: int = 5) -> Decoded:
        """The most probable text of each word and its confidence, by beam search from both sides.

        Each prefix is scored anew with every letter, which keeps the network without a state.

        Args:
            features: (words, T, F) of the encoder.
            width: prefixes kept on each side.

        Source: Shi et al., ASTER, PAMI 2018, section 3.2 (beam search, and the better of two directions).
        """
        words = np.arange(len(features))
        best: list[tuple[float, tuple[int, ...]]] = [(-np.inf, ())] * len(features)
        prefixes = np.zeros((len(features), 2, 1, 0), np.int64)
        sums = np.zeros((len(features), 2, 1))
        for _ in range(int(self.config["steps"])):  # the last of which is an end
            totals = sums[..., None] + self._next(features[words], prefixes)
            for place, word in enumerate(words):
                best[word] = max(best[word], _ended(totals[place, ..., END], prefixes[place]))
            totals[..., END] = -np.inf
            prefixes, sums = _longer(prefixes, totals, width)
            going_on = sums.max((1, 2)) > [best[word][0] for word in words]
            if not going_on.any():
                break
            words, prefixes, sums = words[going_on], prefixes[going_on], sums[going_on]
        return [(list(text), float(np.exp(score / (len(text) + 1)))) for score, text in best]

    def _next(self, features: Features, prefixes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Log probabilities (words, 2, width, classes) of what follows prefixes (words, 2, width, L)."""
        words, _, width, length = prefixes.shape
        given = np.full(
            (words * width, 2, length + 1), END, np.int64
        )  # never empty; what follows a letter does not change it
        given[..., :length] = prefixes.swapaxes(1, 2).reshape(words * width, 2, length)
        scores = self._scores(np.repeat(features, width, axis=0), given)[:, :, length]
        return scores.reshape(words, width, *scores.shape[1:]).swapaxes(1, 2)

    def _scores(self, features: Features, letters: NDArray[np.int64]) -> NDArray[np.float64]:
        return log_softmax(self._network(features, np.ascontiguousarray(letters)))


def _ended(sums: NDArray[np.float64], prefixes: NDArray[np.int64]) -> tuple[float, tuple[int, ...]]:
    """The best text that ends now, of prefixes (2, width, L) with these sums (2, width) of logarithms."""
    side, row = np.unravel_index(sums.argmax(), sums.shape)
    text = prefixes[side, row].tolist()
    return float(sums[side, row]), tuple(text[::-1] if side else text)


def _longer(
    prefixes: NDArray[np.int64], totals: NDArray[np.float64], width: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The best prefixes (words, 2, width, L + 1) that are one letter longer, and their sums (words, 2, width).

    Args:
        prefixes: (words, 2, width before, L).
        totals: (words, 2, width before, classes).
    """
    classes = totals.shape[-1]
    flat = totals.reshape(*totals.shape[:2], -1)
    width = min(width, flat.shape[2])
    order = np.argpartition(-flat, width - 1, axis=2)[..., :width]
    kept = np.take_along_axis(prefixes, (order // classes)[..., None], axis=2)
    return np.concatenate([kept, (order % classes)[..., None]], axis=3), np.take_along_axis(flat, order, axis=2)
