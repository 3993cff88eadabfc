"""Reading with a list of words that can occur: the most probable of them, and how its characters are matched.

Matching folds case: upper and lower case of a character count as one, their probabilities added in each frame, so that
the lists of the 36-character protocol serve a recogniser that tells them apart. Repeats are merged after that. A
character that the charset lacks is matched without its accents, or left out. A word is returned as the list spells it.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recognizer.charset import Charset
from recognizer.ctc import Logits, log_probability, log_softmax
from recognizer.ctc_prefixes import CtcPrefixes
from recognizer.lexicon_search import search
from recognizer.trie import Trie

LONGEST = 250
"""Characters of a word; a longer line is no word, and the trie's table is as wide as the longest."""
HOPELESS = 10.0
"""Logarithm of how many times less probable than the best word one is not even considered."""
WORDS_AT_ONCE = 1000
"""Words scored together where all are scored."""


class Lexicon:
    """Words that a text can be.

    Args:
        words: in the spelling to return; of words that match alike the first counts.
        name: what errors call the list.
        lines: line of each word in its file, for errors.

    Raises:
        TypeError: a text instead of words, or a word that is none.
        ValueError: no words, or one of more than ``LONGEST`` characters.
    """

    def __init__(self, words: Iterable[str], name: str = "lexicon", lines: Sequence[int] | None = None) -> None:
        if isinstance(words, str):
            raise TypeError("a lexicon is many words, not one text")
        self.words = tuple(words)
        self.name = name
        self._lines = lines
        if not self.words:
            raise ValueError(f"{name}: holds no words")
        for index, word in enumerate(self.words):
            if not isinstance(word, str):
                raise TypeError(f"{self._place(index)}: a lexicon is many words, this is {word!r}")
            if len(word) > LONGEST:
                raise ValueError(f"{self._place(index)}: {len(word)} characters, a word has at most {LONGEST}")
        self._spelled: dict[Charset, SpelledLexicon] = {}

    @classmethod
    def of(cls, words: Lexicon | Iterable[str]) -> Lexicon:
        """A lexicon of these words, unless they are one."""
        return words if isinstance(words, Lexicon) else cls(words)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Lexicon:
        """A file with one word a line, UTF-8; empty lines are skipped.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a line is not UTF-8 or too long, or there are no words; the message names file and line.
        """
        lines, words = [], []
        for number, raw in enumerate(Path(path).read_bytes().split(b"\n"), start=1):
            try:
                word = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError:
                raise ValueError(f"{path}: line {number}: not UTF-8 text") from None
            if word:
                lines.append(number)
                words.append(word)
        return cls(words, str(path), lines)

    def __len__(self) -> int:
        return len(self.words)

    def spelled(self, charset: Charset) -> SpelledLexicon:
        """The words as symbols of a recogniser with this charset; made once.

        Raises:
            ValueError: a word has none of the charset's characters; the message names it and its line.
        """
        if charset not in self._spelled:
            matching = _Matching(charset)
            composed = (unicodedata.normalize("NFC", word) for word in self.words)
            keys = ["".join(map(matching.__getitem__, word)) for word in composed]
            if not all(keys):
                index = keys.index("")
                raise ValueError(
                    f"{self._place(index)}: the recogniser has none of the characters of {self.words[index]!r}"
                )
            self._spelled[charset] = SpelledLexicon(keys, charset)
        return self._spelled[charset]

    def read_ctc(self, logits: Logits, charset: Charset) -> list[tuple[str, float]]:
        """The most probable word for each of N crops, and its confidence; of a crop that reads like no word the search
        may stop before it is sure of that (see ``lexicon_search.search``).

        Args:
            logits: (N, T, 1 + characters) of a CTC head, class 0 the blank.

        Returns:
            Word and confidence: the probability of the word, summed over all alignments and both cases of each
            character, as a geometric mean over its characters. No word, confidence 0, where none fits in T frames.
        """
        return [self._answer(nearest, charset) for nearest in self.nearest(logits, charset, 1)]

    def nearest(self, logits: Logits, charset: Charset, count: int) -> list[list[tuple[int, float]]]:
        """The most probable words for each of N crops: index and log probability of up to ``count``, the best first and
        none ``HOPELESS`` below it; see ``read_ctc``."""
        spelled = self.spelled(charset)
        nearest = []
        for frames in spelled.fold(log_softmax(logits)):
            found = search(spelled.trie, CtcPrefixes(frames), count, HOPELESS)
            if not found:  # too improbable for the search's arithmetic, or too long for the frames
                scores = self._scores(frames, spelled)
                order = np.argsort(-scores, kind="stable")[:count]
                least = max(scores[order[0]] - HOPELESS, np.finfo(float).min)
                found = [(int(word), float(scores[word])) for word in order if scores[word] >= least]
            nearest.append(found)
        return nearest

    def log_probabilities(self, logits: Logits, charset: Charset) -> NDArray[np.float64]:
        """Log probability (N, words) of every word for each of N crops; see ``read_ctc``."""
        spelled = self.spelled(charset)
        return np.stack([self._scores(frames, spelled) for frames in spelled.fold(log_softmax(logits))])

    def _scores(self, frames: NDArray[np.float64], spelled: SpelledLexicon) -> NDArray[np.float64]:
        words = spelled.words
        parts = [words[start : start + WORDS_AT_ONCE] for start in range(0, len(words), WORDS_AT_ONCE)]
        with np.errstate(invalid="ignore"):
            return np.concatenate([log_probability(frames[None], part, normalized=True) for part in parts])

    def _answer(self, nearest: Sequence[tuple[int, float]], charset: Charset) -> tuple[str, float]:
        if not nearest:
            return "", 0.0
        word, score = nearest[0]
        length = len(self.spelled(charset).words[word])
        return self.words[word], float(np.exp(min(0.0, score / length)))

    def _place(self, index: int) -> str:
        return f"{self.name}: line {self._lines[index]}" if self._lines else f"{self.name}: word {index + 1}"


