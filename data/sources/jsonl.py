"""JSON lines: an object a line with the picture's path, its label and, for words of a larger image, their region."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from data.sources.listing import IMAGE_COLUMNS, LABEL_COLUMNS, find_column
from data.sources.regions import ImageCutter
from data.sources.rows import BadRow, Item, Row
from data.sources.text import read_lines
from data.synth.geometry import WordGeometry
from rectify.regions import region_of


def read_jsonl(
    path: Path,
    images: Path | None = None,
    encoding: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
) -> Iterator[Item]:
    """Rows of a file of JSON lines; a row source for ``data.build``.

    Image paths are relative to ``images``, or to the file's folder. An object with a region (``rectify.regions``)
    gives the crop of that region; ``geometry``, as ``lmdb export`` writes it, is stored as it is.

    Args:
        image_column, label_column: the keys; None finds them among ``IMAGE_COLUMNS`` and ``LABEL_COLUMNS``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no such encoding, or the file is one JSON array.
    """
    cutter = ImageCutter()
    first = True
    for item in read_lines(path, encoding):
        if not isinstance(item, tuple):
            yield item
        elif item[1].strip():
            number, text = item
            if first and text.lstrip().startswith("["):
                raise ValueError(f"{path} is one JSON array; write one object a line (jq -c '.[]' does)")
            first = False
            yield _row(number, text, images or path.parent, cutter, image_column, label_column)


def _row(number: int, text: str, root: Path, cutter: ImageCutter, image_key: str | None, label_key: str | None) -> Item:
    try:
        values = json.loads(text)
    except ValueError as error:
        return BadRow(number, f"not JSON: {error}")
    if not isinstance(values, dict):
        return BadRow(number, "not a JSON object")
    found = []
    for key, known, name in ((image_key, IMAGE_COLUMNS, "path"), (label_key, LABEL_COLUMNS, "label")):
        column = find_column(list(values), key, known)
        value = None if column is None else values[column]
        if not isinstance(value, str):
            return BadRow(number, f"has no text under {key or ' or '.join(known)}, the {name}")
        if not value.strip():
            return BadRow(number, f"empty {name}")
        found.append(value)
    name, label = found[0].strip(), found[1]
    image = root / name
    try:
        region = region_of(values)
    except (ValueError, TypeError) as error:
        return BadRow(number, f"{name}: {error}")
    if region is not None:
        return cutter.row(number, image, region, label)
    geometry = values.get("geometry")
    try:
        WordGeometry.of(geometry if isinstance(geometry, dict) else None, name)
    except ValueError as error:
        return BadRow(number, str(error))
    extra = {"geometry": json.dumps(geometry, ensure_ascii=False).encode()} if isinstance(geometry, dict) else None
    return Row(number, image, label, extra)
