"""Draws the medians of a benchmark from the JSON that it wrote."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import common


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example:\n  python benchmarks/plot.py reading.json reading.png",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("figures", type=Path, metavar="FILE.json", help="what a benchmark wrote with --json")
    parser.add_argument("picture", type=Path, metavar="FILE.png")
    arguments = parser.parse_args()
    result = json.loads(arguments.figures.read_text())
    common.plot(arguments.picture, result["benchmark"], result["unit"], result["medians"])


if __name__ == "__main__":
    main()
