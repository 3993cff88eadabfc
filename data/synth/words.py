"""What is written: words by frequency, numbers, codes and random strings, in the cases that signs use."""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from recognizer.charset import ASCII94
from rectify.text_files import read_utf8

SPLITS = ("all", "seen", "unseen")
"""``unseen`` is the tenth of words and font families that ``seen`` never shows: for measuring on what is new."""

VOCABULARY_SIZE = 80_000
ENGLISH = "en"


def in_split(name: str, split: str) -> bool:
    """Whether a word or font family belongs to the split; decided by a checksum of its name alone."""
    return split == "all" or (zlib.crc32(name.encode()) % 10 == 0) == (split == "unseen")


class WordSource:
    """Draws the text of a sample.

    Args:
        split: one of ``SPLITS``.
        vocabulary: a text file with one word a line, by falling frequency; wordfreq's list by default.
        language: of wordfreq's list, such as ``en`` or ``el``.
        charset: the characters that are written; printable ASCII by default, and the words of a vocabulary as they
            are.

    Raises:
        ValueError: no words, another language without its characters, or characters that cannot be set one by one from
            left to right.
    """

    def __init__(
        self,
        split: str = "all",
        vocabulary: str | Path | None = None,
        language: str = ENGLISH,
        charset: str | None = None,
    ) -> None:
        if language != ENGLISH and not charset:
            raise ValueError(f"name the characters of the language {language}, too: numbers and codes are made of them")
        joined = next((c for c in charset or "" if unicodedata.category(c)[0] == "M" or _runs_left(c)), None)
        if joined:
            raise ValueError(
                f"the charset has {joined!r}: words are set letter by letter from left to right, so scripts that run "
                "to the left or put signs on letters cannot be rendered; train on pictures of your own instead"
            )
        self._written = set(charset or ASCII94)
        self._free = vocabulary is not None and not charset
        lower, upper, digits, symbols = _kinds(charset or ASCII94)
        self.letters = lower + upper
        # Codes have letters and digits without a meaning: plates, rooms, part numbers. Then there is anything at all.
        self._pools = ((upper or lower) + digits, self.letters + digits, self.letters + digits + symbols)
        words = _read_vocabulary(vocabulary) if vocabulary else _frequent(language, self.letters)
        known = [word for word in words if in_split(word.lower(), split)]
        self.words = [word for word in known if self._fits(word) and not any(map(str.isspace, word))]
        self.left_out = len(known) - len(self.words)
        """Words with other characters, or spaces."""
        if not self.words:
            raise ValueError(
                f"no word of the {split} split{' in these characters' if charset else ''} in "
                f"{vocabulary or f'the frequency list of {language}'}"
            )

    def draw(self, rng: np.random.Generator) -> str:
        """A text of 1 to 25 characters without spaces."""
        while True:
            text = self._draw(rng)[:25]
            if self._fits(text):
                return text

    def _fits(self, text: str) -> bool:
        return self._free or self._written.issuperset(text)

    def _draw(self, rng: np.random.Generator) -> str:
        kind = rng.random()
        if kind < 0.80:
            return self._word(rng)
        if kind < 0.90:
            return _number(rng)
        capitals, alphanumeric, everything = self._pools
        pool = everything
        if kind < 0.97:
            pool = capitals if rng.random() < 0.7 else alphanumeric
        return _pick(pool, int(rng.integers(1, 9)), rng)

    def _word(self, rng: np.random.Generator) -> str:
        # Frequent words are drawn more often than by chance, rare ones far more often than in running text.
        share = rng.random() ** 2 if rng.random() < 0.5 else rng.random()
        return self.dress(self.words[int(share * len(self.words))], rng)

    def dress(self, word: str, rng: np.random.Generator) -> str:
        """A word of the vocabulary in one of the cases that signs use, sometimes with punctuation."""
        word = _cased(word, rng)
        return _punctuated(word, rng) if rng.random() < 0.08 else word


