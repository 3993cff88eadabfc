"""New words out of the pieces of photographed ones, cut between letters where CTC finds them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from data.loader import fit
from data.synth.words import WordSource
from recognizer.ctc import log_softmax
from recognizer.ctc_alignment import align
from recognizer.pipeline import Pipeline
from rectify.images import Image
from rectify.rectifier import flatten
from rectify.shape import resize

Rng = np.random.Generator

SEEN = 0.02
"""Least probability of each letter where a word is cut: below, the recogniser does not see that letter there."""
LEAST_ROWS = 10
KNOWN_SHARE = 0.55
"""Share of the spliced words that are words of the vocabulary; of the others two pieces meet at random."""
MOST_LETTERS = 14
TRIALS = 6
"""Ways to part a word of the vocabulary that are tried."""
COMPARED = 24
"""Words among which the one is sought that looks most like the first piece's."""
HEIGHT_WEIGHT = 60.0
"""Levels of colour that a factor e between the heights of two words is worth when they are compared."""
WHIM = 10.0
"""Levels of colour by which a comparison is blurred, so that it is not always the same words that meet."""
MATCHED = 0.7
"""Share of the words whose pieces get the first one's colours."""

_RISING = frozenset("bdfhklt") | frozenset("0123456789!?$%&/()[]{}|@#\\")
_FALLING = frozenset("gjpqyQ,;()[]{}|/$@")


@dataclass(frozen=True, eq=False)
class CutWord:
    """A photographed word, flat, with the columns at which it can be cut."""

    image: Image
    """(H, W, 3) uint8."""
    label: str
    cuts: tuple[int, ...]
    """(letters + 1,) columns around the letters, 0 and W included."""

    @property
    def shape(self) -> tuple[bool, bool]:
        """Whether letters rise above the small ones, and fall below the line: flat words of one shape have letters of
        one size."""
        rising = any(letter in _RISING or letter.isupper() for letter in self.label)
        return rising, not _FALLING.isdisjoint(self.label)

    def style(self) -> NDArray[np.float64]:
        """(7,) what words are compared by: mean and deviation of the colours, and the height."""
        colors = self.image.reshape(-1, 3)
        return np.array([*colors.mean(0), *colors.std(0), HEIGHT_WEIGHT * np.log(len(self.image))])


class Piece(NamedTuple):
    """Letters ``start`` to ``stop`` of a cut word."""

    word: int
    start: int
    stop: int


def cut_words(images: Sequence[Image], labels: Sequence[str], pipeline: Pipeline) -> list[CutWord]:
    """Rectifies crops and finds the gaps between their letters; those of which a letter is not seen are left out.

    Args:
        images: crops (H, W, 3) uint8.
        pipeline: with the built-in recogniser.
    """
    words = []
    recognizer = pipeline.recognizer
    for image, label, reading in zip(images, labels, pipeline(images), strict=True):
        if len(label) < 2 or not all(letter in recognizer.charset for letter in label):
            continue
        frames = log_softmax(recognizer.logits(reading.crop[None])[0])
        found = align(frames, recognizer.charset.encode(label))
        if found is None or found.seen.min() < SEEN:
            continue
        flat = fit(flatten(image, reading.control_points, reading.rows, reading.cols))
        if len(flat) >= LEAST_ROWS:
            words.append(CutWord(flat, label, _cuts(flat, found.places / len(frames))))
    return words


