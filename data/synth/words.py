"""What is written: words by frequency, numbers, codes and random strings, in the cases that signs use."""

from __future__ import annotations

import string
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np

SPLITS = ("all", "seen", "unseen")
"""``unseen`` is the tenth of words and font families that ``seen`` never shows: for measuring on what is new."""

VOCABULARY_SIZE = 80_000
_LETTERS = string.ascii_letters
_SYMBOLS = "".join(sorted(set(string.punctuation)))


def in_split(name: str, split: str) -> bool:
    """Whether a word or font family belongs to the split; decided by a checksum of its name alone."""
    return split == "all" or (zlib.crc32(name.encode()) % 10 == 0) == (split == "unseen")


class WordSource:
    """Draws the text of a sample.

    Args:
        split: one of ``SPLITS``.
        vocabulary: a text file with one word a line, by falling frequency; the English list of wordfreq by default.
    """

    def __init__(self, split: str = "all", vocabulary: str | Path | None = None) -> None:
        words = _read_vocabulary(vocabulary) if vocabulary else _english()
        self.words = [word for word in words if in_split(word.lower(), split)]
        if not self.words:
            raise ValueError(f"no word of the {split} split in {vocabulary or 'the frequency list'}")

    def draw(self, rng: np.random.Generator) -> str:
        """A text of 1 to 25 characters without spaces."""
        kind = rng.random()
        if kind < 0.80:
            text = self._word(rng)
        elif kind < 0.90:
            text = _number(rng)
        elif kind < 0.97:
            text = _code(rng)
        else:
            text = _random(rng)
        return text[:25]

    def _word(self, rng: np.random.Generator) -> str:
        # Frequent words are drawn more often than by chance, rare ones far more often than in running text.
        share = rng.random() ** 2 if rng.random() < 0.5 else rng.random()
        word = _cased(self.words[int(share * len(self.words))], rng)
        return _punctuated(word, rng) if rng.random() < 0.08 else word


def _cased(word: str, rng: np.random.Generator) -> str:
    style = rng.random()
    if style < 0.42:
        return word.upper()
    if style < 0.70:
        return word[:1].upper() + word[1:]
    if style < 0.97:
        return word
    flips = rng.random(len(word)) < 0.5
    return "".join(letter.upper() if flip else letter for letter, flip in zip(word, flips, strict=True))


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


def _code(rng: np.random.Generator) -> str:
    """Letters and digits without a meaning: plates, rooms, part numbers."""
    pool = string.ascii_uppercase + string.digits if rng.random() < 0.7 else _LETTERS + string.digits
    return _pick(pool, int(rng.integers(1, 9)), rng)


def _random(rng: np.random.Generator) -> str:
    return _pick(_LETTERS + string.digits + _SYMBOLS, int(rng.integers(1, 9)), rng)


def _pick(pool: str, count: int, rng: np.random.Generator) -> str:
    return "".join(pool[int(index)] for index in rng.integers(0, len(pool), count))


@lru_cache(maxsize=1)
def _english() -> tuple[str, ...]:
    from wordfreq import top_n_list

    allowed = set(string.ascii_lowercase + "'")
    return tuple(word for word in top_n_list("en", VOCABULARY_SIZE) if set(word) <= allowed and word.strip("'"))


def _read_vocabulary(path: str | Path) -> list[str]:
    return [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
