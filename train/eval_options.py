"""The options of ``rectify-ocr eval``."""

from __future__ import annotations

import argparse

from data.sidecars import LEXICON50
from recognizer.engines import ENGINES
from rectify.arguments import not_negative, output_file
from rectify.read_command import BUILTIN, DECODERS
from train.metrics import LETTERS, PROTOCOLS

_EPILOG = """examples:
  rectify-ocr eval data/IIIT5K data/SVT
  rectify-ocr eval data/* --compare --report report.html
  rectify-ocr eval data/CUTE80 --engine tesseract --compare       does the rectifier help Tesseract, and where not?
  rectify-ocr eval data/SVT --lexicon sidecar                     each crop is one of 50 words
  rectify-ocr eval data/* --protocol 94 --details                 case and punctuation count; why are crops wrong?
  rectify-ocr eval data/IIIT5K --rotate 90 --seed 0 --json figures.json
"""

SIDECAR = "sidecar"
"""Value of --lexicon for a lexicon of each crop's own."""


def eval_parser() -> argparse.ArgumentParser:
    """Its parser."""
    parser = argparse.ArgumentParser(
        prog="rectify-ocr eval",
        description="Read every crop of LMDB sets and compare with their labels. Crops per second count the engine "
        "alone; a sample that cannot be read is named on stderr and counts as wrong.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("lmdb", nargs="+", metavar="LMDB", help="folder that holds data.mdb")
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--report", type=output_file, metavar="FILE.html", help="write a page with the wrong crops")
    parser.add_argument(
        "--engine", choices=[BUILTIN, *ENGINES], default=BUILTIN, help="who reads (default %(default)s)"
    )
    parser.add_argument(
        "--margin",
        nargs=2,
        type=float,
        metavar=("ENDS", "SIDES"),
        help="space around the word in the crops for another engine, as shares of the word's length and height "
        "(default: what suits the engine)",
    )
    parser.add_argument("--no-rectify", action="store_true", help="read the crops as they are")
    parser.add_argument("--weights", metavar="W", help="weight file or folder; without it the shipped weights")
    parser.add_argument("--compare", action="store_true", help="read every crop raw, too; count fixed and harmed")
    parser.add_argument(
        "--details",
        action="store_true",
        help="print (and write as JSON) accuracy by length, calibration error, causes of errors, confused characters",
    )
    parser.add_argument(
        "--lexicon",
        metavar="FILE|sidecar",
        help=f"read only words of this file, one a line; sidecar: of each crop's own lexicon, {LEXICON50} beside "
        "data.mdb",
    )
    parser.add_argument(
        "--protocol",
        choices=[*PROTOCOLS, LETTERS],
        default="36",
        help="characters that count (default 36); the labels of 62 and 94 come from cased.tsv beside data.mdb if "
        "there is such a file; letters: those of any alphabet, and digits, in lower case",
    )
    parser.add_argument("--decoder", choices=DECODERS, default="auto", help="of the builtin engine (default auto)")
    parser.add_argument("--rotate", type=_degrees, metavar="DEG", help="turn each crop by a random angle within ±DEG")
    parser.add_argument(
        "--any-rotation",
        action=argparse.BooleanOptionalAction,
        help="expect crops turned by any angle, not tall ones only (default: with --rotate, if the weights know)",
    )
    parser.add_argument("--seed", type=not_negative, default=0, metavar="S", help="of the random angles (default 0)")
    return parser


def _degrees(argument: str) -> float:
    try:
        degrees = float(argument)
    except ValueError:
        degrees = -1
    if not 0 <= degrees <= 180:
        raise argparse.ArgumentTypeError(f"{argument} is not an angle from 0 to 180 degrees")
    return degrees
