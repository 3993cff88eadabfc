"""From which bend on a crop is worth rectifying for another engine, with how much margin, and how finely sampled.

    python -m train.tune_harmless RECORDS.jsonl --photos LMDB... --rendered LMDB... [--engine rapidocr tesseract]

Lets the engines read words raw and rectified, photographs that no training has seen (every 16th) and rendered ones, and
prints for each framing (``rectify.Framing``) what is fixed and harmed, and the best one of each engine
(``recognizer.engines.FRAMINGS``). Never give it a test set. What was read goes to RECORDS.jsonl as it is read; a second
call goes on from there, and one with everything read only prints.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.reader import LmdbReader, find_lmdbs
from recognizer.engines import ENGINES, NONE, Engine, ask, load_engine
from recognizer.pipeline import Pipeline
from rectify.framing import Framing
from rectify.images import Image
from rectify.rectifier import Rectifier, flatten
from train.crops import read_crop
from train.metrics import normalize
from train.output import progress, table

HOLD_OUT = 16
"""Every n-th photograph, those that the trainings keep for validation."""
MARGINS = ((0.03, 0.06), (0.06, 0.12), (0.10, 0.15), (0.10, 0.25), (0.05, 0.30), (0.10, 0.40))
HEIGHTS = (0, 64)
"""Least heights."""
CUTS = tuple(itertools.product(MARGINS, HEIGHTS))
"""What a word is tried with."""
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
    raw: bool
    """Read right as it is."""
    rectified: tuple[bool, ...]
    """Read right when rectified, with each of ``CUTS``."""
    strengths: tuple[float, ...]
    """For each of ``CUTS``, see ``strength.bend_strength``; ``ALWAYS`` or ``NEVER`` for what is flattened or left alone
    in any case."""


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


def outcome(records: Sequence[Record], least_bend: float, cut: int) -> Outcome:
    """Counts for words bent from ``least_bend`` on, with ``CUTS[cut]``."""
    bent = [record for record in records if record.strengths[cut] >= least_bend]
    fixed = sum(record.rectified[cut] and not record.raw for record in bent)
    harmed = sum(record.raw and not record.rectified[cut] for record in bent)
    return Outcome(len(records), len(bent), fixed, harmed)


Groups = dict[tuple[str, str], list[Record]]
"""By engine and kind."""


def best(groups: Groups) -> tuple[float, dict[str, tuple[float, int]]]:
    """The least bend and the cut (its index) of the highest gain: the one for all engines together, whatever their
    cuts, and both for each engine.

    A gain is a mean over kinds of words, and with the neighbouring least bends, as a few words decide it.
    """
    engines = list(dict.fromkeys(engine for engine, _ in groups))
    places = range(len(LEAST_BENDS))

    def gain(engine: str, place: int, cut: int) -> float:
        near = LEAST_BENDS[max(0, place - 1) : place + 2]
        members = [records for (name, _), records in groups.items() if name == engine]
        return float(np.mean([outcome(records, least, cut).gain for least in near for records in members]))

    gains = np.array([[[gain(e, place, cut) for cut in range(len(CUTS))] for place in places] for e in engines])
    common = int(gains.max(2).sum(0).argmax())
    own = [np.unravel_index(int(table.argmax()), table.shape) for table in gains]
    chosen = {engine: (LEAST_BENDS[int(place)], int(cut)) for engine, (place, cut) in zip(engines, own, strict=True)}
    return LEAST_BENDS[common], chosen


def read_words(
    folder: Path,
    kind: str,
    every: int,
    most: int,
    engines: dict[str, Engine],
    pipeline: Pipeline,
    done: set[str],
) -> Iterator[Record]:
    """Reads the words of a dataset that are not done yet, the way up that ``pipeline`` finds and sampled as sharply."""
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
                versions, strengths = _versions(images, pipeline)
                texts = iter(normalize(text) for text, _ in ask(engine, versions))
                for place, own in zip(places, strengths, strict=True):
                    raw, *rectified = [next(texts) == labels[words[place]] for _ in range(1 + len(CUTS))]
                    yield Record(name, kind, place, raw, tuple(rectified), own)
            bar.update(len(batch))


def _versions(images: Sequence[Image], pipeline: Pipeline) -> tuple[list[Image], list[tuple[float, ...]]]:
    """Each crop as it is and rectified with each cut, one after the other, and each one's bend by cut."""
    rectifier = pipeline.rectifier
    assert rectifier is not None
    places, sharp = pipeline.locate(images), rectifier.framing.sharp
    versions: list[Image] = []
    strengths = []
    for image, points, line in zip(images, places.points, places.lines, strict=True):
        versions += [image, *(flatten(image, points, places.rows, places.cols, None, *cut, sharp) for cut in CUTS)]
        by_margin = {margin: _strength(rectifier, image, points, margin, bool(line)) for margin in MARGINS}
        strengths.append(tuple(by_margin[margin] for margin, _ in CUTS))
    return versions, strengths


