"""``rectify-ocr eval``: word accuracy, 1 - NED and speed of reading LMDB sets, rectified and raw."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from data.reader import LmdbReader
from data.sidecars import LEXICON50, read_cased, read_word_lists
from recognizer.engines import framing_for, load_engine
from recognizer.lexicon import Lexicon
from recognizer.pipeline import Pipeline
from rectify.orientation import is_available
from rectify.overlay import draw_overlay
from rectify.read_command import BUILTIN, check_engine_options
from rectify.weights_io import find_weights
from train.causes import CAUSES
from train.crops import Image, Prepare, Reader, Relabelled, random_rotation, read_crop, set_names
from train.details import Details, tables
from train.diagnosis import Diagnosis
from train.eval_options import SIDECAR, eval_parser
from train.evaluate import Engine, Figures, Outcome, Tally, as_engine, evaluate
from train.output import complain, number, progress, table, write_json, write_text
from train.quality import QualityFigures, measure
from train.quality_command import legend, quality_table
from train.report import ReportSet, page, table_section


def main(argv: Sequence[str]) -> int:
    """Run the command; 0 all samples were read, 1 some were not."""
    parser = eval_parser()
    options = parser.parse_args(argv)
    try:
        evaluation = Evaluation(options)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    failed = False
    sets = set_names(options.lmdb)
    if len(sets) < len(options.lmdb):
        complain("a set that is named twice is evaluated once")
    try:
        for name, folder in sets.items():
            try:
                evaluation.add(name, LmdbReader(folder))
            except (ValueError, OSError) as error:
                complain(error)
                failed = True
    finally:  # what was measured is written even where Ctrl-C ends the rest
        if evaluation.figures:
            evaluation.write()
    return int(failed or evaluation.total.bad > 0)


class Evaluation:
    """One run of the command: what is measured, and what came of each set.

    Raises:
        ValueError, OSError: the weights cannot be used, hold no rectifier to compare with, or options contradict.
        ModuleNotFoundError: the engine is not installed.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        if options.any_rotation is None:
            turned = bool(options.rotate) and not options.no_rectify
            rectifies = options.weights is None or "rectifier" in find_weights(options.weights)
            options.any_rotation = turned and rectifies and is_available(options.weights)
        check_engine_options(options)
        framing = framing_for(options.engine, options.margin)  # a margin is refused before an engine is loaded
        reader = None if options.engine == BUILTIN else load_engine(options.engine)
        make = partial(
            Pipeline,
            options.weights,
            decoder=options.decoder,
            engine=reader,
            framing=framing if reader else None,
            lexicon=Lexicon.read(options.lexicon) if options.lexicon not in (None, SIDECAR) else None,
            any_rotation=options.any_rotation,
        )
        self.pipeline = make(rectify=not options.no_rectify)
        self.rectifier = self.pipeline.rectifier
        if self.pipeline.lacks_rectifier:
            complain(self.pipeline.lacks_rectifier)
        self.engine = as_engine(self.pipeline)
        self.raw_engine: Engine | None = None
        if options.compare:
            if self.rectifier is None:
                raise ValueError("--compare needs the rectifier: drop --no-rectify, or name weights that hold one")
            self.raw_engine = as_engine(make(rectify=False, any_rotation=False))
        self.diagnosis: Diagnosis | None = None
        if options.details or options.report:
            untouched = None if self.rectifier is None else as_engine(make(rectify=False, any_rotation=False))
            self.diagnosis = Diagnosis(self.pipeline, untouched, options.protocol)
        self.details: dict[str, Details] = {}
        self.all_details = Details(options.protocol)
        self.prepare: Prepare | None = random_rotation(options.rotate, options.seed) if options.rotate else None
        self.total = Tally(options.protocol)
        self.figures: dict[str, Figures] = {}
        self.sections: list[str] = []
        self.quality: dict[tuple[str, str], QualityFigures] = {}

    def add(self, name: str, reader: Reader) -> None:
        """Evaluate a set.

        Raises:
            ValueError, OSError: the set, or a file beside it, cannot be read.
        """
        if self.options.protocol in ("62", "94"):
            reader = Relabelled(reader, read_cased(reader.folder))
        lexicons = read_lexicons(reader.folder, len(reader)) if self.options.lexicon == SIDECAR else None
        details = Details(self.options.protocol)
        shown = ReportSet(name)
        with progress(name, len(reader)) as bar:

            def watch(outcome: Outcome) -> None:
                bar.update(outcome.number - bar.n)
                if self.diagnosis and not outcome.right:
                    known = None if lexicons is None else [lexicons[outcome.number]]
                    outcome = replace(outcome, cause=self.diagnosis.cause(outcome, reader, self.prepare, known))
                shown.add(outcome)
                details.update(outcome)
                if outcome.error is not None:
                    complain(outcome.error)

            tally = evaluate(
                reader,
                self.engine,
                raw_engine=self.raw_engine,
                protocol=self.options.protocol,
                prepare=self.prepare,
                lexicons=lexicons,
                watch=watch,
            )
        self.total.merge(tally)
        self.figures[name] = tally.summary()
        left_out = len(reader) - self.figures[name].samples
        if left_out:
            complain(f"{name}: left out {left_out} of {len(reader)}, no character of whose label counts")
        self.details[name] = details
        self.all_details.merge(details)
        if self.options.report:
            self.sections.append(shown.sections(partial(self._pictures, reader)))
            # A crop that was turned is not where its truth says.
            if self.rectifier is not None and self.prepare is None:
                self.quality[name, ""] = measure(reader, self.rectifier, margin=self.rectifier.framing.margin).summary()

    def write(self) -> None:
        """The files that were asked for, then the table on stdout: nothing is lost where that is closed."""
        header = _header(compared=self.raw_engine is not None)
        rows = [_row(*item) for item in (*self.figures.items(), ("all", self.total.summary()))]
        details = tables(self.details, self.all_details)
        if self.options.json:
            write_json(self.options.json, self._json())
        if self.options.report:
            notes = {"wrong crops by cause": "; ".join(f"{cause}: {meaning}" for cause, meaning in CAUSES.items())}
            extra = [table_section(title, columns, cells, notes.get(title, "")) for title, columns, cells in details]
            if self.quality:
                columns, cells = quality_table(self.quality)
                extra.append(
                    table_section("quality of the rectified crops", columns, cells, "; ".join(legend(columns)))
                )
            sections = [*extra, *self.sections]
            write_text(self.options.report, page("rectify-ocr eval", self._facts(), header, rows, sections))
        print(table(header, rows))
        if self.options.details:
            for title, head, body in details:
                print(f"\n{title}:\n\n{table(head, body) if body else 'none'}")

    def _pictures(self, reader: Reader, outcome: Outcome) -> list[tuple[str, Image]]:
        """What the report shows of a crop."""
        image = read_crop(reader, outcome.number, self.prepare)
        if self.rectifier is None:
            return [("crop", image)]
        (flat,) = self.pipeline.straighten([image])
        located = draw_overlay(image, flat.control_points, flat.rows, flat.cols)
        return [("crop", image), ("control points", located), ("rectified", flat.image)]

    def _facts(self) -> list[str]:
        options = self.options
        facts = [
            f"engine {options.engine}, rectification {'off' if self.rectifier is None else 'on'}",
            f"characters compared: {options.protocol}",
            f"weights: {options.weights or 'shipped'}",
        ]
        if options.engine == BUILTIN:
            facts.append(f"decoder {options.decoder}")
        elif self.rectifier is not None:
            facts.append("margins {:g} and {:g}".format(*self.rectifier.framing.margin))
        if options.lexicon:
            facts.append("lexicon: " + (LEXICON50 if options.lexicon == SIDECAR else options.lexicon))
        if options.rotate:
            facts.append(f"each crop turned at random within ±{options.rotate:g}°, seed {options.seed}")
        if options.any_rotation:
            facts.append("crops of any rotation expected")
        return facts

    def _json(self) -> dict[str, Any]:
        options = self.options
        sets: dict[str, dict[str, Any]] = {name: _json_figures(figures) for name, figures in self.figures.items()}
        if options.details:
            for name, values in sets.items():
                values |= self.details[name].as_json()
        return {
            "engine": options.engine,
            "rectify": self.rectifier is not None,
            "protocol": options.protocol,
            **({"decoder": options.decoder} if options.decoder != "auto" else {}),
            **({"lexicon": options.lexicon} if options.lexicon else {}),
            **({"rotate": options.rotate, "seed": options.seed} if options.rotate else {}),
            **({"any_rotation": True} if options.any_rotation else {}),
            "sets": sets,
        }


