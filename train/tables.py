"""Writes the table of word accuracies into README.md and MODEL_CARD.md, published figures beside ours.

    python -m train.tables EVAL.json [MORE.json ...] [--update README.md MODEL_CARD.md]

The files are what ``rectify-ocr eval --json`` wrote: one with rectification gives our column, one with --no-rectify the
column without, one with --lexicon sidecar further rows. Without --update the table is printed. In a file to update it
replaces what stands between the lines ``<!-- figures -->`` and ``<!-- /figures -->``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.output import number, table, write_text

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"

PUBLISHED: dict[str, dict[str, float]] = {
    "RARE": {"IIIT5K": 81.9, "SVT": 81.9, "IC13_1015": 88.6, "CUTE80": 59.2, "SVT, 50 words": 95.5},
    "ASTER": {"IIIT5K": 93.4, "SVT": 89.5, "IC13_1015": 91.8, "CUTE80": 79.5},
    "TRBA": {"IIIT5K": 87.9, "SVT": 87.5, "IC13_857": 93.6, "IC13_1015": 92.3, "IC15_2077": 71.8, "CUTE80": 74.0},
}
"""Word accuracy in percent by method and set, trained on MJSynth (ASTER and TRBA on SynthText, too), from the tables of
RARE: Shi et al., Robust Scene Text Recognition with Automatic Rectification, CVPR 2016;
ASTER: Shi et al., ASTER: An Attentional Scene Text Recognizer with Flexible Rectification, TPAMI 2019, two directions;
TRBA: Baek et al., What Is Wrong With Scene Text Recognition Model Comparisons?, ICCV 2019, TPS-ResNet-BiLSTM-Attn."""

SOURCES = """\
RARE: [Shi et al., CVPR 2016](https://arxiv.org/abs/1603.03915); ASTER: Shi et al., TPAMI 2019; TRBA:
[Baek et al., ICCV 2019](https://arxiv.org/abs/1904.01906)."""

SETS = ("IIIT5K", "SVT", "IC13_857", "IC13_1015", "IC15_2077", "CUTE80")
"""Order of the rows; others follow."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluations", nargs="+", type=Path, metavar="EVAL.json", help="figures of rectify-ocr eval")
    parser.add_argument("--update", nargs="+", type=Path, default=[], metavar="FILE.md", help="files to update")
    options = parser.parse_args(argv)
    try:
        text = figures_table([read_evaluation(path) for path in options.evaluations])
        updated = {path: replaced(path, text) for path in options.update}
    except (ValueError, OSError) as error:
        parser.error(str(error))
    if not updated:
        print(text)
    for path, content in updated.items():
        write_text(path, content)
    return 0


def read_evaluation(path: Path, protocols: Sequence[str] = ("36",)) -> dict[str, Any]:
    """What ``rectify-ocr eval --json`` wrote.

    Args:
        protocols: those that can be compared.

    Raises:
        FileNotFoundError: no such file.
        ValueError: something else, named.
    """
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        protocol = values["protocol"]
        needed = {"samples", "word_accuracy"}
        complete = values["rectify"] in (True, False) and all(needed <= row.keys() for row in values["sets"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        complete, protocol = False, ""
    if not complete:
        raise ValueError(f"{path}: not figures of rectify-ocr eval --json")
    if values.get("engine", "builtin") != "builtin" or values.get("rotate"):
        raise ValueError(f"{path}: not of this project's recogniser on upright crops")
    if values.get("lexicon") not in (None, "sidecar"):
        raise ValueError(f"{path}: read with the lexicon {values['lexicon']}, not with --lexicon sidecar")
    if protocol not in protocols:
        raise ValueError(f"{path}: of {protocol} characters; the table compares {' or '.join(protocols)}")
    return values


def figures_table(evaluations: Sequence[dict[str, Any]]) -> str:
    """The table in Markdown, and below it where the published figures are from.

    Raises:
        ValueError: no evaluation with rectification, or two of one kind with a set in common.
    """
    ours: dict[str, dict[str, Any]] = {}
    raw: dict[str, dict[str, Any]] = {}
    for values in evaluations:
        target = ours if values["rectify"] else raw
        for name, figures in values["sets"].items():
            row = f"{name}, 50 words" if values.get("lexicon") else name
            if row in target:
                raise ValueError(f"two evaluations of {row} that differ in nothing the table shows")
            target[row] = figures
    if not ours:
        raise ValueError("no evaluation with rectification")
    order = [*SETS, *(f"{name}, 50 words" for name in SETS)]
    rows = sorted(ours, key=lambda row: order.index(row) if row in order else len(order))
    header = ["set", "crops", "word accuracy", "without rectification", "1 − NED", *PUBLISHED]
    return table(header, [_row(row, ours[row], raw.get(row, {})) for row in rows]) + "\n\n" + SOURCES


def _row(name: str, figures: dict[str, Any], raw: dict[str, Any]) -> list[str]:
    without = raw.get("word_accuracy", figures.get("raw_word_accuracy"))
    return [
        name,
        str(figures["samples"]),
        number(figures["word_accuracy"], 1),
        number(without, 1),
        number(figures.get("one_minus_ned"), 3),
        *(number(published.get(name), 1) for published in PUBLISHED.values()),
    ]


def replaced(path: Path, text: str, first: str = BEGIN, last: str = END) -> str:
    """The file's content with the text between its markers.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it has not exactly one of each marker, in their order.
    """
    content = path.read_text(encoding="utf-8")
    before, begin, rest = content.partition(f"{first}\n")
    _, end, after = rest.partition(f"{last}\n")
    if not begin or not end or first in rest or last in before + after:
        raise ValueError(f"{path}: needs one line {first} and below it one line {last}")
    return f"{before}{first}\n{text}\n{last}\n{after}"


if __name__ == "__main__":
    sys.exit(main())
