"""Which word of a lexicon a crop shows: the attention head among those that the CTC head finds most probable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recognizer.charset import Charset
from recognizer.ctc import log_softmax, quick_log_probability
from recognizer.lexicon import Lexicon
from recognizer.spelling import Features, Speller

NEAREST = 8
"""Words that the attention head is asked about."""


@dataclass(frozen=True, eq=False)
class NearWords:
    """The words that one crop may show, at least one."""

    lexicon: Lexicon
    words: NDArray[np.int64]
    """Their places in the lexicon."""
    lengths: NDArray[np.int64]
    """Characters of each, as they are matched."""
    seen: NDArray[np.float64]
    """Natural logarithm of the probability of each by the CTC head."""
    spelled: NDArray[np.float64]
    """The same by the attention head, mean of both directions."""

    def best(self, alone: bool) -> tuple[str, float, float]:
        """The likeliest word, by the attention head alone or by both, and its confidences by the CTC head and by the
        attention head: the probabilities as geometric means over characters, and the end of the second."""
        place = int((self.spelled if alone else self.spelled + self.seen).argmax())
        length = int(self.lengths[place])
        seen, spelled = np.exp(self.seen[place] / length), np.exp(self.spelled[place] / (length + 1))
        return self.lexicon.words[self.words[place]], min(1.0, float(seen)), float(spelled)


def near_words(
    speller: Speller, logits: NDArray[np.float32], features: Features, lexicons: Sequence[Lexicon], charset: Charset
) -> list[NearWords | None]:
    """The words of its lexicon that each of N crops may show; None where none fits.

    Args:
        logits: (N, T, 1 + characters) of the CTC head.
        features: (N, T, F) of the encoder.
        lexicons: of each crop.
    """
    scores = log_softmax(logits)
    pairs = zip(lexicons, logits, strict=True)
    nearest = [lexicon.nearest(frames[None], charset, NEAREST)[0] for lexicon, frames in pairs]
    owners = np.repeat(np.arange(len(nearest)), [len(found) for found in nearest])
    spelled = [lexicon.spelled(charset) for lexicon in lexicons]
    cases = [one.cases(word) for one, found in zip(spelled, nearest, strict=True) for word, _ in found]
    if not cases:
        return [None] * len(nearest)
    likely = speller.log_probabilities(features, _likely_cases(scores, cases, owners), owners).mean(1)
    ends = np.cumsum([len(found) for found in nearest])[:-1]
    return [
        NearWords(
            lexicon,
            words=np.array([word for word, _ in found]),
            lengths=np.array([len(one.words[word]) for word, _ in found]),
            seen=np.array([seen for _, seen in found]),
            spelled=own,
        )
        if found
        else None
        for lexicon, one, found, own in zip(lexicons, spelled, nearest, np.split(likely, ends), strict=True)
    ]


def _likely_cases(
    scores: NDArray[np.float64], cases: Sequence[Sequence[tuple[int, ...]]], owners: NDArray[np.int64]
) -> list[tuple[int, ...]]:
    """Of each word's cases the one that the CTC head finds most probable.

    Args:
        scores: log probabilities (N, T, 1 + characters).
        cases: of each word.
        owners: the crop of each word.
    """
    counts = [len(own) for own in cases]
    every = [text for own in cases for text in own]
    seen = quick_log_probability(scores, every, np.repeat(owners, counts))
    parts = np.split(seen, np.cumsum(counts)[:-1])
    return [own[int(part.argmax())] for own, part in zip(cases, parts, strict=True)]
