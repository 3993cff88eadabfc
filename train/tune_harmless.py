"""From which bend on a crop is worth rectifying for another engine, and with how much margin.

    python -m train.tune_harmless RECORDS.jsonl --photos LMDB... --rendered LMDB... [--engine rapidocr tesseract]

Lets the engines read words raw and rectified, photographs that no training has seen (every 16th) and rendered ones, and
prints for each least bend (``rectify.rectifier.LEAST_BEND``) and margin (``recognizer.engines.MARGINS``) what is fixed
and harmed, and the best least bend and margin of each engine. Never give it a test set. What was read goes to
RECORDS.jsonl as it is read; a second call goes on from there, and one with everything read only prints.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.reader import LmdbReader, find_lmdbs
from recognizer.engines import ENGINES, Engine, ask, load_engine
from rectify.conventions import to_pixels
from rectify.images import Image
from rectify.rectifier import Rectifier, flatten
from train.crops import read_crop
from train.metrics import normalize
from train.output import progress, table

HOLD_OUT = 16
"""Every n-th photograph, those that the trainings keep for validation."""
MARGINS = ((0.06, 0.12), (0.10, 0.15), (0.10, 0.25), (0.15, 0.20), (0.20, 0.30))
LEAST_BENDS = (0.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0, 50.0)
ALWAYS, NEVER = 1e9, -1.0
BATCH = 32
"""Words read at once: Tesseract's start takes longer than a word."""
HARM = 2.0
"""What a crop harmed costs, where one fixed counts 1."""


@dataclass(frozen=True)
class Record:
    """One word read by one engine."""

    engine: str
    kind: str
    """``photos`` or ``rendered``."""
    place: str
    """Dataset and number."""
    strength: float
    """See ``strength.bend_strength``; ``ALWAYS`` or ``NEVER`` for what is flattened or left alone in any case."""
    raw: bool
    """Read right as it is."""
    rectified: tuple[bool, ...]
    """Read right when rectified, with each of ``MARGINS``."""


@dataclass(frozen=True)
class Outcome:
    """What a choice does to the words of one engine and kind."""

    words: int
    bent: int
    fixed: int
    harmed: int

    @property
    def gain(self) -> float:
        """% of the words, a crop harmed counting ``HARM``."""
        return 100 * (self.fixed - HARM * self.harmed) / max(1, self.words)


def outcome(records: Sequence[Record], least_bend: float, margin: int) -> Outcome:
    """Counts for words bent from ``least_bend`` on, with ``MARGINS[margin]``."""
    bent = [record for record in records if record.strength >= least_bend]
    fixed = sum(record.rectified[margin] and not record.raw for record in bent)
    harmed = sum(record.raw and not record.rectified[margin] for record in bent)
    return Outcome(len(records), len(bent), fixed, harmed)


Groups = dict[tuple[str, str], list[Record]]
"""By engine and kind."""


def best(groups: Groups) -> tuple[float, dict[str, int]]:
    """The least bend of the highest gain, mean over engines and kinds, and each engine's best margin (its index) there.

    The gain of a least bend is a mean with its neighbours', as a few words decide it.
    """
    engines = list(dict.fromkeys(engine for engine, _ in groups))

    def gain(place: int, engine: str, margin: int) -> float:
        near = LEAST_BENDS[max(0, place - 1) : place + 2]
        members = [records for (name, _), records in groups.items() if name == engine]
        return float(np.mean([outcome(records, least, margin).gain for least in near for records in members]))

    def margins(place: int) -> dict[str, int]:
        choices = range(len(MARGINS))
        return {engine: max(choices, key=lambda margin: gain(place, engine, margin)) for engine in engines}

    def total(place: int) -> float:
        return sum(gain(place, engine, margin) for engine, margin in margins(place).items())

    place = max(range(len(LEAST_BENDS)), key=total)
    return LEAST_BENDS[place], margins(place)


def read_words(
    folder: Path, kind: str, every: int, most: int, engines: dict[str, Engine], rectifier: Rectifier, done: set[str]
) -> Iterator[Record]:
    """Reads the words of a dataset that are not done yet."""
    reader = LmdbReader(folder)
    numbers = range(1, len(reader) + 1, every)[: most or None]
    with progress(folder.name, len(numbers)) as bar:
        for start in range(0, len(numbers), BATCH):
            batch = numbers[start : start + BATCH]
            labels = {number: normalize(reader.label(number - 1)) for number in batch}
            words = {f"{folder.name}/{number}": number for number, label in labels.items() if label}
            for name, engine in engines.items():
                places = [place for place in words if f"{name} {place}" not in done]
                images = [read_crop(reader, words[place]) for place in places]
                versions, strengths = _versions(images, rectifier)
                texts = iter(normalize(text) for text, _ in ask(engine, versions))
                for place, strength in zip(places, strengths, strict=True):
                    raw, *rectified = [next(texts) == labels[words[place]] for _ in range(1 + len(MARGINS))]
                    yield Record(name, kind, place, strength, raw, tuple(rectified))
            bar.update(len(batch))


