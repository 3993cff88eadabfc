"""`rectify-ocr lmdb`: build, inspect, show, merge, filter and export LMDB datasets."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rectify.arguments import output_file, positive

if TYPE_CHECKING:
    from data.transform import Outcome

EXAMPLES = """examples:
  rectify-ocr lmdb build words/gt.txt words.lmdb        gt.txt: one path<TAB>label a line, paths relative to it
  rectify-ocr lmdb inspect words.lmdb --json words.json
  rectify-ocr lmdb show words.lmdb -o words.png --count 60 --seed 1
  rectify-ocr lmdb merge a.lmdb b.lmdb both.lmdb
  rectify-ocr lmdb filter words.lmdb short.lmdb --max-length 10 --min-height 16
  rectify-ocr lmdb export words.lmdb words
"""
BUILD_EXAMPLES = """examples:
  rectify-ocr lmdb build words/gt.txt words.lmdb            path<TAB>label a line; a comma or spaces do, too
  rectify-ocr lmdb build words.csv words.lmdb --label-column text
  rectify-ocr lmdb build labels.jsonl words.lmdb --images /data/pictures
  rectify-ocr lmdb build Challenge4_gt.txt words.lmdb       path, "label" a line, with a byte-order mark or without
  rectify-ocr lmdb build IIIT5K/testdata.mat words.lmdb
  rectify-ocr lmdb build crops words.lmdb                   a folder of 1_word_2.jpg, word_2.jpg, 2_word.jpg or word.jpg
  rectify-ocr lmdb build crops words.lmdb --names '(.+)--[0-9]+'
  rectify-ocr lmdb build gt_texts words.lmdb --images full_images       gt_NAME.txt: x1,y1,...,x4,y4,label a line

The form is told from the content; --format names it. Text files are UTF-8, UTF-16 or, where they are neither, Latin-1.
Every row that gives no sample is listed on standard error with its line number and the reason, and the exit code is 1
then; the other rows are written. Words of full images are cut out, their outlines kept as geometry.
"""
INSPECT_EXAMPLES = """examples:
  rectify-ocr lmdb inspect words.lmdb
  rectify-ocr lmdb inspect words.lmdb --json words.json     (all bad samples, and every count)
  rectify-ocr lmdb inspect words.lmdb --strict              (fails on what is only suspicious, too)

The exit code is 1 when a sample is bad: a missing key, an image that does not decode, an empty label. Suspicious are
equal images, images too small or too long for a word, labels with space around them, control characters or signs of a
wrong encoding, and images that num-samples does not count.
"""
SHOW_EXAMPLES = """examples:
  rectify-ocr lmdb show words.lmdb                          (the first 60 samples, to words.lmdb.png)
  rectify-ocr lmdb show words.lmdb -o sheet.png --start 1001 --count 24 --columns 4
  rectify-ocr lmdb show words.lmdb -o sheet.png --seed 1    (a random choice, the same one every time)
  rectify-ocr lmdb show greek.lmdb --font DejaVuSans.ttf    (labels beyond ASCII as they are)
"""
MERGE_EXAMPLES = """examples:
  rectify-ocr lmdb merge a.lmdb b.lmdb c.lmdb all.lmdb
"""
FILTER_EXAMPLES = """examples:
  rectify-ocr lmdb filter words.lmdb digits.lmdb --charset 0123456789
  rectify-ocr lmdb filter words.lmdb legible.lmdb --min-height 16 --min-width 16 --max-length 25
"""
EXPORT_EXAMPLES = """examples:
  rectify-ocr lmdb export words.lmdb words                  (words/gt.txt and the images as they are stored)
  rectify-ocr lmdb export words.lmdb words --format jsonl   (words/labels.jsonl, with the geometries)
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

    from data.build import build
    from data.sources.choose import Options, open_source
    from data.sources.rows import BadRow, Note, place

    options = Options(args.format, args.images, args.encoding, args.names, args.image_column, args.label_column)
    source = open_source(args.gt, options)

    def report(item: BadRow | Note) -> None:
        note = "note: " if isinstance(item, Note) else ""
        tqdm.write(f"{place(item, source.path)}: {note}{item.reason}", file=sys.stderr)

    items = tqdm(source.items, total=source.total, unit="row", disable=None)
    result = build(items, args.out, report, source.path, args.keep_duplicates)
    print(f"{args.out}: {result.samples} samples")
    if result.bad:
        print(f"rectify-ocr: {result.bad} rows of {source.path} are bad and were left out", file=sys.stderr)
    return 1 if result.bad else 0


def _inspect(args: argparse.Namespace) -> int:
    from data.inspect import format_inspection, inspect_dataset
    from data.reader import LmdbReader

    inspection = inspect_dataset(LmdbReader(args.folder), _progress)
    print(format_inspection(inspection))
    if args.json:
        text = json.dumps(inspection.to_json(), ensure_ascii=False, indent=1)
        _write_beside(args.json, text.encode("utf-8"))
    return 1 if inspection.bad or (args.strict and not inspection.flawless) else 0


def _show(args: argparse.Namespace) -> int:
    import cv2

    from data.reader import LmdbReader
    from data.show import choose, contact_sheet

    reader = LmdbReader(args.folder)
    sheet = contact_sheet(reader, choose(len(reader), args.count, args.start or 1, args.seed), args.columns, args.font)
    out = args.out or Path(f"{args.folder.resolve().name}.png")
    _write_beside(out, cv2.imencode(".png", sheet[:, :, ::-1])[1].tobytes())
    print(out)
    return 0


