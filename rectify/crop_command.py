"""``rectify-ocr crop``: straight crops out of a photo, along the polygons of a text detector."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rectify.arguments import out_folder
from rectify.text_files import read_utf8

if TYPE_CHECKING:
    from rectify.images import Image

EPILOG = """\
POLYGONS is a JSON list. Each polygon is a list of points [x, y] in pixels from the photo's top left corner, a flat list
of as many numbers, or an object with such a list as "points", "polygon", "quad", "poly", "vertices", "box", "bbox" or
"rect", of which the last three may be [left, top, width, height], too; what else the object holds does not matter. A
polygon has four corners in any order, or an even number of points: the first half along one edge of the text,
the second half back along the other. A last point that is the first one again closes the polygon; where it is a tip of
the text instead, --keep-order says so.

Crop number N is saved as DIR/NAME-N.png, NAME being the photo's, and its path printed. Polygons that cannot be used are
named on stderr, the others are cropped, and the exit code is 1.

examples:
  rectify-ocr crop street.jpg words.json -o words
  rectify-ocr crop street.jpg words.json -o words --refine     and correct each by what the network sees
  rectify-ocr crop street.jpg words.json -o words && rectify-ocr words        ... and read them
"""


def main(argv: Sequence[str]) -> int:
    """Run the command; 0 every polygon gave a crop, 1 some did not."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.weights and not options.refine:
        parser.error("--weights are for --refine")

    from rectify.conventions import extent_of
    from rectify.images import PHOTO_PIXELS, read_image, write_png
    from rectify.polygon import NO_MARGIN, rectify_polygons
    from rectify.rectifier import Rectifier

    try:
        margin = tuple(options.margin) if options.margin else None
        extent_of(margin or NO_MARGIN)
        rectifier = Rectifier(options.weights) if options.refine else None
    except (ValueError, OSError) as error:
        parser.error(str(error))
    image = read_image(options.image, most=PHOTO_PIXELS)
    polygons = read_polygons(options.polygons)

    def crop(item: Any) -> Image:
        polygon = polygon_of(item)
        if rectifier is None:
            return rectify_polygons(image, [polygon], margin or NO_MARGIN, options.keep_order)[0].image
        return rectifier.rectify_polygon(image, polygon, True, margin, options.keep_order).image

    failed = False
    digits = len(str(len(polygons)))
    for number, item in enumerate(polygons, start=1):
        path = options.output / f"{options.image.stem}-{number:0{digits}d}.png"
        try:
            if path.resolve() == options.image.resolve():
                raise ValueError(f"would replace {options.image}")
            write_png(path, crop(item))
        except (ValueError, OSError) as error:
            reason = str(error).removeprefix("polygons[0]: ")
            print(f"rectify-ocr: {options.polygons}: polygon {number}: {reason}", file=sys.stderr)
            failed = True
        else:
            print(path)
    return int(failed)


def read_polygons(path: Path) -> list[Any]:
    """The entries of a file of polygons, see ``EPILOG``; whether each is one is not checked.

    Raises:
        ValueError, OSError: no JSON list.
    """
    text = read_utf8(path)
    try:
        items = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    if not isinstance(items, list):
        raise ValueError(f"{path}: not a list of polygons")
    if items and _is_one_polygon(items):
        raise ValueError(f"{path}: holds points of one polygon; it takes a list of polygons: [[[x, y], ...], ...]")
    return items


def _is_one_polygon(items: list[Any]) -> bool:
    return all(isinstance(item, list) and len(item) == 2 and not isinstance(item[0], (list, dict)) for item in items)


def polygon_of(item: Any) -> Any:
    """What an entry of the list gives as its polygon; whether it is one is not checked.

    Raises:
        ValueError: an object without one.
    """
    from rectify.regions import BOX_KEYS, REGION_KEYS, region_of

    if isinstance(item, dict):
        try:
            region = region_of(item)
        except (TypeError, ValueError):
            raise ValueError("what it gives as its polygon is not a list of points [x, y]") from None
        if region is None:
            raise ValueError(f"has none of the keys {', '.join((*REGION_KEYS, *BOX_KEYS))}")
        return region
    if isinstance(item, list) and len(item) % 2 == 0 and all(isinstance(value, (int, float)) for value in item):
        return [item[i : i + 2] for i in range(0, len(item), 2)]
    return item


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rectify-ocr crop",
        description="Cut words out of a photo along polygons, and straighten them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help="the photo")
    parser.add_argument("polygons", type=Path, metavar="POLYGONS", help="JSON file of polygons, see below")
    parser.add_argument("-o", dest="output", type=out_folder, metavar="DIR", required=True, help="folder for the crops")
    parser.add_argument("--refine", action="store_true", help="correct each crop by what the network sees in it")
    parser.add_argument(
        "--margin",
        nargs=2,
        type=float,
        metavar=("ENDS", "SIDES"),
        help="space around the polygon, as shares of its length and height (default: none; with --refine 0.06 0.12)",
    )
    parser.add_argument(
        "--keep-order",
        action="store_true",
        help="the first half of the points is the text's top edge, in reading direction; otherwise text is taken to "
        "run from left to right",
    )
    parser.add_argument("--weights", type=Path, metavar="W", help="of the network, file or folder (default: shipped)")
    return parser
