"""Text metrics of the field: word accuracy, 1 - NED and CER, and the protocols that say which characters count."""

from __future__ import annotations

import math
import string
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence

import editdistance

from recognizer.charset import ASCII94

PROTOCOLS = {
    "36": string.digits + string.ascii_lowercase,
    "62": string.digits + string.ascii_letters,
    "94": ASCII94,
}
"""The characters that each protocol compares; everything else is taken out of label and text alike."""

LETTERS = "letters"
"""The protocol of 36 characters for any alphabet: letters and digits, lower-cased."""

_KEPT = {name: frozenset(characters) for name, characters in PROTOCOLS.items()}


def normalize(text: str, protocol: str = "36") -> str:
    """The characters of a label or a read text that the protocol compares.

    ``36`` lower-cases first, ``62`` keeps the case of letters, ``94`` keeps printable ASCII without the space;
    ``letters`` lower-cases and keeps the letters, marks and digits of any alphabet, the same as ``36`` on ASCII. A
    crop whose label keeps no character is left out of an evaluation.

    Raises:
        ValueError: no such protocol.
    """
    if protocol == LETTERS:
        # Composed, so that a letter with its accent is one character whoever typed it.
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())
        # Marks, too: in some alphabets vowels are marks at consonants.
        return "".join(c for c in folded if c.isalnum() or unicodedata.category(c).startswith("M"))
    if protocol not in _KEPT:
        raise ValueError(f"unknown protocol {protocol!r}, choose one of {', '.join(PROTOCOLS)}, {LETTERS}")
    if protocol == "36":
        text = text.lower()
    return "".join(character for character in text if character in _KEPT[protocol])


def one_minus_ned(label: str, text: str) -> float:
    """1 - edit distance / length of the longer string, 0..1; two empty strings are equal, hence 1."""
    longer = max(len(label), len(text))
    return 1 - editdistance.eval(label, text) / longer if longer else 1.0


class Metric(ABC):
    """A ratio of two sums over words. Both strings of ``update`` are normalised by the caller."""

    scale = 1.0

    def __init__(self) -> None:
        self._numerator = self._denominator = 0.0

    def update(self, label: str, text: str) -> None:
        """Count a word."""
        numerator, denominator = self._count(label, text)
        self._numerator += numerator
        self._denominator += denominator

    def merge(self, other: Metric) -> None:
        """Count the words that ``other`` counted, too."""
        self._numerator += other._numerator
        self._denominator += other._denominator

    def summary(self) -> float:
        """The figure; NaN while there is nothing to divide by."""
        return self.scale * self._numerator / self._denominator if self._denominator else math.nan

    @abstractmethod
    def _count(self, label: str, text: str) -> tuple[float, float]:
        """What a word adds to numerator and denominator."""


class WordAccuracy(Metric):
    """Share of words read exactly, in percent."""

    scale = 100.0

    def _count(self, label: str, text: str) -> tuple[float, float]:
        return label == text, 1


class OneMinusNed(Metric):
    """Mean over the words of 1 - normalised edit distance, 0..1."""

    def _count(self, label: str, text: str) -> tuple[float, float]:
        return one_minus_ned(label, text), 1


class CharacterErrorRate(Metric):
    """Edits needed over characters of the labels, both summed over the words; above 1 when texts are far too long."""

    def _count(self, label: str, text: str) -> tuple[float, float]:
        return editdistance.eval(label, text), len(label)


def percent(flags: Sequence[bool]) -> float | None:
    """Of how many of the flags are True; None of none."""
    return 100 * sum(flags) / len(flags) if flags else None
