"""Draws the geometry of a word: its curve, its shear, rotation and perspective, and the crop around it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from data.synth.geometry import Curve, WordGeometry
from rectify.conventions import Points

Rng = np.random.Generator
Matrix = NDArray[np.float64]

AREA = 64 * 192
"""Most pixels of a crop."""
TEXT_HEIGHT = (10.0, 56.0)
"""Range of the text height in pixels."""
MIN_SIDE = 8
SHORT = 1.3
"""Words of fewer text heights, a letter or two, stay flat and nearly upright: how they were bent could not be seen."""


def draw_geometry(
    length: float, characters: tuple[tuple[float, float], ...], rng: Rng, sign: bool = False
) -> WordGeometry:
    """Geometry for a flat word of ``length`` text heights.

    Args:
        sign: nearly straight and upright and tightly cropped, as most words of most photographs are.
    """
    curve = _sign_curve(length, rng) if sign else _curve(length, rng)
    plane = _sign_plane(length, rng) if sign else _plane(length, curve, rng)
    draft = WordGeometry((1, 1), length, curve, _rows(plane), characters)
    outline = draft.outline()
    left, top, right, bottom = _crop(outline, _sign_spaces(rng) if sign and length >= SHORT else _spaces(rng))
    width, height = right - left, bottom - top
    scale = _scale(width, height, rng)
    size = (max(MIN_SIDE, round(width * scale)), max(MIN_SIDE, round(height * scale)))
    to_crop = np.array([[2 / width, 0, -2 * left / width - 1], [0, 2 / height, -2 * top / height - 1], [0, 0, 1]])
    return WordGeometry(size, length, curve, _rows(to_crop @ plane), characters)


def _curve(length: float, rng: Rng) -> Curve:
    kind = rng.random()
    if kind < 0.47 or length < SHORT:
        return Curve()
    if kind < 0.91:
        # The inner edge keeps a radius of at least 0.4 text heights.
        angle = min(_skewed(rng, 0.15, math.pi, 1.6), length / 0.9)
        return Curve("arc", angle if rng.random() < 0.65 else -angle)
    cycles = rng.uniform(0.5, 1.25)
    # The slope stays under about 40 degrees.
    most = min(0.45, 0.85 * length / (2 * math.pi * cycles))
    return Curve("wave", rng.uniform(0.05, 1) * most, cycles, rng.uniform(0, 2 * math.pi))


def _sign_curve(length: float, rng: Rng) -> Curve:
    if rng.random() < 0.93 or length < SHORT:
        return Curve()
    angle = min(rng.uniform(0.1, 0.6), length / 0.9)
    return Curve("arc", angle if rng.random() < 0.6 else -angle)


def _plane(length: float, curve: Curve, rng: Rng) -> Matrix:
    """Shear, rotation and perspective of bent coordinates, in text heights; the result has no frame yet."""
    if length < SHORT:
        return _rotation(rng, 0.4) @ _shear(rng)
    return _rotation(rng) @ _perspective(length, curve, rng) @ _shear(rng)


def _sign_plane(length: float, rng: Rng) -> Matrix:
    turn = _turn(rng.normal(0, 2 if rng.random() < 0.8 else 6))
    if rng.random() < 0.5:
        return turn @ _shear(rng)
    reach = max(1.0, length / 2)
    across = max(-0.25, min(0.25, rng.normal(0, 0.09)))
    slope = rng.normal(0, 0.5) * across
    return turn @ np.array([[1, 0, 0], [slope, 1, 0], [across / reach, 0, 1.0]]) @ _shear(rng)


def _shear(rng: Rng) -> Matrix:
    slant = rng.normal(0, 0.12) if rng.random() < 0.4 else 0.0
    stretch = math.exp(rng.normal(0, 0.16))
    return np.array([[stretch, -slant, 0], [0, 1, 0], [0, 0, 1.0]])


def _rotation(rng: Rng, share: float = 1.0) -> Matrix:
    kind = rng.random()
    if kind < 0.50:
        degrees = rng.normal(0, 3)
    elif kind < 0.88:
        degrees = rng.normal(0, 14)
    else:
        degrees = rng.uniform(-50, 50)
    return _turn(share * max(-60.0, min(60.0, degrees)))


def _turn(degrees: float) -> Matrix:
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])


def _perspective(length: float, curve: Curve, rng: Rng) -> Matrix:
    """The far end is at most 2.2 times as small as the near one."""
    if rng.random() < 0.45:
        return np.eye(3)
    reach = max(1.0, length / 2)
    if curve.kind == "arc":
        reach = max(1.0, min(reach, abs(length / curve.amount) + 0.5))
    across, down = rng.normal(0, 0.17), rng.normal(0, 0.10)
    across, down = (max(-0.38, min(0.38, value)) for value in (across, down))
    # Seen aslant, a sign also turns its lines: a shear down along the word goes with the change of size.
    slope = rng.normal(0, 0.6) * across
    return np.array([[1, 0, 0], [slope, 1, 0], [across / reach, down / max(1.0, reach / 2), 1.0]])


def _crop(outline: Points, spaces: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of the crop: the outline's bounds and the spaces around them, in text heights."""
    (left, top), (right, bottom) = outline.min(0), outline.max(0)
    count = len(outline) // 2
    text_height = float(np.linalg.norm(outline[:count] - outline[count:][::-1], axis=1).mean())
    left, top, right, bottom = np.array([left, top, right, bottom]) + spaces * text_height * np.array([-1, -1, 1, 1])
    return float(left), float(top), float(right), float(bottom)


