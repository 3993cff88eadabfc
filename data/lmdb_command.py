"""`rectify-ocr lmdb`: build, inspect and show LMDB datasets."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

EXAMPLES = """examples:
  rectify-ocr lmdb build words/gt.txt words.lmdb        gt.txt: one path<TAB>label a line, paths relative to it
  rectify-ocr lmdb inspect words.lmdb --json words.json
  rectify-ocr lmdb show words.lmdb -o words.png --count 60 --seed 1
"""
BUILD_EXAMPLES = """examples:
  rectify-ocr lmdb build words/gt.txt words.lmdb

A line of GT is path<TAB>label; a comma or spaces do instead of the tab. Every row that gives no sample is listed on
standard error with its line number and the reason, and the exit code is 1 then; the other rows are written.
"""
INSPECT_EXAMPLES = """examples:
  rectify-ocr lmdb inspect words.lmdb
  rectify-ocr lmdb inspect words.lmdb --json words.json     (all bad samples, and every count)

The exit code is 1 when a sample is bad: a missing key, an image that does not decode, an empty label.
"""
SHOW_EXAMPLES = """examples:
  rectify-ocr lmdb show words.lmdb                          (the first 60 samples, to words.lmdb.png)
  rectify-ocr lmdb show words.lmdb -o sheet.png --start 1001 --count 24 --columns 4
  rectify-ocr lmdb show words.lmdb -o sheet.png --seed 1    (a random choice, the same one every time)
"""


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code. Errors of the input are raised: the dispatcher prints them."""
    args = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = args.run
    try:
        return run(args)
    except FileExistsError as error:
        print(f"rectify-ocr: {error}", file=sys.stderr)
        return 2


def _build(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from data.build import BadRow, build, count_lines, read_gt

    def report(bad: BadRow) -> None:
        tqdm.write(f"{args.gt}:{bad.line}: {bad.reason}", file=sys.stderr)

    rows = tqdm(read_gt(args.gt), total=count_lines(args.gt), unit="row", disable=None)
    result = build(rows, args.out, report)
    print(f"{args.out}: {result.samples} samples")
    if result.bad:
        print(f"rectify-ocr: {result.bad} rows of {args.gt} are bad and were left out", file=sys.stderr)
    return 1 if result.bad else 0


def _inspect(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from data.inspect import format_inspection, inspect_dataset
    from data.reader import LmdbReader

    inspection = inspect_dataset(LmdbReader(args.folder), lambda indices: tqdm(indices, unit="sample", disable=None))
    print(format_inspection(inspection))
    if args.json:
        text = json.dumps(inspection.to_json(), ensure_ascii=False, indent=1)
        _write_beside(args.json, text.encode("utf-8"))
    return 1 if inspection.bad else 0


def _show(args: argparse.Namespace) -> int:
    import cv2

    from data.reader import LmdbReader
    from data.show import choose, contact_sheet

    reader = LmdbReader(args.folder)
    sheet = contact_sheet(reader, choose(len(reader), args.count, args.start or 1, args.seed), args.columns)
    out = args.out or Path(f"{args.folder.resolve().name}.png")
    _write_beside(out, cv2.imencode(".png", sheet[:, :, ::-1])[1].tobytes())
    print(out)
    return 0


def _write_beside(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever finds half of it."""
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rectify-ocr lmdb",
        description="Build, inspect and show LMDB datasets of cropped words.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="build|inspect|show")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str, epilog: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=text, description=text, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        sub.set_defaults(run=run)
        return sub

    build = command("build", _build, "Build a dataset from images and a file of labels.", BUILD_EXAMPLES)
    build.add_argument("gt", type=Path, metavar="GT", help="text file, path<TAB>label a line")
    build.add_argument("out", type=Path, metavar="OUT", help="folder to make; must not exist")

    inspect = command("inspect", _inspect, "Count what is in a dataset and list its bad samples.", INSPECT_EXAMPLES)
    inspect.add_argument("folder", type=Path, metavar="DIR", help="dataset, the folder that holds data.mdb")
    inspect.add_argument("--json", type=Path, metavar="FILE", help="write everything found to this file as well")

    show = command("show", _show, "Draw a contact sheet of samples with their labels.", SHOW_EXAMPLES)
    show.add_argument("folder", type=Path, metavar="DIR", help="dataset, the folder that holds data.mdb")
    show.add_argument(
        "-o", "--out", type=Path, metavar="PNG", help="picture to write (default: DIR's name + .png, here)"
    )
    show.add_argument("--count", type=_positive, default=60, metavar="N", help="how many samples (default: 60)")
    show.add_argument("--columns", type=_positive, default=6, metavar="N", help="samples in a row (default: 6)")
    which = show.add_mutually_exclusive_group()
    which.add_argument("--start", type=_positive, metavar="NUMBER", help="first sample (default: 1)")
    which.add_argument("--seed", type=int, metavar="S", help="choose at random, by this seed, instead")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value