def _cuts(flat: Image, places: NDArray[np.float64]) -> tuple[int, ...]:
    """Columns between letters whose middles are these shares of the width: where least is to be seen, near halfway."""
    height, width = flat.shape[:2]
    inner = slice(height // 10, height - height // 10)
    busy = cv2.cvtColor(flat, cv2.COLOR_RGB2GRAY)[inner].astype(np.float64).std(0)
    busy = cv2.blur(busy[None], (3, 1))[0]
    cuts = [0]
    for left, right in pairwise(places * width):
        gap = right - left
        columns = np.arange(int(left + 0.25 * gap), int(right - 0.2 * gap) + 1)
        off = np.abs(columns - (left + right) / 2) / max(gap, 1.0)
        cuts.append(int(columns[(busy[columns] + 0.6 * busy.mean() * off).argmin()]))
    return (*cuts, width)


class Splicer:
    """Joins pieces of photographed words to new ones, a function of the words and the rng alone.

    Words of the vocabulary are put together from up to three pieces of different words, others from the beginning of
    one word and the end of another, of the same shape (see ``CutWord.shape``) and much alike.

    Args:
        words: at least two of one shape.
        vocabulary: see ``WordSource``.

    Raises:
        ValueError: too few words.
    """

    def __init__(self, words: Sequence[CutWord], vocabulary: WordSource) -> None:
        groups: dict[tuple[bool, bool], list[int]] = defaultdict(list)
        for index, word in enumerate(words):
            groups[word.shape].append(index)
        self._groups = [group for group in groups.values() if len(group) > 1]
        if not self._groups:
            raise ValueError("too few words to splice: it takes two whose letters are all seen")
        self._shares = np.array([len(group) for group in self._groups]) / sum(map(len, self._groups))
        self._words, self._vocabulary = words, vocabulary
        self._styles = np.array([word.style() for word in words])
        self._pieces = [_pieces(words, group) for group in self._groups]

    def __call__(self, rng: Rng) -> tuple[Image, str]:
        """A new word: crop (H, W, 3) uint8, nearly flat, and its text."""
        while True:
            group = int(rng.choice(len(self._groups), p=self._shares))
            known = rng.random() < KNOWN_SHARE
            pieces = self._known(group, rng) if known else self._met(self._groups[group], rng)
            if pieces and all(stop - start > 1 for start, stop in map(self._columns, pieces)):
                return self._joined(pieces, rng), "".join(self._words[p.word].label[p.start : p.stop] for p in pieces)

    def _known(self, group: int, rng: Rng) -> list[Piece]:
        """Pieces that make a word of the vocabulary; none where there are no such."""
        text = self._vocabulary.draw(rng)
        there = self._pieces[group]
        for _ in range(TRIALS if 2 <= len(text) <= MOST_LETTERS else 0):
            count = min(len(text) - 1, 1 if rng.random() < 0.75 else 2)
            ends = [0, *sorted(rng.choice(np.arange(1, len(text)), count, replace=False).tolist()), len(text)]
            parts = [text[start:stop] for start, stop in pairwise(ends)]
            if all(part in there for part in parts):
                return self._alike([there[part] for part in parts], rng)
        return []

    def _met(self, group: Sequence[int], rng: Rng) -> list[Piece]:
        """The beginning of one word, and the end of another that looks like it."""
        first = group[int(rng.integers(len(group)))]
        beginning = Piece(first, 0, int(rng.integers(1, len(self._words[first].label) + 1)))
        others = [
            word for word in rng.choice(group, min(COMPARED, len(group)), replace=False).tolist() if word != first
        ]
        second = others[self._nearest(others, first, rng)]
        length = len(self._words[second].label)
        end = Piece(second, int(rng.integers(0, length)), length)
        return [beginning, end] if beginning.stop + end.stop - end.start <= MOST_LETTERS else []

    def _alike(self, choices: Sequence[Sequence[Piece]], rng: Rng) -> list[Piece]:
        """One piece of each kind, of different words that look like the first; none where there are too few."""
        pieces: list[Piece] = []
        for choice in choices:
            some = [choice[i] for i in rng.choice(len(choice), min(COMPARED, len(choice)), replace=False).tolist()]
            some = [piece for piece in some if all(piece.word != other.word for other in pieces)]
            if not some:
                return []
            nearest = self._nearest([piece.word for piece in some], pieces[0].word, rng) if pieces else 0
            pieces.append(some[nearest])
        return pieces

    def _nearest(self, words: Sequence[int], wanted: int, rng: Rng) -> int:
        """Index of the word that looks most like the wanted one, but for a whim."""
        distances = np.linalg.norm(self._styles[list(words)] - self._styles[wanted], axis=1)
        return int((distances + WHIM * rng.random(len(words))).argmin())

    def _columns(self, piece: Piece) -> tuple[int, int]:
        cuts = self._words[piece.word].cuts
        return cuts[piece.start], cuts[piece.stop]

    def _joined(self, pieces: Sequence[Piece], rng: Rng) -> Image:
        """The pieces at the first one's height, some in its colours, faded into each other at the seams."""
        first = self._words[pieces[0].word].image
        matched = rng.random() < MATCHED
        result = self._sized(pieces[0], len(first))
        for piece in pieces[1:]:
            part = self._sized(piece, len(first))
            if matched:
                part = _in_colors_of(first, self._words[piece.word].image, part)
            seam = min(int(rng.integers(1, max(2, len(first) // 12 + 1))), result.shape[1] - 1, part.shape[1] - 1)
            fade = (np.arange(1, seam + 1, dtype=np.float32) / (seam + 1))[:, None]
            middle = result[:, -seam:] * (1 - fade) + part[:, :seam] * fade
            result = np.concatenate([result[:, :-seam], middle, part[:, seam:]], axis=1)
        return np.rint(np.clip(result, 0, 255)).astype(np.uint8)

    def _sized(self, piece: Piece, height: int) -> NDArray[np.float32]:
        image = self._words[piece.word].image
        start, stop = self._columns(piece)
        width = max(2, round((stop - start) * height / len(image)))
        return resize(np.ascontiguousarray(image[:, start:stop]), (width, height)).astype(np.float32)


def _in_colors_of(wanted: Image, whole: Image, part: NDArray[np.float32]) -> NDArray[np.float32]:
    """A part of a word with mean and deviation of each colour changed as from the whole word's to the wanted one's."""
    mean, deviation = (f(whole.reshape(-1, 3), axis=0) for f in (np.mean, np.std))
    new_mean, new_deviation = (f(wanted.reshape(-1, 3), axis=0) for f in (np.mean, np.std))
    scale = np.clip((new_deviation + 4) / (deviation + 4), 0.5, 2.0)
    return ((part - mean) * scale + new_mean).astype(np.float32)


def _pieces(words: Sequence[CutWord], group: Sequence[int]) -> dict[str, list[Piece]]:
    """All pieces of a group's words by their letters."""
    pieces: dict[str, list[Piece]] = defaultdict(list)
    for text, piece in (entry for index in group for entry in _parts(words[index].label, index)):
        pieces[text].append(piece)
    return dict(pieces)


def _parts(label: str, word: int) -> Iterator[tuple[str, Piece]]:
    for start in range(len(label)):
        for stop in range(start + 1, min(len(label), start + MOST_LETTERS) + 1):
            yield label[start:stop], Piece(word, start, stop)