def _cased(word: str, rng: np.random.Generator) -> str:
    style = rng.random()
    if style < 0.42:
        return _capitals(word)
    if style < 0.70:
        return word[:1].upper() + word[1:]
    if style < 0.97:
        return word
    flips = rng.random(len(word)) < 0.5
    return "".join(letter.upper() if flip else letter for letter, flip in zip(word, flips, strict=True))


def _capitals(word: str) -> str:
    """Upper case; Greek is written without its accents then."""
    upper = word.upper()
    if not any("\u0370" <= letter <= "\u03ff" for letter in word):
        return upper
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", upper).replace("\N{COMBINING ACUTE ACCENT}", ""))


def _punctuated(word: str, rng: np.random.Generator) -> str:
    style = int(rng.integers(6))
    if style == 0:
        return word + ".,:;!?"[int(rng.integers(6))]
    if style == 1:
        return f"({word})" if rng.random() < 0.5 else f'"{word}"'
    if style == 2:
        return word + "'s"
    if style == 3:
        return f"www.{word}.com" if rng.random() < 0.5 else f"{word}.com"
    if style == 4:
        return f"{word}-{_digits(rng, 1, 3)}"
    return "#@&*$-~"[int(rng.integers(7))] + word


def _number(rng: np.random.Generator) -> str:
    style = int(rng.integers(10))
    if style < 4:
        return _digits(rng, 1, 5)
    if style == 4:
        return f"{'$' if rng.random() < 0.5 else ''}{_digits(rng, 1, 4)}.{_digits(rng, 2, 3)}"
    if style == 5:
        return f"{_digits(rng, 1, 3)}:{_digits(rng, 2, 3)}"
    if style == 6:
        return f"{_digits(rng, 3, 4)}-{_digits(rng, 4, 5)}"
    if style == 7:
        return f"{_digits(rng, 1, 4)}%" if rng.random() < 0.5 else f"{_digits(rng, 1, 3)},{_digits(rng, 3, 4)}"
    if style == 8:
        return (
            _digits(rng, 1, 3)
            + ("st", "nd", "rd", "th", "am", "pm", "PM", "AM", "m", "km", "ft")[int(rng.integers(11))]
        )
    return _digits(rng, 5, 12)


def _digits(rng: np.random.Generator, low: int, high: int) -> str:
    """Between ``low`` and ``high`` - 1 digits."""
    return "".join(map(str, rng.integers(0, 10, int(rng.integers(low, high)))))


def _pick(pool: str, count: int, rng: np.random.Generator) -> str:
    return "".join(pool[int(index)] for index in rng.integers(0, len(pool), count))


def _kinds(charset: str) -> tuple[str, str, str, str]:
    """Small letters (and those without a case), capitals, digits and all other characters, each sorted."""
    kinds: tuple[list[str], ...] = ([], [], [], [])
    for character in sorted(charset):
        if character.isalpha():
            kinds[1 if character.isupper() else 0].append(character)
        else:
            kinds[2 if character.isdigit() else 3].append(character)
    lower, upper, digits, others = map("".join, kinds)
    return lower, upper, digits, others


def _runs_left(character: str) -> bool:
    return unicodedata.bidirectional(character) in ("R", "AL")


@lru_cache(maxsize=4)
def _frequent(language: str, letters: str) -> tuple[str, ...]:
    """The words of a language in these letters, by falling frequency.

    Raises:
        ValueError: wordfreq does not know the language.
    """
    from wordfreq import available_languages, top_n_list

    if language not in available_languages():
        known = ", ".join(sorted(available_languages()))
        raise ValueError(f"wordfreq has no list of {language!r}, only of {known}; name a file of words instead")
    allowed = set(letters + "'")
    words = map(_spelt, top_n_list(language, VOCABULARY_SIZE))
    return tuple(word for word in words if set(word) <= allowed and word.strip("'"))


def _spelt(word: str) -> str:
    """A word of wordfreq's as it is written: the lists have one form of sigma for both."""
    return word[:-1] + "ς" if word.endswith("σ") else word


def _read_vocabulary(path: str | Path) -> list[str]:
    lines: Iterable[str] = read_utf8(path).splitlines()
    return [unicodedata.normalize("NFC", line.strip()) for line in lines if line.strip()]
