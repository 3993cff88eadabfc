"""Fonts from any folders, and flat words set in them letter by letter."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from data.synth.words import in_split

EM = 56
"""Pixels to the em at which glyphs are drawn once and kept."""

_NOT_A_CHARACTER = "\U0010ffff"


@dataclass(frozen=True)
class Glyph:
    """Coverage of one letter and where it goes."""

    coverage: NDArray[np.uint8]
    left: int
    """Pixels from the pen to the first column."""
    top: int
    """Pixels from the ascender line to the first row."""
    advance: float


class MissingGlyph(ValueError):
    """The font has no picture for a character."""


class Face:
    """One font file; its glyphs are drawn when first asked for."""

    def __init__(self, path: str) -> None:
        from PIL import ImageFont

        try:
            self._font = ImageFont.truetype(path, EM, layout_engine=ImageFont.Layout.BASIC)
        except OSError as error:
            raise ValueError(f"{path}: not a font with outlines that can be read ({error}); remove it") from None
        self._glyphs: dict[str, Glyph | None] = {}
        self._unknown = self._draw(_NOT_A_CHARACTER)
        self.baseline: int = self._font.getmetrics()[0]
        """Pixels below the ascender line."""

    def glyph(self, character: str) -> Glyph:
        """Raises MissingGlyph where the font shows nothing, or only its box for unknown characters."""
        if character not in self._glyphs:
            glyph = self._draw(character)
            unknown = np.array_equal(glyph.coverage, self._unknown.coverage) or not glyph.coverage.any()
            self._glyphs[character] = None if unknown else glyph
        found = self._glyphs[character]
        if found is None:
            raise MissingGlyph(character)
        return found

    def lacks(self, characters: Iterable[str]) -> str | None:
        """The first of the characters that it has no glyph for; None where it has all."""
        for character in characters:
            try:
                self.glyph(character)
            except MissingGlyph:
                return character
        return None

    def _draw(self, character: str) -> Glyph:
        mask, (left, top) = self._font.getmask2(character, mode="L")
        width, height = mask.size
        coverage = np.frombuffer(bytes(mask), np.uint8).reshape(height, width)
        # Pillow's mask reaches from the pen to the advance; only the ink in it counts.
        columns, rows = np.flatnonzero(coverage.any(0)), np.flatnonzero(coverage.any(1))
        if len(columns):
            coverage = coverage[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
            left, top = left + int(columns[0]), top + int(rows[0])
        return Glyph(coverage, left, top, self._font.getlength(character))


class FontBook:
    """The fonts of some folders, grouped by family.

    Args:
        folders: searched through for .ttf and .otf files.
        split: see ``words.SPLITS``; applied to families.
        letters: fonts without one of these are left out.

    Raises:
        ValueError: no font there, or none with all letters.
    """

    def __init__(self, folders: Iterable[str | Path], split: str = "all", letters: str = "") -> None:
        places = [Path(folder) for folder in folders]
        families: dict[str, list[str]] = defaultdict(list)
        for place in places:
            if not place.is_dir():
                raise ValueError(f"{place}: no such folder")
            for path in filter(_is_font, sorted(place.rglob("*"))):
                if in_split(_family(path), split):
                    families[_family(path)].append(str(path))
        if not families:
            of_split = f" of the fonts that --split {split} takes" if split != "all" else ""
            raise ValueError(f"no .ttf or .otf font{of_split} in {', '.join(map(str, places)) or 'no folder'}")
        self.left_out = 0
        """Fonts without all letters."""
        if letters:
            families = self._with_letters(families, letters)
        # By name and not by folder, so that the same fonts in other places give the same samples.
        self.families = [sorted(files, key=lambda file: Path(file).name) for _, files in sorted(families.items())]

    def _with_letters(self, families: dict[str, list[str]], letters: str) -> dict[str, list[str]]:
        missing: Counter[str] = Counter()
        kept: dict[str, list[str]] = {}
        for family, files in families.items():
            lacking = {file: _face(file).lacks(letters) for file in files}
            missing.update(filter(None, lacking.values()))
            usable = [file for file in files if lacking[file] is None]
            if usable:
                kept[family] = usable
        self.left_out = sum(missing.values())
        if not kept:
            letter, count = missing.most_common(1)[0]
            raise ValueError(f"none of {self.left_out} fonts has all letters; {count} of them lack {letter!r}, for one")
        return kept

    def draw(self, rng: np.random.Generator) -> Face:
        """A face: first a family, then one of its files, so that large families do not crowd out the rest."""
        files = self.families[int(rng.integers(len(self.families)))]
        return _face(files[int(rng.integers(len(files)))])


def _is_font(path: Path) -> bool:
    """Whether a file is one by its name; hidden files, such as macOS makes beside others, are none."""
    return path.suffix.lower() in (".ttf", ".otf") and not path.name.startswith(".")


def _family(path: Path) -> str:
    """``RobotoMono_400Regular.ttf`` and ``RobotoMono-Bold.ttf`` are of one family."""
    return re.split(r"[_\-\[]", path.stem, maxsplit=1)[0].lower()


@lru_cache(maxsize=2048)
def _face(path: str) -> Face:
    return Face(path)


@dataclass(frozen=True)
class FlatWord:
    """A word on one line, as coverage; other ink may stand around it."""

    coverage: NDArray[np.uint8]
    origin: tuple[float, float]
    """Left and top border of the word's ink box in pixels of ``coverage``."""
    ink_size: tuple[float, float]
    """(width, height) of the ink box in pixels."""
    characters: tuple[tuple[float, float], ...]
    """Horizontal ink extent of each character, [-1, 1] over the ink box."""
    heights: tuple[tuple[float, float], ...]
    """Vertical ink extent (top, bottom) of each, likewise."""