def _versions(images: Sequence[Image], rectifier: Rectifier) -> tuple[list[Image], list[float]]:
    """Each crop as it is and rectified with each margin, one after the other, and each one's bend."""
    rows, cols = rectifier.rows, rectifier.cols
    versions: list[Image] = []
    strengths = []
    for image, located in zip(images, rectifier.locate(images), strict=True):
        points = to_pixels(located, image.shape[1::-1])
        versions += [image, *(flatten(image, points, rows, cols, None, margin) for margin in MARGINS)]
        strengths.append(_strength(rectifier, image, points))
    return versions, strengths


def _strength(rectifier: Rectifier, image: Image, points: NDArray[np.float32]) -> float:
    """The highest least bend with which the rectifier flattens the crop."""
    rectifier.least_bend = math.inf
    strength, always = rectifier.judge(image, points)
    rectifier.least_bend = 1e-9
    _, possible = rectifier.judge(image, points)
    return ALWAYS if always else strength if possible else NEVER


def load_records(path: Path) -> list[Record]:
    """What was read so far."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [_record(json.loads(line)) for line in lines]


def _record(fields: dict[str, Any]) -> Record:
    return Record(**{**fields, "rectified": tuple(fields["rectified"])})


def report(records: Sequence[Record]) -> str:
    """Tables by engine and kind of the margins at the best least bend and of the least bends at the best margin, and
    the choice."""
    groups: Groups = {}
    for record in records:
        groups.setdefault((record.engine, record.kind), []).append(record)
    least_bend, margins = best(groups)
    header = ["engine", "words", "least bend", "margin", "bent %", "fixed %", "harmed %", "gain"]
    rows = []
    for (engine, kind), members in groups.items():
        choices = [(least_bend, index) for index in range(len(MARGINS))]
        for least, index in [*choices, *((least, margins[engine]) for least in LEAST_BENDS)]:
            result = outcome(members, least, index)
            shares = [100 * count / result.words for count in (result.bent, result.fixed, result.harmed)]
            spaces = "{:g} {:g}".format(*MARGINS[index])
            figures = [f"{share:.2f}" for share in (*shares, result.gain)]
            rows.append([engine, f"{kind} {result.words}", f"{least:g}", spaces, *figures])
    chosen = {engine: MARGINS[index] for engine, index in margins.items()}
    return f"{table(header, rows)}\n\nLEAST_BEND = {least_bend:g}\nMARGINS = {chosen}"


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path, metavar="RECORDS.jsonl")
    parser.add_argument("--photos", nargs="*", default=[], metavar="LMDB", help="datasets to train on")
    parser.add_argument("--rendered", nargs="*", default=[], metavar="LMDB")
    parser.add_argument(
        "--every",
        type=int,
        default=HOLD_OUT,
        metavar="N",
        help="read every N-th photograph (default %(default)s, which no training has seen)",
    )
    parser.add_argument("--most", type=int, default=400, help="rendered words of each set (default %(default)s)")
    parser.add_argument("--engine", nargs="+", choices=list(ENGINES), default=["rapidocr", "tesseract"])
    parser.add_argument("--weights", metavar="W", help="of the rectifier; without it the shipped ones")
    options = parser.parse_args()
    records = load_records(options.records)
    done = {f"{record.engine} {record.place}" for record in records}
    engines = {name: load_engine(name) for name in options.engine} if options.photos or options.rendered else {}
    rectifier = Rectifier(options.weights)
    with options.records.open("a", encoding="utf-8") as file:
        for kind, paths, every, most in (
            ("photos", options.photos, options.every, 0),
            ("rendered", options.rendered, 1, options.most),
        ):
            for folder in find_lmdbs(paths):
                for record in read_words(folder, kind, every, most, engines, rectifier, done):
                    file.write(json.dumps(record.__dict__) + "\n")
                    file.flush()
                    records.append(record)
    print(report(records))


if __name__ == "__main__":
    main()
