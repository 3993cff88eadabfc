"""``rectify-ocr quality``: figures of the rectified crops themselves, on synthetic and on annotated real words."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data.reader import LmdbReader
from rectify.arguments import output_file
from rectify.conventions import MARGIN, extent_of
from rectify.rectifier import LEAST_BEND, Rectifier
from train.crops import Crop, set_names
from train.output import complain, number, progress, table, write_json, write_text
from train.quality import Keep, Locator, Quality, QualityFigures, TruePoints, measure
from train.readable import Readable
from train.report import page
from train.shape_errors import ANNOTATED_SPACE, FRAME

LEGEND = {
    "EPE": f"distance of the control points from the true ones, in pixels of a crop scaled to {FRAME[0]}x{FRAME[1]}",
    "median": "of the EPE",
    "outline": "the same of the text outline, without the margin",
    "map": "the same all over the text; like the last, it compares grids of control points, too",
    "aligned": "EPE after the best scale and shift along and across the word",
    "slope °": "top line and baseline when rectified: degrees off the horizontal",
    "bend %": "the same lines: RMS distance from straight ones, % of the text height",
    "height %": "how much the height of the letters differs within a word: standard deviation, % of the mean",
    "spacing %": "the same of the distances between neighbouring letters, beside those of the flat word",
    "cut %": "% of the words of which the rectified image leaves out any ink (of the letters' boxes where a set of an "
    "earlier version holds no ink)",
    "ink cut %": "% of the ink that it leaves out",
    "SSIM": "of the rectified crop and the flat rendering, which is the crop sampled along the true map, "
    f"{FRAME[0]}x{FRAME[1]}, grey",
    "corner %": "distance of the text outline's corners from the quad's, % of (width + height) / 2 of the crop",
    "spaced %": "the same once all outlines get the space around the letters that annotators leave (--space)",
    "ends %": "space that the quads leave at the ends of the text outline, % of its height, mean",
    "sides %": "the same above and below",
    "IoU": "of text outline and quad",
    "fold %": "% of the crops on which the spline folds over",
    "strength": "how far a word is from lying straight in its crop, % of the text height, median",
    "bent %": f"% of the crops with a strength from {LEAST_BEND:g}; other engines get these rectified, and those that "
    "the word fills little of",
    "outside %": "% of the rectified image's area, margin included, that repeats the crop's border",
}
"""What each column of the table says."""

_COLUMNS = {
    "EPE": ("end_point_error", 2),
    "median": ("end_point_error_median", 2),
    "outline": ("outline_error", 2),
    "map": ("map_error", 2),
    "aligned": ("aligned_error", 2),
    "slope °": ("slope", 2),
    "bend %": ("bend", 2),
    "height %": ("height_unevenness", 2),
    "spacing %": ("spacing_unevenness", 2),
    "cut %": ("cut_off", 2),
    "ink cut %": ("ink_cut_off", 3),
    "SSIM": ("ssim", 3),
    "corner %": ("corner_error", 2),
    "spaced %": ("spaced_corner_error", 2),
    "ends %": ("end_space", 1),
    "sides %": ("side_space", 1),
    "IoU": ("iou", 3),
    "fold %": ("fold_over", 2),
    "strength": ("strength", 1),
    "bent %": ("bent", 1),
    "outside %": ("outside", 1),
}
"""Heading to field and digits."""

_SYNTHETIC = [*LEGEND][: [*LEGEND].index("SSIM") + 1]
_QUADS = ["corner %", "spaced %", "ends %", "sides %", "IoU"]


def _explained(columns: Sequence[str]) -> str:
    return "\n".join(f"  {column:<10} {LEGEND[column]}" for column in columns)


_DESCRIPTION = f"""\
Measure the control points that the rectifier finds.

On synthetic words (rectify-ocr synth), whose true map is known, means over the words:
{_explained(_SYNTHETIC)}
On real words with quads.jsonl beside data.mdb, or cut out of full images by lmdb build along quadrilaterals, vertical
ones left out:
{_explained(_QUADS)}
Everywhere:
{_explained([column for column in LEGEND if column not in (*_SYNTHETIC, *_QUADS)])}
"""

_EPILOG = """examples:
  rectify-ocr quality synthetic data/IC15 --json quality.json
  rectify-ocr quality synthetic --readable     without the words that noise or blur has made unreadable
  rectify-ocr quality synthetic --grids 3x3 5x5 7x7 2x10 2x20     what a grid could reach, from the true map
  rectify-ocr quality synthetic --weights runs/5x5 runs/2x10      trained ones side by side