def set_word(text: str, face: Face, spacing: float, small: float = 1.0) -> FlatWord:
    """Set a text letter by letter.

    Args:
        spacing: extra space between letters, in em.
        small: size of the letters after the first, in its size; below 1, capitals become small capitals.

    Raises:
        MissingGlyph: the face lacks a character.
    """
    glyphs = [face.glyph(character) for character in text]
    if small != 1.0:
        glyphs[1:] = [_scaled(glyph, small, face.baseline) for glyph in glyphs[1:]]
    pens = np.concatenate([[0.0], np.cumsum([glyph.advance + spacing * EM for glyph in glyphs])[:-1]])
    lefts = [round(float(pen)) + glyph.left for pen, glyph in zip(pens, glyphs, strict=True)]
    left, top = min(lefts), min(glyph.top for glyph in glyphs)
    right = max(x + glyph.coverage.shape[1] for x, glyph in zip(lefts, glyphs, strict=True))
    bottom = max(glyph.top + glyph.coverage.shape[0] for glyph in glyphs)
    canvas = np.zeros((bottom - top, right - left), np.uint8)
    characters, heights = [], []
    for x, glyph in zip(lefts, glyphs, strict=True):
        put(canvas, glyph.coverage, x - left, glyph.top - top)
        height, width = glyph.coverage.shape
        characters.append(_extent(x - left, width, right - left))
        heights.append(_extent(glyph.top - top, height, bottom - top))
    return FlatWord(canvas, (0, 0), (right - left, bottom - top), tuple(characters), tuple(heights))


def _scaled(glyph: Glyph, scale: float, baseline: int) -> Glyph:
    """The glyph in another size, on the same baseline."""
    height, width = (max(1, round(side * scale)) for side in glyph.coverage.shape)
    coverage = np.asarray(cv2.resize(glyph.coverage, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    top = round(baseline - (baseline - glyph.top) * scale)
    return Glyph(coverage, round(glyph.left * scale), top, glyph.advance * scale)


def _extent(start: int, length: int, whole: int) -> tuple[float, float]:
    """Pixels from ``start`` on, so many of a ``whole``, as coordinates in [-1, 1]."""
    scale = 2 / whole
    return start * scale - 1, (start + length) * scale - 1


def put(canvas: NDArray[np.uint8], ink: NDArray[np.uint8], x: int, y: int) -> None:
    """Add ink to a canvas that is large enough, its top left pixel at (x, y)."""
    place = canvas[y : y + ink.shape[0], x : x + ink.shape[1]]
    np.maximum(place, ink, out=place)