def _spaces(rng: Rng) -> NDArray[np.float64]:
    """What annotators and detectors leave around a word on its four sides, in text heights."""
    kind = rng.random()
    if kind < 0.55:
        return rng.uniform(-0.04, 0.16, 4)
    if kind < 0.90:
        return rng.uniform(0.0, 0.45, 4)
    return rng.uniform(0.0, 1.1, 4)


def _sign_spaces(rng: Rng) -> NDArray[np.float64]:
    """The same where boxes are drawn by hand: sometimes into the word."""
    return rng.uniform(-0.08, 0.14, 4) if rng.random() < 0.7 else rng.uniform(0.0, 0.4, 4)


def _scale(width: float, height: float, rng: Rng) -> float:
    """Pixels per text height, within ``TEXT_HEIGHT`` and ``AREA``."""
    low, high = TEXT_HEIGHT
    wanted = math.exp(rng.uniform(math.log(low), math.log(high * 1.3)))
    return min(wanted, high, math.sqrt(AREA / (width * height)))


def _skewed(rng: Rng, low: float, high: float, power: float) -> float:
    """Between low and high, the more often near low the higher the power."""
    return low + (high - low) * rng.random() ** power


def _rows(matrix: Matrix) -> tuple[tuple[float, float, float], ...]:
    return tuple((float(a), float(b), float(c)) for a, b, c in matrix)


def flat_coordinates(geometry: WordGeometry) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Flat coordinates (x, y), each (H, W) float32, of every pixel centre of the crop.

    float32 is good to a hundredth of a pixel here and twice as fast as float64.
    """
    width, height = geometry.size
    inverse = np.linalg.inv(np.asarray(geometry.matrix)).astype(np.float32)
    x = ((2 * np.arange(width, dtype=np.float32) + 1) / width - 1)[None, :]
    y = ((2 * np.arange(height, dtype=np.float32) + 1) / height - 1)[:, None]
    depth = inverse[2, 0] * x + inverse[2, 1] * y + inverse[2, 2]
    bent_x = (inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]) / depth
    bent_y = (inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]) / depth
    flat_x, flat_y = geometry.curve.straighten(bent_x, bent_y, np.float32(geometry.length))
    return flat_x * np.float32(2 / geometry.length), flat_y * np.float32(2)
