"""Quality of the rectified crops themselves, a set at a time, against all the truth that the set holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data.quads import QUADS, Quad, read_quads
from data.synth.geometry import WordGeometry
from rectify.conventions import MARGIN, Points, to_pixels
from rectify.folds import folds_over
from rectify.framing import LEAST_BEND
from rectify.strength import bend_strength
from train.crops import Crop, Image, Reader, batches, read_crop
from train.letter_errors import LetterErrors, letter_errors
from train.metrics import percent
from train.shape_errors import (
    ANNOTATED_SPACE,
    QuadErrors,
    WordErrors,
    annotated_space,
    corner_error,
    quad_errors,
    share_outside,
    word_errors,
)
from train.similarity import flat_similarity


class Locator(Protocol):
    """What is measured: ``rectify.Rectifier`` or anything alike."""

    rows: int
    cols: int

    def locate(self, images: Sequence[Image], /) -> NDArray[np.float32]:
        """Control points (N, rows·cols, 2) of N crops, normalised."""


@dataclass(frozen=True)
class Word(Crop):
    """A crop and what is known of the word in it."""

    truth: WordGeometry | None = None
    """The map by which it was rendered."""
    ink: NDArray[np.bool_] | None = None
    quad: Quad | None = None
    """The annotated quadrilateral."""


Keep = Callable[[Sequence[Word]], Sequence[bool]]
"""Tells which of some crops are measured."""


@dataclass(frozen=True)
class TruePoints:
    """Measured instead of a locator: the control points of the true map, the best that a network could find on a grid.
    Crops without a true map are passed over."""

    rows: int
    cols: int


@dataclass(frozen=True)
class QualityFigures:
    """One set's results; None for what nothing in the set could show."""

    samples: int
    bad: int
    """Samples that could not be read; they are in none of the figures."""
    fold_over: float | None
    """% of the crops on which the spline folds over."""
    strength: float | None
    """Median over the crops, see ``rectify.strength.bend_strength``."""
    bent: float | None
    """% of the crops that are bent by ``LEAST_BEND`` or more, which another engine gets rectified."""
    outside: float | None
    """Mean over the crops, see ``shape_errors.share_outside``."""
    words: int
    """Synthetic words, whose true map is known."""
    end_point_error: float | None
    """Mean over the words, as the next ones; ``shape_errors.WordErrors`` says what each is."""
    end_point_error_median: float | None
    outline_error: float | None
    map_error: float | None
    aligned_error: float | None
    slope: float | None
    bend: float | None
    height_unevenness: float | None
    """Mean over the words that show it, as the next one, see ``letter_errors.LetterErrors``."""
    spacing_unevenness: float | None
    cut_off: float | None
    """% of the words of which anything is cut off."""
    ink_cut_off: float | None
    """% of the ink, mean over the words."""
    ssim: float | None
    """Mean over the words, see ``similarity.flat_similarity``."""
    quads: int
    """Crops with an official quadrilateral that are not vertical."""
    corner_error: float | None
    """Mean over the crops, as the next ones; see ``shape_errors.corner_error``."""
    spaced_corner_error: float | None
    """With the space added that annotators are taken to leave."""
    end_space: float | None
    """% of the text height that they left around the outlines in fact, see ``shape_errors.annotated_space``."""
    side_space: float | None
    iou: float | None


