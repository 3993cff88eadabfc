"""Lexicon decoding against the enumeration of every path, and what of a word is matched."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recognizer import lexicon_search
from recognizer.charset import Charset
from recognizer.ctc import greedy
from recognizer.lexicon import HOPELESS, LONGEST, Lexicon

seeds = st.integers(0, 10_000)
CASED = Charset("abAB")


def from_text(text: str, charset: Charset) -> NDArray[np.float64]:
    """Logits (1, T, C) that are sure of a text, a blank between its characters."""
    path = [c for index in charset.encode(text) for c in (index, 0)]
    return 20.0 * np.eye(1 + len(charset))[path][None]


def random_logits(seed: int, steps: int = 5, classes: int = 5, sharpness: float = 2) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, sharpness, (1, steps, classes))


def enumerated(logits: NDArray[np.float64], charset: Charset) -> dict[str, float]:
    """Probability of every lower-case text (T, C): of all paths, folded and then merged."""
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    characters = [""] + [c.lower() for c in charset.characters]
    texts: dict[str, float] = defaultdict(float)
    for path in itertools.product(range(len(characters)), repeat=len(logits)):
        text = "".join(c for c, _ in itertools.groupby(characters[c] for c in path))
        texts[text] += math.prod(probabilities[t, c] for t, c in enumerate(path))
    return texts


def words_of(seed: int, count: int, letters: str = "abAB") -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list(letters), rng.integers(1, 5))) for _ in range(count)]


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_the_best_word_is_that_of_brute_force(seed: int) -> None:
    logits, words = random_logits(seed), words_of(seed, 8)
    texts = enumerated(logits[0], CASED)
    scores = [texts.get(word.lower(), 0.0) for word in words]
    ((word, sure),) = Lexicon(words).read_ctc(logits, CASED)
    assert word == words[int(np.argmax(scores))]
    assert sure == pytest.approx(max(scores) ** (1 / len(word)))


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_every_word_is_scored_as_by_brute_force(seed: int) -> None:
    logits, words = random_logits(seed), words_of(seed, 8)
    texts = enumerated(logits[0], CASED)
    scores = np.exp(Lexicon(words).log_probabilities(logits, CASED)[0])
    np.testing.assert_allclose(scores, [texts.get(word.lower(), 0.0) for word in words], rtol=1e-9)


@given(seeds, st.sampled_from([0.5, 2, 10, 300]))
@settings(max_examples=20, deadline=None)
def test_search_agrees_with_scoring_every_word_of_a_long_list(seed: int, sharpness: float) -> None:
    charset = Charset("abcABC12")
    words = words_of(seed, 400, "abcABC12")
    lexicon = Lexicon(words)
    logits = random_logits(seed, steps=20, classes=9, sharpness=sharpness)
    scores = lexicon.log_probabilities(logits, charset)[0]
    ((word, sure),) = lexicon.read_ctc(logits, charset)
    assert scores[words.index(word)] == pytest.approx(scores.max())
    assert sure == pytest.approx(math.exp(scores.max() / len(word)))


def test_a_batch_is_its_samples() -> None:
    lexicon = Lexicon(words_of(0, 50))
    logits = np.concatenate([random_logits(seed, steps=12) for seed in range(6)])
    together = lexicon.read_ctc(logits, CASED)
    assert together == [lexicon.read_ctc(sample[None], CASED)[0] for sample in logits]
    assert lexicon.read_ctc(logits[:0], CASED) == []


@pytest.mark.parametrize("text", ["museum", "MUSEUM", "mUsEuM"])
def test_case_is_folded_and_the_spelling_is_the_lists(text: str) -> None:
    ((word, sure),) = Lexicon(["Muse", "Museum", "harbour"]).read_ctc(from_text(text, Charset()), Charset())
    assert word == "Museum"
    assert sure > 0.99


def test_both_cases_add_up_in_a_frame() -> None:
    logits = np.log([[[0.2, 0.3, 0.1, 0.35, 0.05]]])  # blank, a, b, A, B
    assert Lexicon(["b", "A"]).read_ctc(logits, CASED) == [("A", pytest.approx(0.65))]


def test_the_nearest_word_corrects_the_text() -> None:
    logits = from_text("muscum", Charset())
    assert Charset().decode(greedy(logits)[0][0]) == "muscum"
    assert Lexicon(["open", "museum", "mucus"]).read_ctc(logits, Charset())[0][0] == "museum"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Cafe", "Café"),  # without the accent
        ("strasse", "Straße"),  # ß is left out
        ("oclock", "o’clock"),
        ("NewYork", "New York"),
        ("file", "ﬁle"),  # a ligature is its letters
    ],
)
def test_characters_outside_of_the_charset(text: str, word: str) -> None:
    assert Lexicon(["other", word, "words"]).read_ctc(from_text(text, Charset()), Charset())[0][0] == word


def test_a_charset_with_accents_tells_them_apart() -> None:
    charset = Charset("caféeFÉ")
    lexicon = Lexicon(["cafe", "CAFÉ"])
    assert lexicon.read_ctc(from_text("cafe", charset), charset)[0][0] == "cafe"
    assert lexicon.read_ctc(from_text("café", charset), charset)[0][0] == "CAFÉ"


def test_composed_and_decomposed_words_match_alike() -> None:
    charset = Charset("acefé")
    words = [Lexicon([word]).spelled(charset) for word in ("caf\u00e9", "cafe\u0301")]
    assert words[0].cases(0) == words[1].cases(0) != Lexicon(["cafe"]).spelled(charset).cases(0)


def test_of_words_that_match_alike_the_first_counts() -> None:
    logits = from_text("ab", CASED)
    assert Lexicon(["b", "aB", "AB", "aB"]).read_ctc(logits, CASED)[0][0] == "aB"


def test_no_word_where_none_fits() -> None:
    assert Lexicon(["aaa", "abab"]).read_ctc(np.zeros((1, 3, 5)), CASED) == [("", 0.0)]
    assert Lexicon(["aaa", "aba"]).read_ctc(np.zeros((1, 3, 5)), CASED)[0][0] == "aba"


def test_the_best_word_is_found_where_all_are_improbable() -> None:
    """Every path of the words has a probability below the smallest float."""
    charset = Charset("abc")
    logits = np.full((1, 60, 4), -400.0)
    logits[..., 3] = 0  # c, of no word
    logits[0, 10, 2] = -300
    ((word, sure),) = Lexicon(["a", "b"]).read_ctc(logits, charset)
    assert (word, sure) == ("b", 0.0)


def test_a_search_that_gives_up_still_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexicon_search, "MOST", 3)
    words = words_of(1, 300)
    assert Lexicon(words).read_ctc(random_logits(0, steps=20), CASED)[0][0] in words


def test_words_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(ValueError, match="lexicon: word 2: the recogniser has none of the characters of '中文'"):
        Lexicon(["a", "中文"]).read_ctc(np.zeros((1, 3, 5)), CASED)
    with pytest.raises(ValueError, match="lexicon: holds no words"):
        Lexicon([])
    with pytest.raises(TypeError, match="many words"):
        Lexicon("word")


def test_a_file_of_words(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes("\ufeffCafé\r\n\n  open \nopen".encode())
    assert Lexicon.read(path).words == ("Café", "open", "open")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "words.txt: holds no words"),
        (b"\n \n", "words.txt: holds no words"),
        (b"open\n\ncaf\xe9\n", "words.txt: line 3: not UTF-8"),
        (b"open\n" + b"x" * (LONGEST + 1), f"words.txt: line 2: {LONGEST + 1} characters"),
        ("open\n\n中文\n".encode(), "words.txt: line 3: the recogniser has none"),
    ],
)
def test_a_file_that_holds_something_else(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Lexicon.read(path).spelled(Charset())


class Letters:
    """A scorer of another kind of head: independent letters, and an end after each."""

    def __init__(self, letters: NDArray[np.float64], end: float) -> None:
        self._letters, self._end = letters, end
        self._prefixes: list[tuple[int, float]] = []

    def start(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self._keep([(0, 0.0)])

    def extend(
        self, prefixes: NDArray[np.int64], symbols: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        scored = []
        for prefix, symbol in zip(prefixes, symbols, strict=True):
            length, score = self._prefixes[prefix]
            scored.append((length + 1, score + self._letters[length, symbol]))
        return self._keep(scored)

    def _keep(self, scored: list[tuple[int, float]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        self._prefixes += scored
        wholes = np.array([score + self._end for _, score in scored])
        return wholes, np.stack([score + self._letters[length] for length, score in scored])


@given(seeds, st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_any_head_can_score_prefixes(seed: int, count: int) -> None:
    spelled = Lexicon(words_of(seed, 20)).spelled(CASED)
    letters = -np.random.default_rng(seed).exponential(2, (6, 3))
    scores = {tuple(word): -0.5 + sum(letters[i, s] for i, s in enumerate(word)) for word in spelled.words}
    found = lexicon_search.search(spelled.trie, Letters(letters, -0.5), count)
    assert [score for _, score in found] == pytest.approx(sorted(scores.values(), reverse=True)[:count])
    assert [scores[tuple(spelled.words[word])] for word, _ in found] == [score for _, score in found]


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_the_nearest_words_are_the_most_probable_ones(seed: int) -> None:
    lexicon, logits = Lexicon(sorted({word.lower() for word in words_of(seed, 30)})), random_logits(seed, steps=9)
    scores = lexicon.log_probabilities(logits, CASED)[0]
    (found,) = lexicon.nearest(logits, CASED, 5)
    considered = scores[scores >= scores.max() - HOPELESS]
    assert [score for _, score in found] == pytest.approx(sorted(considered, reverse=True)[:5])
    assert [score for _, score in found] == pytest.approx([scores[word] for word, _ in found])


def test_a_word_in_all_its_cases() -> None:
    charset = Charset("abcAB1")
    cases = Lexicon(["Ab", "cab", "b1", "c"]).spelled(charset).cases
    texts = [[charset.decode(text) for text in cases(word)] for word in range(4)]
    assert texts == [["ab", "AB", "Ab"], ["cab", "cAB"], ["b1", "B1"], ["c"]]
