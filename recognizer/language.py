"""Reading with a sense of language: of the texts that a word may show, the one that is also likely as a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from recognizer.candidates import Text, candidates
from recognizer.ctc import quick_log_probability
from rectify.engine import Engine

END = 0
"""Class of what stands before a text's first letter and after its last; class 1 + i is the i-th character."""
CANDIDATES = 10
"""Texts weighed for a word, from each look at it."""
TOGETHER = 16
"""Texts from which a call of the network pays for itself."""
LEAST = -60.0
"""Logarithm of a probability that is as good as none."""
FAR = 6.0
"""Logarithm of how many times less probable than the best one a text may be seen to be; the language does not make up
for more, and is not asked about it."""


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
        scores = np.empty(len(texts))
        for group in _by_length([len(text) for text in texts]):
            rows = np.full((len(group), max(1, len(texts[group[-1]]))), END, np.int64)
            for row, place in zip(rows, group, strict=True):
                row[: len(texts[place])] = texts[place]
            scores[group] = self._network(rows).sum(1, dtype=np.float64)
        return scores

    def choices(
        self,
        looks: Sequence[NDArray[np.floating]],
        heard: Sequence[Text],
        earlier: Sequence[Choice | None] = (),
    ) -> list[Choice]:
        """What each of N words may read.

        Args:
            looks: at least one, each the log probabilities (N, T, 1 + characters) of a CTC head, class 0 the blank; T
                may differ.
            heard: what the heads have read of each.
            earlier: what came of the first look alone, of those words that were asked about with it; saves asking again
                about the same texts.
        """
        if not heard:
            return []
        had = list(earlier) or [None] * len(heard)
        found = _found(looks, had)
        texts = [list(dict.fromkeys([*own, read])) for own, read in zip(found, heard, strict=True)]
        seen = _seen(looks, texts)
        for number, (those, own, read) in enumerate(zip(texts, seen, heard, strict=True)):
            near = (own >= own.max() - FAR) | [text == read for text in those]
            texts[number], seen[number] = list(compress(those, near)), own[near]
        written = self._written(texts, had)
        return [
            Choice(those, own, likely, np.array([text == read for text in those]))
            for those, own, likely, read in zip(texts, seen, written, heard, strict=True)
        ]

    def _written(self, texts: Sequence[list[Text]], earlier: Sequence[Choice | None]) -> list[NDArray[np.float64]]:
        """``scores`` of each word's texts, of which some may be known from earlier."""
        known = [dict(zip(choice.texts, choice.written.tolist(), strict=True)) if choice else {} for choice in earlier]
        new = [text for those, own in zip(texts, known, strict=True) for text in those if text not in own]
        scores = iter(self.scores(new).tolist() if new else ())
        return [
            np.array([own[text] if text in own else next(scores) for text in those])
            for those, own in zip(texts, known, strict=True)
        ]


def _by_length(lengths: Sequence[int]) -> list[list[int]]:
    """Places of texts by rising length, in groups of at least ``TOGETHER``, but for the last one, that end where the
    length changes: a network that reads all of a group to the length of its longest does little in vain."""
    groups: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not groups or (len(groups[-1]) >= TOGETHER and lengths[place] > lengths[groups[-1][-1]]):
            groups.append([])
        groups[-1].append(place)
    return groups


def _found(looks: Sequence[NDArray[np.floating]], earlier: Sequence[Choice | None]) -> list[list[Text]]:
    """Texts near what each look sees of each word; where there is an earlier choice, those of the first look are there
    already."""
    found = [list(choice.texts) if choice else [] for choice in earlier]
    fresh = [number for number, choice in enumerate(earlier) if choice is None]
    for number, look in enumerate(looks):
        asked = list(range(len(earlier))) if number else fresh
        for word, near in zip(asked, candidates(look[asked], CANDIDATES), strict=True):
            found[word] += near
    return found


def _seen(looks: Sequence[NDArray[np.floating]], texts: Sequence[list[Text]]) -> list[NDArray[np.float64]]:
    """Natural logarithm of the mean of each text's probabilities by the looks at its word."""
    counts = [len(those) for those in texts]
    owners = np.repeat(np.arange(len(texts)), counts)
    every = [text for those in texts for text in those]
    each = np.stack([quick_log_probability(look, every, owners) for look in looks])
    seen = np.maximum(LEAST, np.logaddexp.reduce(each) - np.log(len(looks)))
    return np.split(seen, np.cumsum(counts)[:-1])
