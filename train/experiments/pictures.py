"""Sheets, outlines and animations as PNG and GIF."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from rectify.conventions import to_pixels

Picture = NDArray[np.uint8]
"""(H, W, 3) RGB."""

RED, GREEN = (255, 60, 60), (60, 220, 60)
GREY = 110
GAP = 4


def picture(image: Tensor, zoom: int = 3) -> Picture:
    """An image (C, h, w) in 0..1, each pixel enlarged to zoom × zoom; one channel is grey, two are red and green."""
    colors = image.expand(3, -1, -1) if len(image) == 1 else torch.cat([image, image.new_zeros(1, *image.shape[1:])])
    values = (colors.clamp(0, 1).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    return values.repeat(zoom, 0).repeat(zoom, 1)


def marked(
    base: Picture, lines: Sequence[tuple[Tensor, tuple[int, int, int]]] = (), points: Tensor | None = None
) -> Picture:
    """A picture with closed lines through points (K, 2), and points, all normalised in it."""
    image = Image.fromarray(base)
    draw = ImageDraw.Draw(image)
    for corners, color in lines:
        pixels = _in_pixels(corners, image.size)
        draw.line([*pixels, pixels[0]], fill=color, width=2)
    for x, y in _in_pixels(points, image.size) if points is not None else ():
        draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=GREEN)
    return np.asarray(image)


def outline(grid: Tensor) -> Tensor:
    """The points (K, 2) around a sampling grid (h, w, 2), clockwise from the top left."""
    top, right = grid[0], grid[1:, -1]
    bottom, left = grid[-1, :-1].flip(0), grid[1:-1, 0].flip(0)
    return torch.cat([top, right, bottom, left])


def box(sides: Tensor) -> Tensor:
    """The corners (4, 2) of a box (4,): left, top, right, bottom."""
    left, top, right, bottom = sides.tolist()
    return torch.tensor([[left, top], [right, top], [right, bottom], [left, bottom]])


def caption(text: str, width: int) -> Picture:
    """Dark text on the sheet's grey; the font that comes with Pillow has no ×."""
    image = Image.new("RGB", (width, 18), (GREY, GREY, GREY))
    ImageDraw.Draw(image).text((2, 2), text.replace("×", "x"), fill=(0, 0, 0), font=ImageFont.load_default(12))
    return np.asarray(image)


def sheet(rows: Sequence[Sequence[Picture]]) -> Picture:
    """Pictures side by side and row below row on grey; columns and rows are as large as what is in them."""
    columns = max(map(len, rows))
    widths = [max((row[x].shape[1] for row in rows if x < len(row)), default=0) for x in range(columns)]
    heights = [max((one.shape[0] for one in row), default=0) for row in rows]
    lefts, tops = (np.cumsum([GAP, *(side + GAP for side in sides)]) for sides in (widths, heights))
    page = np.full((tops[-1], lefts[-1], 3), GREY, np.uint8)
    for row, top in zip(rows, tops, strict=False):
        for one, left in zip(row, lefts, strict=False):
            page[top : top + one.shape[0], left : left + one.shape[1]] = one
    return page


def save_png(path: Path, image: Picture) -> None:
    """Write beside the target and move into place."""
    moved_into_place(path, lambda beside: Image.fromarray(image).save(beside, "PNG", optimize=True))


def save_gif(path: Path, frames: Sequence[Picture], milliseconds: int = 120) -> None:
    """An animation that runs for ever, its last frame shown longer."""
    first, *others = [Image.fromarray(frame).quantize(32) for frame in frames]
    durations = [milliseconds] * len(others) + [12 * milliseconds]
    moved_into_place(
        path,
        lambda beside: first.save(beside, "GIF", save_all=True, append_images=others, duration=durations, loop=0),
    )


def _in_pixels(points: Tensor, size: tuple[int, int]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in to_pixels(points.numpy().astype(np.float64), size)]


def moved_into_place(path: Path, save: Callable[[Path], None]) -> None:
    """Saves beside the target, so that a killed run leaves the old file whole."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
