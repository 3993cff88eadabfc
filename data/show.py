"""Draws a contact sheet of a dataset's samples with their numbers and labels."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from data.escapes import escaped
from data.reader import LmdbReader
from rectify.images import Image, read_image

CELL = (200, 64)
"""Width and height of a picture's place on the sheet, pixels."""
CAPTION = 20
GAP = 6
ENLARGE = 3.0
"""The most a small picture is enlarged; beyond it shows nothing more."""

FONT_SIZE = 14
"""Pixels to the em of captions in a font of the user's."""

Write = Callable[[Image, str, int, tuple[int, int, int]], None]
"""Draws a text into an image, on a baseline (row), in a colour."""

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


def contact_sheet(
    reader: LmdbReader, indices: Sequence[int], columns: int = 6, font: str | os.PathLike[str] | None = None
) -> Image:
    """A sheet of samples, row by row; one that cannot be read is shown by its reason, in red.

    Args:
        reader: the dataset.
        indices: the samples, from 0, at least one.
        columns: pictures in a row.
        font: file of the font that labels are written in; without one, characters beyond ASCII are written as escapes.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: not a font.
    """
    write = _write_ascii if font is None else _writer(font)
    columns = min(columns, len(indices))
    rows = math.ceil(len(indices) / columns)
    step_x, step_y = CELL[0] + GAP, CELL[1] + CAPTION + GAP
    sheet = np.full((rows * step_y + GAP, columns * step_x + GAP, 3), _PAPER, np.uint8)
    for place, index in enumerate(indices):
        row, column = divmod(place, columns)
        top, left = GAP + row * step_y, GAP + column * step_x
        # A view of the sheet: whatever is drawn ends at the cell's own border.
        _draw_sample(sheet[top : top + CELL[1] + CAPTION, left : left + CELL[0]], reader, index, write)
    return sheet


def _draw_sample(cell: Image, reader: LmdbReader, index: int, write: Write) -> None:
    picture = cell[: CELL[1]]
    picture[:] = _FRAME
    try:
        _place(picture, read_image(reader.image_bytes(index)))
    except ValueError as error:
        write(picture, _reason(reader, error), CELL[1] // 2, _WRONG)
    try:
        caption, color = reader.label(index), _INK
    except ValueError as error:
        caption, color = _reason(reader, error), _WRONG
    write(cell, f"{index + 1}: {caption}", CELL[1] + CAPTION - 6, color)


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


def _writer(path: str | os.PathLike[str]) -> Write:
    """Writes a line of text in a font, cut to the cell's width."""
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    try:
        font = ImageFont.truetype(str(path), FONT_SIZE)
    except OSError:
        raise ValueError(f"{path}: not a font that can be read") from None

    def write(cell: Image, text: str, baseline: int, color: tuple[int, int, int]) -> None:
        text = escaped(text)  # a line break would be drawn as one
        while len(text) > 3 and font.getlength(text) > cell.shape[1] - 4:
            text = f"{text[:-4]}..."
        drawn = Pillow.fromarray(np.ascontiguousarray(cell))
        ImageDraw.Draw(drawn).text((2, baseline), text, fill=color, font=font, anchor="ls")
        cell[:] = np.asarray(drawn)

    return write


def _write_ascii(cell: Image, text: str, baseline: int, color: tuple[int, int, int]) -> None:
    """One line of text, cut to the cell's width. OpenCV draws ASCII, so other characters are written as escapes."""
    text = escaped(text, lambda character: " " <= character <= "~")
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.42
    limit = cell.shape[1] - 4
    while len(text) > 3 and cv2.getTextSize(text, font, scale, 1)[0][0] > limit:
        text = f"{text[:-4]}..."
    # putText wants an array of its own; the view of the sheet gets the result.
    drawn: NDArray[np.uint8] = np.ascontiguousarray(cell)
    cv2.putText(drawn, text, (2, baseline), font, scale, color, 1, cv2.LINE_AA)
    cell[:] = drawn
