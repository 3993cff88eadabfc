"""Colours a word: backgrounds, letters, outlines, shadows."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

FAINT = 10.0
"""Difference of mean colours, of 255, from which letters are seen on a plain ground."""
LOST = 0.45
"""The same as a share of the ground's own unrest."""

Rng = np.random.Generator
Image = NDArray[np.float32]

_NOISE = np.random.default_rng(20161219).standard_normal((512, 1024), dtype=np.float32)
"""Drawn once: fresh noise for every crop would cost as much as the rest of it."""


def paint(mask: Image, rng: Rng, sign: bool = False) -> Image:
    """A picture (H, W, 3) float32 in 0..255 of the word whose coverage is ``mask`` (H, W) float32 in 0..1.

    Args:
        sign: its letters may be solid, as those over shops are.
    """
    ground, ink = _colors(rng)
    image = background(mask.shape, ground, rng)
    letters = _ink(mask.shape, ink, rng)
    if sign and rng.random() < 0.2:
        image = _solid(image, mask, letters, rng)
    effect = rng.random()
    if effect < 0.14:
        image = _shadow(image, mask, ink, rng)
    elif effect < 0.26:
        image = _outlined(image, mask, ink, ground, rng)
    elif effect < 0.31:
        mask = _hollow(mask)
    opacity = np.float32(rng.uniform(0.75, 1.0) if rng.random() < 0.3 else 1.0)
    return _over(image, letters, mask * opacity)


def is_legible(image: NDArray[np.uint8], mask: Image) -> bool:
    """Whether the letters whose coverage is ``mask`` (0..1, of any size) still stand out in a picture (H, W, 3)."""
    weights = cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_AREA)[..., None]
    pixels = image.astype(np.float32)
    letters = (pixels * weights).sum((0, 1)) / max(1e-3, float(weights.sum()))
    rest = 1 - weights
    ground = (pixels * rest).sum((0, 1)) / max(1e-3, float(rest.sum()))
    unrest = np.sqrt((np.square(pixels - ground) * rest).sum((0, 1)) / max(1e-3, float(rest.sum())))
    contrast = np.abs(letters - ground)
    return bool(contrast.max() > FAINT and (contrast / (unrest + FAINT)).max() > LOST)


def noise(shape: tuple[int, ...], rng: Rng) -> Image:
    """Standard normal noise (H, W), cut from a fixed field at a random place and tiled where it is too small."""
    height, width = shape[:2]
    top, left = int(rng.integers(_NOISE.shape[0])), int(rng.integers(_NOISE.shape[1]))
    rows, columns = (np.arange(height) + top) % _NOISE.shape[0], (np.arange(width) + left) % _NOISE.shape[1]
    return _NOISE[rows[:, None], columns[None, :]]


def smooth_field(shape: tuple[int, ...], rng: Rng, most_knots: int = 6) -> Image:
    """A slowly changing field (H, W) in about 0..1."""
    knots = rng.random((int(rng.integers(2, most_knots)), int(rng.integers(2, most_knots + 3))), dtype=np.float32)
    return cv2.resize(knots, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def background(shape: tuple[int, ...], color: Image, rng: Rng) -> Image:
    """A ground of about one colour: plain, graded, blotched, grained, striped or made of blocks."""
    image = np.empty((*shape[:2], 3), np.float32)
    image[:] = color
    kind = rng.random()
    if kind < 0.25:
        return image
    spread = _spread(28, rng)
    if kind < 0.45:
        image += _ramp(shape, rng)[..., None] * spread * 1.5
    elif kind < 0.68:
        image += (smooth_field(shape, rng, 9)[..., None] - 0.5) * spread * 2.5
    elif kind < 0.82:
        grain = cv2.GaussianBlur(noise(shape, rng), (0, 0), float(rng.uniform(0.4, 2.5)))
        image += (grain * (1 / max(1e-3, float(grain.std()))))[..., None] * spread * np.float32(0.7)
    elif kind < 0.91:
        image += _stripes(shape, rng)[..., None] * spread
    else:
        _blocks(image, rng)
    return image


def _spread(deviation: float, rng: Rng) -> Image:
    """How far a colour strays, (3,) float32: mostly in brightness, as light and dirt make it."""
    brightness, hue = rng.normal(0, deviation), rng.normal(0, deviation, 3)
    share = rng.random() if rng.random() < 0.4 else 0.15
    return np.asarray((1 - share) * brightness + share * hue, np.float32)


def _colors(rng: Rng) -> tuple[Image, Image]:
    """(ground, ink), each (3,) float32; their luminances differ by at least 25 of 255, mostly by far more."""
    least = 25.0 if rng.random() < 0.12 else 60.0
    if rng.random() < 0.25:
        dark, light = rng.uniform(0, 60) * np.ones(3), rng.uniform(190, 255) * np.ones(3)
        pair = (dark, light)
    else:
        while True:
            pair = (_muted(rng.uniform(0, 255, 3), rng), _muted(rng.uniform(0, 255, 3), rng))
            if abs(_luminance(pair[0]) - _luminance(pair[1])) >= least:
                break
    ground, ink = pair if rng.random() < 0.5 else pair[::-1]
    return ground.astype(np.float32), ink.astype(np.float32)


def _muted(color: NDArray[np.float64], rng: Rng) -> NDArray[np.float64]:
    """The colour with less saturation: photographs hold more grey than the colour cube does."""
    share = rng.random()
    return share * color + (1 - share) * color.mean()


def _luminance(color: NDArray[np.floating]) -> float:
    return float(0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2])