@dataclass
class Quality:
    """Collects one set's figures."""

    samples: int = 0
    bad: int = 0
    folds: list[bool] = field(default_factory=list)
    strengths: list[float] = field(default_factory=list)
    outsides: list[float] = field(default_factory=list)
    words: list[WordErrors] = field(default_factory=list)
    letters: list[LetterErrors] = field(default_factory=list)
    similarities: list[float] = field(default_factory=list)
    quads: list[QuadErrors] = field(default_factory=list)

    def summary(self, space: tuple[float, float] = ANNOTATED_SPACE) -> QualityFigures:
        """The figures of what was collected.

        Args:
            space: that annotators are taken to leave around the letters, in text heights, at the ends, and above and
                below.
        """
        left = annotated_space(self.quads) if self.quads else None
        return QualityFigures(
            samples=self.samples,
            bad=self.bad,
            fold_over=percent(self.folds),
            strength=_median(self.strengths),
            bent=percent([strength >= LEAST_BEND for strength in self.strengths]),
            outside=_mean(self.outsides),
            words=len(self.words),
            end_point_error=_mean([word.end_point for word in self.words]),
            end_point_error_median=_median([word.end_point for word in self.words]),
            outline_error=_mean([word.outline for word in self.words]),
            map_error=_mean([word.everywhere for word in self.words]),
            aligned_error=_mean([word.aligned for word in self.words]),
            slope=_mean([word.slope for word in self.words]),
            bend=_mean([word.bend for word in self.words]),
            height_unevenness=_mean([word.height for word in self.letters if word.height is not None]),
            spacing_unevenness=_mean([word.spacing for word in self.letters if word.spacing is not None]),
            cut_off=percent([word.cut_off > 0 for word in self.letters]),
            ink_cut_off=_mean([word.cut_off for word in self.letters]),
            ssim=_mean(self.similarities),
            quads=len(self.quads),
            corner_error=corner_error(self.quads) if self.quads else None,
            spaced_corner_error=corner_error(self.quads, space) if self.quads else None,
            end_space=100 * left[0] if left else None,
            side_space=100 * left[1] if left else None,
            iou=_mean([word.iou for word in self.quads]),
        )


def measure(
    reader: Reader,
    locator: Locator | TruePoints,
    watch: Callable[[Crop], None] | None = None,
    margin: tuple[float, float] = MARGIN,
    keep: Keep | None = None,
) -> Quality:
    """Locate the word in every crop of a set and compare with what is known of it.

    Args:
        reader: the set; its records may hold a geometry, its folder may hold ``quads.jsonl``, which comes first.
        locator: what is measured.
        watch: told every crop, a bad one with its error.
        margin: space around the word in the rectified image, see ``Rectifier``; what it leaves out is cut off.
        keep: all are measured without it; bad ones are not asked about.

    Raises:
        ValueError: ``quads.jsonl`` is damaged.
    """
    quality = Quality()
    for batch in batches(_words(reader, labelled=keep is not None)):
        sound = [word for word in batch if word.image is not None]
        bad = len(batch) - len(sound)
        if keep:
            sound = list(compress(sound, keep(sound)))
        quality.samples += len(sound) + bad
        quality.bad += bad
        for word, points in _locate(sound, locator):
            _add(quality, word, points, (locator.rows, locator.cols), margin)
        for word in batch:
            if watch:
                watch(word)
    return quality


def _locate(words: Sequence[Word], locator: Locator | TruePoints) -> list[tuple[Word, Points]]:
    """The words with their control points."""
    if isinstance(locator, TruePoints):
        return [(word, word.truth.control_points(locator.rows, locator.cols)) for word in words if word.truth]
    found = locator.locate([word.image for word in words if word.image is not None])
    return list(zip(words, found.astype(np.float64), strict=True))


def _add(quality: Quality, word: Word, points: Points, grid: tuple[int, int], margin: tuple[float, float]) -> None:
    """Measure one word."""
    assert word.image is not None
    quality.folds.append(bool(folds_over(points[None], *grid)[0]))
    quality.outsides.append(float(share_outside(points[None], *grid, margin)[0]))
    quality.strengths.append(bend_strength(to_pixels(points, word.image.shape[1::-1]), *grid))
    if word.truth is not None:
        quality.words.append(word_errors(points, word.truth, *grid))
        quality.letters.append(letter_errors(points, word.truth, *grid, margin, word.ink))
        quality.similarities.append(flat_similarity(word.image, points, word.truth, *grid))
    if word.quad is not None and not word.quad.vertical:
        quality.quads.append(quad_errors(points, word.quad, *grid))


def _words(reader: Reader, labelled: bool) -> Iterator[Word]:
    """Every crop with its true map, if it has one; one whose geometry is damaged is bad, and one whose label is, where
    that is asked for."""
    quads = read_quads(reader.folder / QUADS)
    for number in range(1, len(reader) + 1):
        try:
            image, geometry = read_crop(reader, number), reader.geometry(number - 1)
            truth = WordGeometry.of(geometry, f"{reader.folder}: geometry-{number:09d}")
            quad = quads.get(number) or Quad.of(geometry)
            label = reader.label(number - 1) if labelled else ""
            yield Word(number, label, image, truth=truth, ink=reader.ink(number - 1), quad=quad)
        except (ValueError, OSError) as error:
            yield Word(number, error=str(error))


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None