def _strength(
    rectifier: Rectifier, image: Image, points: NDArray[np.float32], margin: tuple[float, float], is_line: bool
) -> float:
    """The highest least bend with which the rectifier flattens the crop."""
    strength, always = rectifier.judge(image, points, Framing(margin, math.inf), is_line)
    _, possible = rectifier.judge(image, points, Framing(margin, 1e-9), is_line)
    return ALWAYS if always else strength if possible else NEVER


def load_records(path: Path) -> list[Record]:
    """What was read so far."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [_record(json.loads(line)) for line in lines]


def _record(fields: dict[str, Any]) -> Record:
    lists = {name: tuple(fields[name]) for name in ("rectified", "strengths")}
    return Record(**{**fields, **lists})


def report(records: Sequence[Record]) -> str:
    """Tables by engine and kind of the cuts at the engine's best least bend and of the least bends at its best cut, and
    the choice."""
    if not records:
        raise SystemExit("nothing was read: name --photos or --rendered")
    groups: Groups = {}
    for record in records:
        groups.setdefault((record.engine, record.kind), []).append(record)
    least_bend, chosen = best(groups)
    header = ["engine", "words", "least bend", "margin", "least height", "bent %", "fixed %", "harmed %", "gain"]
    rows = []
    for (engine, kind), members in groups.items():
        least, cut = chosen[engine]
        for bend, index in [*((least, index) for index in range(len(CUTS))), *((bend, cut) for bend in LEAST_BENDS)]:
            result = outcome(members, bend, index)
            shares = [100 * count / result.words for count in (result.bent, result.fixed, result.harmed)]
            margin, height = CUTS[index]
            figures = [f"{share:.2f}" for share in (*shares, result.gain)]
            rows.append(
                [engine, f"{kind} {result.words}", f"{bend:g}", "{:g} {:g}".format(*margin), f"{height}", *figures]
            )
    framings = {engine: Framing(CUTS[cut][0], least, CUTS[cut][1]) for engine, (least, cut) in chosen.items()}
    return f"{table(header, rows)}\n\nLEAST_BEND = {least_bend:g}\nFRAMINGS = {framings}"


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
    parser.add_argument("--sharp", action="store_true", help="sample bicubically, to compare with records of without")
    parser.add_argument("--weights", metavar="W", help="of the rectifier; without it the shipped ones")
    options = parser.parse_args()
    records = load_records(options.records)
    done = {f"{record.engine} {record.place}" for record in records}
    engines = {name: load_engine(name) for name in options.engine} if options.photos or options.rendered else {}
    pipeline = Pipeline(options.weights, engine=NONE, framing=Framing(sharp=options.sharp))
    if pipeline.lacks_rectifier:
        parser.error(f"{options.weights} holds no rectifier")
    with options.records.open("a", encoding="utf-8") as file:
        for kind, paths, every, most in (
            ("photos", options.photos, options.every, 0),
            ("rendered", options.rendered, 1, options.most),
        ):
            for folder in find_lmdbs(paths):
                for record in read_words(folder, kind, every, most, engines, pipeline, done):
                    file.write(json.dumps(record.__dict__) + "\n")
                    file.flush()
                    records.append(record)
    print(report(records))


if __name__ == "__main__":
    main()
