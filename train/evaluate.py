"""Evaluation of anything that reads crops: word accuracy, 1 - NED, speed, and what rectifying fixes and harms."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from recognizer.engines import Answer, Engine, ask
from recognizer.lexicon import Lexicon
from rectify.stream import Streamed, stream
from train.crops import Crop, Image, Prepare, Reader, labels, read_crop
from train.metrics import LETTERS, CharacterErrorRate, OneMinusNed, WordAccuracy, normalize

if TYPE_CHECKING:
    from recognizer.pipeline import Pipeline


def as_engine(pipeline: Pipeline) -> Engine:
    """A pipeline, rectifier and all, as an engine; it also takes a lexicon for each crop as ``lexicons``."""

    def read(images: Sequence[Image], lexicons: Sequence[Lexicon] | None = None) -> list[Answer]:
        return [(reading.text, reading.confidence) for reading in pipeline(list(images), lexicons)]

    return read


@dataclass(frozen=True)
class Outcome:
    """What became of one crop. Texts are as read, judged after normalisation; empty where nothing could be read."""

    number: int
    """In the LMDB, from 1."""
    label: str
    text: str = ""
    confidence: float = 0.0
    right: bool = False
    raw_text: str | None = None
    """Read from the untouched crop; None when that was not asked for."""
    raw_confidence: float = 0.0
    raw_right: bool = False
    error: str | None = None
    """Why the sample could not be read; it counts as wrong."""
    cause: str | None = None
    """Why it is wrong, see ``train.causes``; None where it is right or nobody asked."""

    @property
    def fixed(self) -> bool:
        """Wrong raw, right rectified."""
        return self.raw_text is not None and self.right and not self.raw_right

    @property
    def harmed(self) -> bool:
        """Right raw, wrong rectified."""
        return self.raw_right and not self.right


@dataclass(frozen=True)
class Figures:
    """The results of one set, or of several together."""

    samples: int
    """Crops that count, bad ones included; crops whose label keeps no character are left out."""
    bad: int
    """Samples that could not be read."""
    word_accuracy: float
    """Percent."""
    one_minus_ned: float
    """0..1."""
    character_error_rate: float
    crops_per_second: float
    """Through the engine alone: neither reading the LMDB, nor decoding, nor the raw comparison."""
    raw_word_accuracy: float | None
    """Percent, of the untouched crops; None, like the next two, without a comparison."""
    fixed: int | None
    harmed: int | None


class Tally:
    """Sums outcomes up to figures.

    Args:
        protocol: the characters that count, see ``train.metrics``.
    """

    def __init__(self, protocol: str = "36") -> None:
        self.protocol = protocol
        self.samples = self.bad = self.fixed = self.harmed = self._raw_right = 0
        self._compared = False
        self._seconds = 0.0
        self._metrics = (WordAccuracy(), OneMinusNed(), CharacterErrorRate())

    def update(self, outcome: Outcome) -> None:
        """Count a crop. The empty text of a bad one is not taken for the reading of an empty label."""
        self.samples += 1
        self.bad += outcome.error is not None
        self.fixed += outcome.fixed
        self.harmed += outcome.harmed
        self._raw_right += outcome.raw_right
        self._compared |= outcome.raw_text is not None
        label, text = normalize(outcome.label, self.protocol), normalize(outcome.text, self.protocol)
        for metric in self._metrics:
            metric.update(label or "?", text)

    def add_time(self, seconds: float) -> None:
        """Count time that the engine took."""
        self._seconds += seconds

    def merge(self, other: Tally) -> None:
        """Count everything that ``other`` counted, too."""
        self.samples += other.samples
        self.bad += other.bad
        self.fixed += other.fixed
        self.harmed += other.harmed
        self._raw_right += other._raw_right
        self._compared |= other._compared
        self._seconds += other._seconds
        for mine, others in zip(self._metrics, other._metrics, strict=True):
            mine.merge(others)

    def summary(self) -> Figures:
        """The figures of what was counted; at least one crop."""
        accuracy, ned, cer = (metric.summary() for metric in self._metrics)
        return Figures(
            samples=self.samples,
            bad=self.bad,
            word_accuracy=accuracy,
            one_minus_ned=ned,
            character_error_rate=cer,
            crops_per_second=(self.samples - self.bad) / self._seconds if self._seconds else 0.0,
            raw_word_accuracy=100 * self._raw_right / self.samples if self._compared else None,
            fixed=self.fixed if self._compared else None,
            harmed=self.harmed if self._compared else None,
        )


def evaluate(
    reader: Reader,
    engine: Engine,
    *,
    raw_engine: Engine | None = None,
    protocol: str = "36",
    prepare: Prepare | None = None,
    lexicons: Mapping[int, Lexicon] | None = None,
    watch: Callable[[Outcome], None] | None = None,
) -> Tally:
    """Let an engine read a set; memory stays bounded whatever the size of the set.

    Args:
        reader: the set.
        engine: what is measured.
        raw_engine: the same engine without the rectifier, to compare with.
        protocol: the characters that count, see ``train.metrics``.
        prepare: applied to each crop before either engine sees it.
        lexicons: the words that each crop can be, by number; the engines must take them, as ``as_engine`` makes them.
        watch: told every outcome, in order.

    Raises:
        KeyError: a crop without a lexicon.
        ValueError: no sample of the set counts, or the engine does not return one answer for each crop.
    """
    if not len(reader):
        raise ValueError(f"{reader.folder}: holds no samples")
    tally = Tally(protocol)
    numbers: dict[int, int] = {}  # of the pictures that wait to be read, by their identity; others come in their place

    def load(crop: Crop) -> Image:
        if crop.error is not None:
            raise ValueError(crop.error)
        image = read_crop(reader, crop.number, prepare)
        numbers[id(image)] = crop.number
        return image

    def read(images: Sequence[Image]) -> list[tuple[Answer, Answer | None]]:
        places = [numbers[id(image)] for image in images]
        known = {} if lexicons is None else {"lexicons": [lexicons[number] for number in places]}
        start = time.perf_counter()
        answers = ask(partial(engine, **known), images)
        tally.add_time(time.perf_counter() - start)
        raw = ask(partial(raw_engine, **known), images) if raw_engine else [None] * len(images)
        return list(zip(answers, raw, strict=True))

    for entry in stream(labels(reader, lambda label: bool(normalize(label, protocol))), load, read):
        outcome = _outcome(entry, raw_engine is not None, protocol)
        tally.update(outcome)
        if watch:
            watch(outcome)
    if not tally.samples:
        raise ValueError(
            f"{reader.folder}: none of its {len(reader)} labels has a character of protocol {protocol}"
            + ("" if protocol == LETTERS else f"; --protocol {LETTERS} counts those of any alphabet")
        )
    return tally


def _outcome(entry: Streamed[Crop, tuple[Answer, Answer | None]], compared: bool, protocol: str) -> Outcome:
    """What became of a crop, from what it was read as, rectified and raw."""
    crop = entry.item
    if entry.result is None:
        reason = str(entry.error) if entry.image is None else f"image-{crop.number:09d}: {entry.error}"
        return Outcome(crop.number, crop.label, raw_text="" if compared else None, error=reason)
    truth = normalize(crop.label, protocol)
    (text, confidence), raw = entry.result
    raw_text, raw_confidence = raw or (None, 0.0)
    return Outcome(
        number=crop.number,
        label=crop.label,
        text=text,
        confidence=confidence,
        right=normalize(text, protocol) == truth,
        raw_text=raw_text,
        raw_confidence=raw_confidence,
        raw_right=raw_text is not None and normalize(raw_text, protocol) == truth,
    )
