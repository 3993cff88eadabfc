"""Draws a contact sheet of a dataset's samples with their numbers and labels."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from data.reader import LmdbReader
from rectify.images import Image, read_image

CELL = (200, 64)
"""Width and height of a picture's place on the sheet, pixels."""
CAPTION = 20
GAP = 6
ENLARGE = 3.0
"""The most a small picture is enlarged; beyond it shows nothing more."""

_INK, _PAPER, _FRAME, _WRONG = (30, 30, 30), 255, 225, (200, 0, 0)


def choose(samples: int, count: int, start: int = 1, seed: int | None = None) -> list[int]:
    """Indices, from 0, of the samples to show: ``count`` from number ``start`` on, or drawn at random with ``seed``.

    Raises:
        ValueError: no samples, or ``start`` is beyond the last one.
    """
    if not samples:
        raise ValueError("the dataset has no samples")
    if seed is not None:
        return sorted(random.Random(seed).sample(range(samples), min(count, samples)))
    if not 1 <= start <= samples:
        raise ValueError(f"there is no sample {start}; the dataset has {samples}")
    return list(range(start - 1, min(start - 1 + count, samples)))


def contact_sheet(reader: LmdbReader, indices: Sequence[int], columns: int = 6) -> Image:
    """A sheet of samples, row by row; one that cannot be read is shown by its reason, in red.

    Args:
        reader: the dataset.
        indices: the samples, from 0, at least one.
        columns: pictures in a row.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    columns = min(columns, len(indices))
    rows = math.ceil(len(indices) / columns)
    step_x, step_y = CELL[0] + GAP, CELL[1] + CAPTION + GAP
    sheet = np.full((rows * step_y + GAP, columns * step_x + GAP, 3), _PAPER, np.uint8)
    for place, index in enumerate(indices):
        row, column = divmod(place, columns)
        top, left = GAP + row * step_y, GAP + column * step_x
        # A view of the sheet: whatever is drawn ends at the cell's own border.
        _draw_sample(sheet[top : top + CELL[1] + CAPTION, left : left + CELL[0]], reader, index)
    return sheet


def _draw_sample(cell: Image, reader: LmdbReader, index: int) -> None:
    picture = cell[: CELL[1]]
    picture[:] = _FRAME
    try:
        _place(picture, read_image(reader.image_bytes(index)))
    except ValueError as error:
        _write(picture, _reason(reader, error), CELL[1] // 2, _WRONG)
    try:
        caption, color = reader.label(index), _INK
    except ValueError as error:
        caption, color = _reason(reader, error), _WRONG
    _write(cell, f"{index + 1}: {caption}", CELL[1] + CAPTION - 6, color)


def _reason(reader: LmdbReader, error: ValueError) -> str:
    return str(error).removeprefix(f"{reader.folder}: ")


def _place(cell: Image, image: Image) -> None:
    """Put an image into the middle of a cell, as large as it goes in its own proportions."""
    height, width = image.shape[:2]
    scale = min(cell.shape[1] / width, cell.shape[0] / height, ENLARGE)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (cell.shape[0] - size[1]) // 2, (cell.shape[1] - size[0]) // 2
    cell[top : top + size[1], left : left + size[0]] = resized


def _write(cell: Image, text: str, baseline: int, color: tuple[int, int, int]) -> None:
    """One line of text, cut to the cell's width. OpenCV draws ASCII, so other characters are written as escapes."""
    text = "".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in text)
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.42
    limit = cell.shape[1] - 4
    while len(text) > 3 and cv2.getTextSize(text, font, scale, 1)[0][0] > limit:
        text = f"{text[:-4]}..."
    # putText wants an array of its own; the view of the sheet gets the result.
    drawn: NDArray[np.uint8] = np.ascontiguousarray(cell)
    cv2.putText(drawn, text, (2, baseline), font, scale, color, 1, cv2.LINE_AA)
    cell[:] = drawn
