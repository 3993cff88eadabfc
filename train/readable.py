"""Which rendered words can be read at all: those that are read once they are flattened along their true map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recognizer.pipeline import Pipeline
from rectify.conventions import to_pixels
from rectify.rectifier import flatten
from train.metrics import normalize
from train.quality import Word

_GRID = 7, 7
"""Control points (rows, cols) of the true map."""


class Readable:
    """Asks the shipped recogniser, by its CTC head alone, since no language is to fill in what cannot be seen."""

    def __init__(self) -> None:
        self._pipeline = Pipeline(rectify=False, decoder="ctc")

    def __call__(self, words: Sequence[Word]) -> list[bool]:
        """For each word whether it can be read; words whose true map is not known count as such."""
        known = [word for word in words if word.truth]
        readings = self._pipeline([_flat(word) for word in known])
        failed = {
            word.number
            for word, reading in zip(known, readings, strict=True)
            if normalize(reading.text) != normalize(word.label)
        }
        return [word.number not in failed for word in words]


def _flat(word: Word) -> np.ndarray:
    assert word.image is not None and word.truth is not None
    points = to_pixels(word.truth.control_points(*_GRID), word.image.shape[1::-1])
    return flatten(word.image, points.astype(np.float32), *_GRID)
