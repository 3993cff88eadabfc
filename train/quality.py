"""Quality of the rectified crops themselves, a set at a time, against all the truth that the set holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data.quads import QUADS, read_quads
from data.synth.geometry import WordGeometry
from train.crops import Crop, Image, Reader, batches, read_crops
from train.shape_errors import WordErrors, folds_over, quad_errors, word_errors


class Locator(Protocol):
    """What is measured: ``rectify.Rectifier`` or anything alike."""

    rows: int
    cols: int

    def locate(self, images: Sequence[Image], /) -> NDArray[np.float32]:
        """Control points (N, rows·cols, 2) of N crops, normalised."""


@dataclass(frozen=True)
class QualityFigures:
    """One set's results; None for what nothing in the set could show."""

    samples: int
    bad: int
    """Samples that could not be read; they are in none of the figures."""
    fold_over: float | None
    """% of the crops on which the spline folds over."""
    words: int
    """Synthetic words, whose true map is known."""
    end_point_error: float | None
    """Mean over the words, as the next ones; ``shape_errors.WordErrors`` says what each is."""
    end_point_error_median: float | None
    outline_error: float | None
    aligned_error: float | None
    slope: float | None
    bend: float | None
    cut_off: float | None
    """% of the words."""
    quads: int
    """Crops with an official quadrilateral that are not vertical."""
    corner_error: float | None
    """Mean over the crops, as the next one; see ``shape_errors.quad_errors``."""
    iou: float | None


@dataclass
class Quality:
    """Collects one set's figures."""

    samples: int = 0
    bad: int = 0
    folds: int = 0
    words: list[WordErrors] = field(default_factory=list)
    quads: list[tuple[float, float]] = field(default_factory=list)
    """Corner error and IoU of each."""

    def summary(self) -> QualityFigures:
        """The figures of what was collected."""
        return QualityFigures(
            samples=self.samples,
            bad=self.bad,
            fold_over=100 * self.folds / (self.samples - self.bad) if self.samples > self.bad else None,
            words=len(self.words),
            end_point_error=_mean([word.end_point for word in self.words]),
            end_point_error_median=float(np.median([word.end_point for word in self.words])) if self.words else None,
            outline_error=_mean([word.outline for word in self.words]),
            aligned_error=_mean([word.aligned for word in self.words]),
            slope=_mean([word.slope for word in self.words]),
            bend=_mean([word.bend for word in self.words]),
            cut_off=_mean([100.0 * word.cut_off for word in self.words]),
            quads=len(self.quads),
            corner_error=_mean([error for error, _ in self.quads]),
            iou=_mean([iou for _, iou in self.quads]),
        )


def measure(reader: Reader, locator: Locator, watch: Callable[[Crop], None] | None = None) -> Quality:
    """Locate the word in every crop of a set and compare with what is known of it.

    Args:
        reader: the set; its records may hold a geometry, its folder may hold ``quads.jsonl``.
        locator: what is measured.
        watch: told every crop, a bad one with its error.

    Raises:
        ValueError: ``quads.jsonl`` is damaged.
    """
    quality = Quality()
    quads = read_quads(reader.folder / QUADS)
    for batch in batches(_words(reader)):
        readable = [word for word in batch if word.image is not None]
        points = locator.locate([word.image for word in readable if word.image is not None]).astype(np.float64)
        quality.samples += len(batch)
        quality.bad += len(batch) - len(readable)
        quality.folds += int(folds_over(points, locator.rows, locator.cols).sum())
        for word, located in zip(readable, points, strict=True):
            if word.truth is not None:
                quality.words.append(word_errors(located, word.truth, locator.rows, locator.cols))
            quad = quads.get(word.number)
            if quad is not None and not quad.vertical:
                quality.quads.append(quad_errors(located, quad, locator.rows, locator.cols))
        for word in batch:
            if watch:
                watch(word)
    return quality


@dataclass(frozen=True)
class _Word(Crop):
    truth: WordGeometry | None = None


def _words(reader: Reader) -> Iterator[_Word]:
    """Every crop with its true map, if it has one; one whose geometry is damaged is bad."""
    for crop in read_crops(reader):
        word = _Word(crop.number, crop.label, crop.image, crop.error)
        try:
            geometry = None if word.image is None else reader.geometry(word.number - 1)
            yield replace(word, truth=WordGeometry.of(geometry))
        except ValueError as error:
            yield replace(word, image=None, error=f"{reader.folder}: geometry-{word.number:09d}: {error}")


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