def read_lexicons(folder: Path, samples: int) -> Mapping[int, Lexicon]:
    """The lexicon of each of a set's crops by number from 1, equal ones shared.

    Raises:
        FileNotFoundError: the set has none.
        ValueError: a line of the file is damaged, or a crop has none.
    """
    lists = read_word_lists(folder)
    missing = next((number for number in range(1, samples + 1) if number not in lists), None)
    if missing is not None:
        raise ValueError(f"{folder / LEXICON50}: no lexicon for sample {missing}")
    made = {words: Lexicon(words, str(folder / LEXICON50)) for words in set(lists.values())}
    return {number: made[words] for number, words in lists.items()}


def _json_figures(figures: Figures) -> dict[str, float | None]:
    fields: dict[str, float | None] = {
        "samples": figures.samples,
        "word_accuracy": round(figures.word_accuracy, 4),
        "one_minus_ned": round(figures.one_minus_ned, 6),
        "crops_per_second": round(figures.crops_per_second, 2),
    }
    if figures.raw_word_accuracy is not None:
        fields |= {
            "raw_word_accuracy": round(figures.raw_word_accuracy, 4),
            "fixed": figures.fixed,
            "harmed": figures.harmed,
        }
    return fields


def _header(compared: bool) -> list[str]:
    raw = ["raw %", "fixed", "harmed"] if compared else []
    return ["set", "samples", "accuracy %", *raw, "1 - NED", "CER", "crops/s"]


def _row(name: str, figures: Figures) -> list[str]:
    row = [name, str(figures.samples), number(figures.word_accuracy, 2)]
    if figures.raw_word_accuracy is not None:
        row += [number(figures.raw_word_accuracy, 2), str(figures.fixed), str(figures.harmed)]
    rates = [number(figures.one_minus_ned, 4), number(figures.character_error_rate, 4)]
    return [*row, *rates, number(figures.crops_per_second, 1)]
