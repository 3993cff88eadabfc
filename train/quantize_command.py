"""`rectify-ocr quantize`: networks in 8 bits."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rectify.arguments import positive
from train.output import complain
from train.quantize import MOST_LOST, LossError, quantize

EXAMPLES = """examples:
  rectify-ocr export runs/mine weights
  rectify-ocr quantize fast --weights weights --calibrate crops.lmdb
  rectify-ocr image.png --weights fast
"""


LEAST_JUDGED = 1000
"""Crops; of fewer one is more than a tenth of a point."""


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        outcome = quantize(args.weights, args.out, args.calibrate, args.count, args.judge)
    except LossError as error:
        print(f"rectify-ocr: {error}; nothing was written", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"rectify-ocr: {error}", file=sys.stderr)
        return 2
    print(
        f"{args.out}\tword accuracy {outcome.after:.1f} instead of {outcome.before:.1f} on {outcome.judged} crops, "
        f"{outcome.speedup:.1f} times as fast"
    )
    if outcome.judged < LEAST_JUDGED:
        complain(
            f"{outcome.judged} crops are too few to tell {MOST_LOST} points: give --calibrate at least "
            f"{args.count + LEAST_JUDGED} crops, and no --judge below {LEAST_JUDGED}"
        )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rectify-ocr quantize",
        description="Write weights whose networks compute in 8 bits, but for the attention head. Refused when that "
        f"costs more than {MOST_LOST} points of word accuracy on crops that it was not calibrated on.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("out", metavar="OUT", type=Path, help="folder to write; must not exist yet")
    add("--calibrate", nargs="+", required=True, metavar="LMDB", help="crops with labels, like those to be read")
    add("--weights", required=True, metavar="FOLDER", help="ONNX weights that `rectify-ocr export` wrote")
    add("--count", type=positive, default=256, metavar="N", help="crops to calibrate with (default %(default)s)")
    add("--judge", type=positive, default=5000, metavar="N", help="other crops to judge with (default %(default)s)")
    return parser
