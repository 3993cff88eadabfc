"""Reading with a sense of language: of the texts that a word may show, the one that is also likely as a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recognizer.candidates import Text, candidates
from recognizer.ctc import quick_log_probability
from rectify.engine import Engine

END = 0
"""Class of what stands before a text's first letter and after its last; class 1 + i is the i-th character."""
CANDIDATES = 12
"""Texts weighed for a word, from each look at it."""
LEAST = -60.0
"""Logarithm of a probability that is as good as none."""


@dataclass(frozen=True)
class Weighing:
    """How much the language counts."""

    language: float
    """Of the logarithm of a text's probability by the language network, against that of the CTC head."""
    letter: float
    """For every letter: without it the language prefers short texts, which are more probable as such."""
    heard: float
    """For a text that the heads have read."""
    temperature: float = 1.5
    """By which all that is divided to tell how probable the best text is among the others: what is seen, the language
    and what was heard are not independent of each other."""


WEIGHING = Weighing(0.7, 2.5, 1.0)
"""Tuned on held-back training words, by ``python -m train.tune_language``."""


@dataclass(frozen=True, eq=False)
class Choice:
    """The texts that one word may show."""

    texts: list[Text]
    seen: NDArray[np.float64]
    """Natural logarithm of the probability of each by the CTC head; of the probabilities' mean over the looks at the
    word."""
    written: NDArray[np.float64]
    """The same by the language network."""
    heard: NDArray[np.bool_]
    """Which of them the heads have read."""

    def best(self, weighing: Weighing) -> tuple[int, float]:
        """Index of the text that is likeliest by all, and its probability among these texts."""
        lengths = np.array([len(text) for text in self.texts])
        merits = self.seen + weighing.language * self.written + weighing.letter * lengths + weighing.heard * self.heard
        index = int(merits.argmax())
        return index, float(1 / np.exp((merits - merits[index]) / weighing.temperature).sum())


class LanguageModel:
    """Says how likely the texts near what is read are as texts.

    Source: Graves and Jaitly, Towards End-to-End Speech Recognition with Recurrent Neural Networks, ICML 2014, section
    4 (candidates scored anew with a language model); the term for the length from Hannun et al., 2014, algorithm 1.

    Args:
        network: see ``language_network.LanguageNetwork``; for the characters of the recogniser.
    """

    def __init__(self, network: Engine) -> None:
        self._network = network

    def scores(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Natural logarithms (N,) of the probabilities of N texts, each classes from 1."""
        rows = np.full((len(texts), max(1, max(map(len, texts), default=0))), END, np.int64)
        for row, text in zip(rows, texts, strict=True):
            row[: len(text)] = text
        return self._network(rows).sum(1, dtype=np.float64)

    def choices(self, looks: Sequence[NDArray[np.floating]], heard: Sequence[Text]) -> list[Choice]:
        """What each of N words may read.

        Args:
            looks: at least one, each the log probabilities (N, T, 1 + characters) of a CTC head, class 0 the blank; T
                may differ.
            heard: what the heads have read of each.
        """
        texts = [
            list(dict.fromkeys([text for frames in own for text in candidates(frames, CANDIDATES)] + [read]))
            for *own, read in zip(*looks, heard, strict=True)
        ]
        counts = [len(those) for those in texts]
        every = [text for those in texts for text in those]
        owners = np.repeat(np.arange(len(texts)), counts)
        each = np.stack([quick_log_probability(look, every, owners) for look in looks])
        seen = np.maximum(LEAST, np.logaddexp.reduce(each) - np.log(len(looks)))
        known = np.array([text == read for those, read in zip(texts, heard, strict=True) for text in those])
        parts = (np.split(values, np.cumsum(counts)[:-1]) for values in (seen, self.scores(every), known))
        return [Choice(*own) for own in zip(texts, *parts, strict=True)]
