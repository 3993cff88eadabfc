"""Renders one synthetic word: text, font, geometry, colours, camera."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from data.synth.degrade import degrade, encode
from data.synth.fonts import Face, FlatWord, FontBook, MissingGlyph, put, set_word
from data.synth.geometry import WordGeometry
from data.synth.ink import INK, encode_ink
from data.synth.layout import draw_geometry, flat_coordinates
from data.synth.paint import is_legible, paint
from data.synth.words import ENGLISH, WordSource
from rectify.conventions import to_pixels

Rng = np.random.Generator

_TRIES = 50
_PAINTS = 3
"""Colours tried until the letters stand out; a few words in a thousand do not, as in photographs."""
_SHARPNESS = 1.2
"""Flat pixels kept for each pixel of the crop; more would alias, fewer would blur."""


@dataclass(frozen=True)
class SyntheticWord:
    """One sample, as it goes into an LMDB."""

    image: bytes
    """JPEG."""
    label: str
    geometry: WordGeometry
    ink: bytes
    """Of the flat word, see ``ink.encode_ink``."""

    def extra(self) -> dict[str, bytes]:
        """What is stored beside image and label."""
        geometry = json.dumps(self.geometry.to_json(), separators=(",", ":")).encode()
        return {"geometry": geometry, INK: self.ink}


class Renderer:
    """Renders samples; sample i depends on (seed, i), the fonts, the vocabulary and the charset alone.

    Args:
        fonts: folders with .ttf or .otf files.
        seed: of the whole set.
        split: which words and font families, see ``words.SPLITS``.
        vocabulary, language, charset: what is written, see ``words.WordSource``; with a charset, fonts that lack one
            of its letters are left out.
        signs: share of the words that look like most words of photographs: nearly straight and upright, tightly
            cropped, some in small capitals or solid letters. The rest is as curved and tilted as without.
    """

    def __init__(
        self,
        fonts: Iterable[str | Path],
        seed: int = 0,
        split: str = "all",
        vocabulary: str | Path | None = None,
        language: str = ENGLISH,
        charset: str | None = None,
        signs: float = 0.0,
    ) -> None:
        self.words = WordSource(split, vocabulary, language, charset)
        self.fonts = FontBook(fonts, split, self.words.letters if charset else "")
        self.seed, self.signs = seed, signs

    def __call__(self, index: int) -> SyntheticWord:
        rng = np.random.Generator(np.random.PCG64([self.seed, index]))
        sign = self.signs > 0 and rng.random() < self.signs
        text, word, face = self._flat_word(rng, sign)
        own = word.coverage
        width, height = word.ink_size
        geometry = draw_geometry(width / height, word.characters, rng, sign)
        if rng.random() < 0.2:
            word = self._among_others(word, face, rng)
        text_height = _text_height(geometry)
        mask = _place(word, geometry, text_height)
        for _ in range(_PAINTS):
            image = degrade(paint(mask, rng, sign), text_height, rng)
            if is_legible(image, mask):
                break
        # The camera may have taken pixels away; normalised coordinates do not mind.
        geometry = replace(geometry, size=(image.shape[1], image.shape[0]), heights=word.heights)
        return SyntheticWord(encode(image, rng), text, geometry, encode_ink(own))

    def _flat_word(self, rng: Rng, sign: bool) -> tuple[str, FlatWord, Face]:
        """A text in a face that has all its characters."""
        for _ in range(_TRIES):
            text, face = self.words.draw(rng), self.fonts.draw(rng)
            try:
                spacing = _spacing(rng)
                small = rng.uniform(0.65, 0.9) if sign and text.isupper() and rng.random() < 0.2 else 1.0
                return text, set_word(text, face, spacing, small), face
            except MissingGlyph:
                continue
        raise ValueError(f"no font with all characters of a text after {_TRIES} tries, the last one {text!r}")

    def _among_others(self, word: FlatWord, face: Face, rng: Rng) -> FlatWord:
        """The word with other words beside, above or below it, as crops from a line or a page show it."""
        width, height = (round(side) for side in word.ink_size)
        gap = round(height * rng.uniform(0.3, 0.8))
        canvas = np.zeros((3 * height + 2 * gap, 3 * width + 2 * gap), np.uint8)
        x, y = width + gap, height + gap
        put(canvas, word.coverage, x, y)
        for step_x, step_y in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            if rng.random() < 0.5:
                continue
            try:
                other = set_word(self.words.draw(rng), face, 0.0).coverage[:height, :width]
            except MissingGlyph:
                continue
            # The nearest letters of a word to the left are its last ones.
            left = x - gap - other.shape[1] if step_x < 0 else x + step_x * (width + gap)
            put(canvas, other, left, y + step_y * (height + gap))
        return replace(word, coverage=canvas, origin=(x, y))


def _spacing(rng: Rng) -> float:
    """Extra space between letters in em: mostly none, sometimes tight or wide."""
    kind = rng.random()
    if kind < 0.5:
        return 0.0
    if kind < 0.8:
        return max(-0.04, float(rng.normal(0.0, 0.05)))
    return float(rng.uniform(0.0, 0.4))


def _text_height(geometry: WordGeometry) -> float:
    """Largest height of the letters in pixels of the crop."""
    outline = to_pixels(geometry.outline(5), geometry.size)
    return float(np.linalg.norm(outline[:5] - outline[5:][::-1], axis=1).max())


def _place(word: FlatWord, geometry: WordGeometry, text_height: float) -> NDArray[np.float32]:
    """Coverage (H, W) of the word in its crop, 0..1."""
    shrink = min(1.0, _SHARPNESS * text_height / word.ink_size[1])
    coverage, shrink_x, shrink_y = word.coverage, 1.0, 1.0
    if shrink < 0.9:
        height, width = coverage.shape
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        coverage = cv2.resize(coverage, size, interpolation=cv2.INTER_AREA)
        shrink_x, shrink_y = size[0] / width, size[1] / height
    x, y = flat_coordinates(geometry)
    columns = (x + 1) * np.float32(word.ink_size[0] * shrink_x / 2) + np.float32(word.origin[0] * shrink_x - 0.5)
    rows = (y + 1) * np.float32(word.ink_size[1] * shrink_y / 2) + np.float32(word.origin[1] * shrink_y - 0.5)
    placed = cv2.remap(coverage, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return placed.astype(np.float32) * np.float32(1 / 255)
