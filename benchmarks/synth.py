"""Synthetic crops a second on one core, once the glyphs of the fonts are drawn.

python benchmarks/synth.py --fonts DIR...
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2

from data.synth.render import Renderer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fonts", nargs="+", type=Path, required=True, metavar="DIR")
    parser.add_argument("--warm-up", type=int, default=20_000, help="crops before the clock starts (%(default)s)")
    parser.add_argument("--count", type=int, default=5_000, help="crops measured (%(default)s)")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    renderer = Renderer(arguments.fonts)
    for index in range(arguments.warm_up):
        renderer(index)
    start = time.process_time()
    sizes = [renderer(index).geometry.size for index in range(arguments.warm_up, arguments.warm_up + arguments.count)]
    seconds = time.process_time() - start
    pixels = sum(width * height for width, height in sizes) / len(sizes)
    print(f"{len(sizes) / seconds:.0f} crops a second of CPU time, {pixels:.0f} pixels on average (64x192: {64 * 192})")


if __name__ == "__main__":
    main()
