"""Finds out why a crop was read wrong: looks at it, rectifies it and reads it untouched."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from recognizer.engines import Engine, ask
from recognizer.lexicon import Lexicon
from recognizer.pipeline import Pipeline
from rectify.conventions import canonical_points, to_normalized, to_pixels
from rectify.folds import folds_over
from train.causes import Circumstances, find_cause, text_height
from train.crops import Image, Prepare, Reader, read_crop
from train.evaluate import Outcome


class Diagnosis:
    """Finds the cause of wrong readings.

    Args:
        pipeline: that straightens what the engine reads, if it rectifies.
        raw_engine: the same engine without the rectifier; it may take lexicons, see ``evaluate.as_engine``.
        protocol: the characters that count, see ``train.metrics``.
    """

    def __init__(self, pipeline: Pipeline, raw_engine: Engine | None, protocol: str = "36") -> None:
        self._pipeline, self._raw_engine, self._protocol = pipeline, raw_engine, protocol

    def cause(
        self, outcome: Outcome, reader: Reader, prepare: Prepare | None, lexicons: Sequence[Lexicon] | None = None
    ) -> str:
        """The cause, a key of ``causes.CAUSES``, of a wrong outcome.

        Args:
            reader, prepare: where the crop comes from, as ``evaluate`` got them.
            lexicons: one, if the crop was read with a lexicon of its own.
        """
        known = None
        if outcome.error is None:
            known = self._look(read_crop(reader, outcome.number, prepare), outcome.raw_text, lexicons)
        return find_cause(outcome.label, outcome.text, known, self._protocol)

    def _look(self, image: Image, raw_text: str | None, lexicons: Sequence[Lexicon] | None) -> Circumstances:
        height, width = image.shape[:2]
        size = (width, height)
        if self._pipeline.rectifier is None:
            return Circumstances(size, text_height(to_pixels(canonical_points(2, 2), size), 2, 2))
        (flat,) = self._pipeline.straighten([image])
        points = to_normalized(np.asarray(flat.control_points, np.float64), size)
        if raw_text is None and self._raw_engine is not None:
            known = {} if lexicons is None else {"lexicons": lexicons}
            ((raw_text, _),) = ask(partial(self._raw_engine, **known), [image])
        return Circumstances(
            size,
            text_height(flat.control_points, flat.rows, flat.cols),
            bool(folds_over(points[None], flat.rows, flat.cols)[0]),
            raw_text,
        )