class SpelledLexicon:
    """A lexicon's words as symbols: a symbol is a character of the charset without regard to case.

    Only characters that occur in a word have one; symbols count from 1.

    Attributes:
        words: the symbols of each word.
        trie: of the words.
        symbols: (1 + characters,) symbol of each class of a CTC head, 0 for the blank, -1 for those of no word.
    """

    def __init__(self, keys: Sequence[str], charset: Charset) -> None:
        numbers = {letter: number for number, letter in enumerate(sorted(set("".join(keys))), start=1)}
        self.words = [[numbers[letter] for letter in key] for key in keys]
        self.trie = Trie(self.words)
        classes = [numbers.get(_folded(character), -1) for character in charset.characters]
        self.symbols = np.array([0, *classes])
        order = np.argsort(self.symbols, kind="stable")
        self._classes = order[self.symbols[order] >= 0]
        self._starts = np.searchsorted(self.symbols[self._classes], np.arange(1 + len(numbers)))
        small: dict[int, int] = {}
        capital: dict[int, int] = {}
        for c, (symbol, character) in enumerate(zip(classes, charset.characters, strict=True), start=1):
            (small if character == _folded(character) else capital)[symbol] = c
        self._small, self._capital = capital | small, small | capital

    def fold(self, log_probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log probabilities of classes (N, T, 1 + characters) as those of symbols (N, T, 1 + symbols)."""
        return np.asarray(np.logaddexp.reduceat(log_probabilities[..., self._classes], self._starts, axis=-1))

    def cases(self, word: int) -> list[tuple[int, ...]]:
        """Classes of a word in small letters, in capitals, and with the first letter a capital, as far as they differ
        and the charset has both cases."""
        small = tuple(self._small[symbol] for symbol in self.words[word])
        capital = tuple(self._capital[symbol] for symbol in self.words[word])
        return list(dict.fromkeys([small, capital, capital[:1] + small[1:]]))


class _Matching(dict[str, str]):
    """What of a character is matched, by character: itself in lower case where the charset has it in some case, else
    those of its parts without accents that the charset has."""

    def __init__(self, charset: Charset) -> None:
        self._known = {_folded(character) for character in charset.characters}

    def __missing__(self, character: str) -> str:
        parts = [_folded(character)]
        if parts[0] not in self._known:
            parts = [_folded(part) for part in unicodedata.normalize("NFKD", character)]
        self[character] = "".join(part for part in parts if part in self._known)
        return self[character]


def _folded(character: str) -> str:
    """In lower case, unless that takes several characters."""
    lower = character.lower()
    return lower if len(lower) == 1 else character