def _ink(shape: tuple[int, ...], color: Image, rng: Rng) -> Image:
    """The letters' colour: (3,), or (H, W, 3) where it is graded or worn."""
    kind = rng.random()
    if kind < 0.75:
        return color
    spread = _spread(22, rng)
    field = _ramp(shape, rng) if kind < 0.88 else smooth_field(shape, rng, 9) - 0.5
    return color + field[..., None] * spread


def _ramp(shape: tuple[int, ...], rng: Rng) -> Image:
    """A linear field (H, W) in about -1..1 in a random direction."""
    angle = rng.uniform(0, 2 * math.pi)
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    return np.float32(math.cos(angle)) * x + np.float32(math.sin(angle)) * y


def _stripes(shape: tuple[int, ...], rng: Rng) -> Image:
    period = rng.uniform(3, 24)
    angle = rng.uniform(0, math.pi)
    x = np.arange(shape[1], dtype=np.float32)[None, :] * np.float32(math.cos(angle) * 2 * math.pi / period)
    y = np.arange(shape[0], dtype=np.float32)[:, None] * np.float32(math.sin(angle) * 2 * math.pi / period)
    wave = np.sin(x + y)
    return np.sign(wave) if rng.random() < 0.5 else wave


def _blocks(image: Image, rng: Rng) -> None:
    """A few rectangles and lines of other colours, as window frames, seams and pictures leave behind text."""
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, 5))):
        color = (image[0, 0] + rng.normal(0, 40, 3)).tolist()
        x0, x1 = (int(value) for value in rng.integers(-width // 4, width + width // 4, 2))
        y0, y1 = (int(value) for value in rng.integers(-height // 4, height + height // 4, 2))
        if rng.random() < 0.6:
            cv2.rectangle(image, (x0, y0), (x1, y1), color, -1)
        else:
            cv2.line(image, (x0, y0), (x1, y1), color, int(rng.integers(1, 4)), cv2.LINE_AA)


def _shadow(image: Image, mask: Image, ink: Image, rng: Rng) -> Image:
    reach = max(1.0, 0.06 * mask.shape[0])
    shift = np.array([[1, 0, rng.normal(0, reach)], [0, 1, rng.normal(0, reach)]], np.float32)
    cast = cv2.warpAffine(mask, shift, mask.shape[::-1])
    if rng.random() < 0.6:
        cast = cv2.GaussianBlur(cast, (0, 0), float(rng.uniform(0.5, reach)))
    dark = np.zeros(3, np.float32) if _luminance(ink) > 90 else rng.uniform(120, 255, 3).astype(np.float32)
    return _over(image, dark, cast * np.float32(rng.uniform(0.3, 0.8)))


def _solid(image: Image, mask: Image, letters: Image, rng: Rng) -> Image:
    """The sides of letters that stand out from their wall, seen from aside: darker or lighter than their fronts."""
    depth = max(1.0, float(rng.uniform(0.03, 0.12)) * mask.shape[0])
    angle = rng.uniform(0, 2 * math.pi)
    side = letters * np.float32(rng.uniform(0.25, 0.75) if rng.random() < 0.75 else rng.uniform(1.2, 1.5))
    steps = np.linspace(depth, 0, 2 + round(depth))[:-1]
    covered = np.zeros_like(mask)
    for step in steps:
        shift = np.array([[1, 0, step * math.cos(angle)], [0, 1, step * math.sin(angle)]], np.float32)
        np.maximum(covered, cv2.warpAffine(mask, shift, mask.shape[::-1]), out=covered)
    return _over(image, side, covered)


def _outlined(image: Image, mask: Image, ink: Image, ground: Image, rng: Rng) -> Image:
    """A rim of another colour around the letters."""
    width = 2 * int(rng.integers(1, 3)) + 1
    rim = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
    color = 255 - ink if rng.random() < 0.5 else rng.uniform(0, 255, 3).astype(np.float32)
    if abs(_luminance(color) - _luminance(ink)) < 40:
        color = ground * np.float32(0.5)
    return _over(image, color.astype(np.float32), rim)


def _hollow(mask: Image) -> Image:
    """Only the contours of the letters; letters too thin to have an inside stay as they are."""
    inside = cv2.erode(mask, np.ones((3, 3), np.uint8))
    hollow = np.clip(mask - inside, 0, 1)
    return hollow if float(inside.sum()) > 0.35 * float(mask.sum()) else mask


def _over(image: Image, color: Image, alpha: Image) -> Image:
    return image + (color - image) * alpha[..., None]
