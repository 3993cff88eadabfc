"""``rectify-ocr quality``: figures of the rectified crops themselves, on synthetic and on annotated real words."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict

from data.reader import LmdbReader
from rectify.rectifier import Rectifier
from train.crops import Crop, Reader, set_names
from train.output import complain, number, output_file, progress, table, write_json
from train.quality import QualityFigures, measure
from train.shape_errors import FRAME

_DESCRIPTION = f"""\
Measure the control points that the rectifier finds.

On synthetic words (rectify-ocr synth), whose true map is known:
  EPE         distance of the control points from the true ones, in pixels of a crop scaled to {FRAME[0]}x{FRAME[1]}:
              mean, median
  outline     the same of the text outline, without the margin
  aligned     EPE after the best scale and shift along and across the word
  slope, bend top line and baseline when rectified: degrees off the horizontal, RMS crookedness in % of the text height
  cut off     % of the words whose outline reaches out of the rectified image
On real words with quads.jsonl beside data.mdb, vertical ones left out:
  corner      distance of the text outline's corners from the quad's, % of (width + height) / 2 of the crop
  IoU         of text outline and quad
Everywhere:
  fold        % of the crops on which the spline folds over
"""

_COLUMNS = {
    "EPE": ("end_point_error", 2),
    "median": ("end_point_error_median", 2),
    "outline": ("outline_error", 2),
    "aligned": ("aligned_error", 2),
    "slope °": ("slope", 2),
    "bend %": ("bend", 2),
    "cut off %": ("cut_off", 2),
    "corner %": ("corner_error", 2),
    "IoU": ("iou", 3),
    "fold %": ("fold_over", 2),
}
"""Heading to field and digits."""


def main(argv: Sequence[str]) -> int:
    """Run the command; 0 all samples were read, 1 some were not."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        rectifier = Rectifier(options.weights)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    figures: dict[str, QualityFigures] = {}
    failed = False
    for name, folder in set_names(options.lmdb).items():
        try:
            figures[name] = _measure(name, LmdbReader(folder), rectifier)
        except (ValueError, OSError) as error:
            complain(error)
            failed = True
    if figures:
        print(table(["set", "samples", *_COLUMNS], [_row(*item) for item in figures.items()]))
        if options.json:
            sets = {name: asdict(values) for name, values in figures.items()}
            write_json(options.json, {"rows": rectifier.rows, "cols": rectifier.cols, "sets": sets})
    return int(failed or any(values.bad for values in figures.values()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rectify-ocr quality",
        description=_DESCRIPTION,
        epilog="example:\n  rectify-ocr quality synthetic data/IC15 --json quality.json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("lmdb", nargs="+", metavar="LMDB", help="folder that holds data.mdb")
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--weights", metavar="W", help="weight file or folder; without it the shipped weights")
    return parser


def _measure(name: str, reader: Reader, rectifier: Rectifier) -> QualityFigures:
    with progress(name, len(reader)) as bar:

        def watch(crop: Crop) -> None:
            bar.update()
            if crop.error is not None:
                complain(crop.error)

        return measure(reader, rectifier, watch).summary()


def _row(name: str, figures: QualityFigures) -> list[str]:
    cells = [number(getattr(figures, key), digits) for key, digits in _COLUMNS.values()]
    return [name, str(figures.samples), *cells]