"""


def main(argv: Sequence[str]) -> int:
    """Run the command; 0 all samples were read, 1 some were not."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        margin = (options.margin[0], options.margin[1])
        extent_of(margin)
        locators = _locators(options.weights, options.grids)
        keep = Readable() if options.readable else None
    except (ValueError, OSError) as error:
        parser.error(str(error))
    figures: dict[tuple[str, str], QualityFigures] = {}
    failed = False
    for name, folder in set_names(options.lmdb).items():
        for source, locator in locators.items():
            try:
                found = _measure(name, folder, locator, margin, keep)
                figures[name, source] = found.summary((options.space[0], options.space[1]))
            except (ValueError, OSError) as error:
                complain(error)
                failed = True
                break
    if figures:
        header, rows = quality_table(figures)
        if options.json:
            write_json(options.json, _json(figures, locators))
        if options.report:
            margins, space = "margins {:g} and {:g}".format(*margin), "space {:g} and {:g}".format(*options.space)
            only = ["of the rendered words those alone that can be read at all"] if options.readable else []
            facts = [margins, space, *only, *legend(header)]
            write_text(options.report, page("rectify-ocr quality", facts, header, rows, []))
        print(table(header, rows))
    return int(failed or any(values.bad for values in figures.values()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rectify-ocr quality",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("lmdb", nargs="+", metavar="LMDB", help="folder that holds data.mdb")
    parser.add_argument("--json", type=output_file, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--report", type=output_file, metavar="FILE.html", help="write a page with the table")
    parser.add_argument(
        "--weights", nargs="+", metavar="W", help="weight files or folders; without them the shipped weights"
    )
    parser.add_argument(
        "--grids",
        nargs="+",
        type=_grid,
        default=[],
        metavar="ROWSxCOLS",
        help="control points of the true map on these grids instead, the best that a network could find",
    )
    parser.add_argument(
        "--margin",
        nargs=2,
        type=float,
        default=MARGIN,
        metavar=("ENDS", "SIDES"),
        help="space around the word in the rectified image (default {:g} {:g})".format(*MARGIN),
    )
    parser.add_argument(
        "--space",
        nargs=2,
        type=float,
        default=ANNOTATED_SPACE,
        metavar=("ENDS", "SIDES"),
        help="space that annotators leave around the letters, in text heights (default {:g} {:g}, which is what the "
        "columns ends and sides say of IC15's training words)".format(*ANNOTATED_SPACE),
    )
    parser.add_argument(
        "--readable",
        action="store_true",
        help="of synthetic words only those that the shipped recogniser reads along their true map: of a word that "
        "nobody can read, no network can say where it lies",
    )
    return parser


def _grid(argument: str) -> TruePoints:
    match = re.fullmatch(r"(\d+)x(\d+)", argument)
    if not match or min(map(int, match.groups())) < 2:
        raise argparse.ArgumentTypeError(f"{argument} is not a grid of at least 2x2 control points, like 5x5 or 2x10")
    return TruePoints(int(match[1]), int(match[2]))


def _locators(weights: Sequence[str] | None, grids: Sequence[TruePoints]) -> dict[str, Locator | TruePoints]:
    """What is measured, by its name in the table; the shipped weights where nothing is named."""
    measured: dict[str, Locator | TruePoints] = {f"true {grid.rows}x{grid.cols}": grid for grid in grids}
    if weights or not grids:
        paths: Sequence[str | None] = weights or [None]
        measured |= {path or "shipped": Rectifier(path) for path in paths}
    return measured


def _measure(
    name: str,
    folder: Path,
    locator: Locator | TruePoints,
    margin: tuple[float, float],
    keep: Keep | None,
) -> Quality:
    reader = LmdbReader(folder)
    with progress(name, len(reader)) as bar:

        def watch(crop: Crop) -> None:
            bar.update()
            if crop.error is not None:
                complain(crop.error)

        quality = measure(reader, locator, watch, margin, keep)
    if isinstance(locator, TruePoints) and not quality.words:
        raise ValueError(f"{folder}: no known geometry to measure grids on; it takes a set of rectify-ocr synth")
    return quality


def quality_table(figures: Mapping[tuple[str, str], QualityFigures]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table: a row for each set and source of control points (named where there are several),
    and the columns that have a figure in any row."""
    shown = [key for key, (name, _) in _COLUMNS.items() if any(getattr(f, name) is not None for f in figures.values())]
    several = len({source for _, source in figures}) > 1
    header = ["set", *(["control points"] if several else []), "samples", *shown]
    rows = []
    for (name, source), values in figures.items():
        cells = [number(getattr(values, field), digits) for field, digits in map(_COLUMNS.__getitem__, shown)]
        rows.append([name, *([source] if several else []), str(values.samples), *cells])
    return header, rows


def legend(header: Sequence[str]) -> list[str]:
    """What the columns say, a line each."""
    return [f"{column}: {LEGEND[column]}" for column in header if column in LEGEND]


def _json(
    figures: Mapping[tuple[str, str], QualityFigures], locators: Mapping[str, Locator | TruePoints]
) -> dict[str, Any]:
    """One object for each source of control points in ``sources``; the first one's figures stand in ``sets``, too."""
    sources = [
        {
            "control_points": source,
            "rows": locator.rows,
            "cols": locator.cols,
            "sets": {name: asdict(values) for (name, of), values in figures.items() if of == source},
        }
        for source, locator in locators.items()
    ]
    return {key: sources[0][key] for key in ("rows", "cols", "sets")} | {"sources": sources}