def _merge(args: argparse.Namespace) -> int:
    from data.transform import merge

    return _finish(args.out, merge(args.folders, args.out, _complain, _progress))


def _filter(args: argparse.Namespace) -> int:
    from data.transform import Wanted, filter_dataset
    from recognizer.charset import read_charset

    charset = read_charset(args.charset_file) if args.charset_file else args.charset
    bounds = {f"{end}_{name}": getattr(args, f"{end}_{name}") for end in ("min", "max") for name in _BOUNDS}
    return _finish(args.out, filter_dataset(args.folder, args.out, Wanted(charset, **bounds), _complain, _progress))


def _export(args: argparse.Namespace) -> int:
    from data.transform import export_dataset

    return _finish(args.out, export_dataset(args.folder, args.out, args.format, _complain, _progress))


def _finish(out: Path, outcome: Outcome) -> int:
    from data.transform import describe

    print(f"{out}: {describe(outcome)}")
    return 1 if outcome.bad else 0


def _progress(indices: Iterable[int]) -> Iterable[int]:
    from tqdm import tqdm

    return tqdm(indices, unit="sample", disable=None)


def _complain(message: str) -> None:
    from tqdm import tqdm

    tqdm.write(f"rectify-ocr: {message}", file=sys.stderr)


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
        description="Make, look through and change LMDB datasets of cropped words.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="build|inspect|show|merge|filter|export")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str, epilog: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=text, description=text, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        sub.set_defaults(run=run)
        return sub

    _add_build(command("build", _build, "Build a dataset from images and their labels.", BUILD_EXAMPLES))

    inspect = command("inspect", _inspect, "Count what is in a dataset and list its bad samples.", INSPECT_EXAMPLES)
    inspect.add_argument("folder", type=Path, metavar="DIR", help="dataset, the folder that holds data.mdb")
    inspect.add_argument("--json", type=output_file, metavar="FILE", help="write everything found to this file as well")
    inspect.add_argument("--strict", action="store_true", help="exit code 1 for suspicious samples, too")

    show = command("show", _show, "Draw a contact sheet of samples with their labels.", SHOW_EXAMPLES)
    show.add_argument("folder", type=Path, metavar="DIR", help="dataset, the folder that holds data.mdb")
    show.add_argument(
        "-o", "--out", type=_png, metavar="PNG", help="picture to write (default: DIR's name + .png, here)"
    )
    show.add_argument("--count", type=positive, default=60, metavar="N", help="how many samples (default: 60)")
    show.add_argument("--columns", type=positive, default=6, metavar="N", help="samples in a row (default: 6)")
    show.add_argument("--font", type=Path, metavar="FILE", help="font for labels beyond ASCII (needs Pillow)")
    which = show.add_mutually_exclusive_group()
    which.add_argument("--start", type=positive, metavar="NUMBER", help="first sample (default: 1)")
    which.add_argument("--seed", type=int, metavar="S", help="choose at random, by this seed, instead")

    merge = command("merge", _merge, "Join datasets.", MERGE_EXAMPLES)
    merge.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="datasets, in this order")
    merge.add_argument("out", type=Path, metavar="OUT", help="folder to make; must not exist")

    _add_filter(command("filter", _filter, "Keep the samples that meet all conditions.", FILTER_EXAMPLES))

    export = command(
        "export",
        _export,
        "Write a dataset back to image files and a list of labels; files beside it stay behind, and so does the ink of "
        "synthetic words.",
        EXPORT_EXAMPLES,
    )
    export.add_argument("folder", type=Path, metavar="DIR", help="dataset, the folder that holds data.mdb")
    export.add_argument("out", type=Path, metavar="OUT", help="folder to make; must not exist")
    export.add_argument("--format", choices=("gt", "csv", "jsonl"), default="gt", help="of the list (default: gt)")
    return parser


def _png(argument: str) -> Path:
    """An argparse type: a file that a PNG is written to."""
    path = output_file(argument)
    if path.suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"{argument} is no PNG by its name: end it with .png")
    return path


def _add_build(build: argparse.ArgumentParser) -> None:
    add = build.add_argument
    add("gt", type=Path, metavar="GT", help="file of labels, or a folder")
    add("out", type=Path, metavar="OUT", help="folder to make; must not exist")
    add("--format", choices=_FORMATS, default="auto", help="of GT (default: told from its content)")
    add("--images", type=Path, metavar="DIR", help="folder that paths are relative to (default: GT's)")
    add("--encoding", metavar="NAME", help="of text files, such as cp1252 (default: told from their bytes)")
    add("--names", metavar="REGEX", help="form of a picture's name without its extension, ( ) around the label")
    add("--image-column", metavar="NAME", help="column or key of the path, in CSV and JSON lines")
    add("--label-column", metavar="NAME", help="column or key of the label")
    add("--keep-duplicates", action="store_true", help="an image that comes again is no bad row")


def _add_filter(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="dataset, the folder that holds data.mdb")
    add("out", type=Path, metavar="OUT", help="folder to make; must not exist")
    charset = parser.add_mutually_exclusive_group()
    charset.add_argument("--charset", metavar="CHARACTERS", help="labels with no other characters")
    charset.add_argument("--charset-file", type=Path, metavar="FILE", help="the same, from a text file")
    for name, unit in _BOUNDS.items():
        for end, word in (("min", "least"), ("max", "most")):
            add(f"--{end}-{name}", type=positive, metavar="N", help=f"{word} {name}, {unit}")


_FORMATS = ("auto", "gt", "icdar", "csv", "jsonl", "iiit5k", "names", "regions")
_BOUNDS = {"length": "characters of the label", "width": "pixels", "height": "pixels"}
