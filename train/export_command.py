"""`rectify-ocr export`: trained weights to ONNX."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.export import ParityError, export

EXAMPLES = """examples:
  rectify-ocr export runs/light weights
  rectify-ocr image.png --weights weights
"""


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        differences = export(args.checkpoint, args.out)
    except ParityError as error:
        print(f"rectify-ocr: {error}; nothing was written", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"rectify-ocr: {error}", file=sys.stderr)
        return 2
    for kind, difference in differences.items():
        print(f"{args.out / kind}.onnx\tlargest difference to torch {difference:.1e}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rectify-ocr export",
        description="Write the networks of a training run as ONNX, with their configuration and charset inside, and as "
        "half-precision safetensors to train on from. Refused when ONNX and torch differ by more than 1e-4.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="folder of a run, or a .safetensors file")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write; must not exist yet")
    return parser
