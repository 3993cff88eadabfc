"""Digits distorted as in the spatial transformer paper, section 4.1: drawn anew for each batch, on black.

R    rotation within ±90°
RTS  rotation within ±45°, scale 0.7 to 1.2, anywhere in a 42 × 42 image
P    scale 0.75 to 1, then each corner of the digit's square moved by a normal deviate of 5 pixels
E    scale 0.75 to 1, then 4 × 4 control points of a thin-plate spline moved by a normal deviate of 1.5 pixels
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from rectify.families import Projective, Similarity, ThinPlateSpline
from rectify.sampler import sample

SIDE = 28
"""Of a digit's square, in pixels; distances below are in these pixels."""
HALF = SIDE / 2
RTS_SIDE = 42
ELASTIC = ThinPlateSpline(4, 4)
BORDER = 4

Distortion = Callable[[Tensor, Generator], Tensor]
"""From digits (N, 1, 28, 28) to distorted ones (N, 1, S, S)."""


def drawn(digits: Tensor, points: Tensor) -> Tensor:
    """Digits (N, 1, 28, 28) sampled at points (N, h, w, 2) normalised in their squares; black outside of them."""
    padded = F.pad(digits, [BORDER] * 4)
    return sample(padded, points * (SIDE / (SIDE + 2 * BORDER)))


def rotated(digits: Tensor, angles: Tensor) -> Tensor:
    """Digits turned about their middle by angles (N,) in radians, clockwise as seen."""
    return drawn(digits, Similarity().grid(_turned_back(angles), SIDE, SIDE))


def rotation(degrees: float, center: float = 0.0) -> Distortion:
    """Rotation within ±``degrees`` of ``center``."""

    def distort(digits: Tensor, generator: Generator) -> Tensor:
        return rotated(digits, angles_within(len(digits), degrees, center, generator))

    return distort


def angles_within(count: int, degrees: float, center: float, generator: Generator) -> Tensor:
    """Random angles (count,) in radians within ±``degrees`` of ``center``."""
    return torch.deg2rad(uniform(count, center - degrees, center + degrees, generator))


def rotation_translation_scale(digits: Tensor, generator: Generator, strength: float = 1.0) -> Tensor:
    """RTS; a ``strength`` under 1 turns, scales and moves by that share of it."""
    count = len(digits)
    angles = strength * angles_within(count, 45, 0, generator)
    scales = uniform(count, 0.7, 1.2, generator) ** strength
    room = strength * (RTS_SIDE / 2 - HALF * scales)[:, None]
    places = room * (2 * torch.rand(count, 2, generator=generator) - 1)
    return placed(digits, angles, scales, places, RTS_SIDE)


def placed(digits: Tensor, angles: Tensor, scales: Tensor, places: Tensor, side: int) -> Tensor:
    """Digits turned, scaled and put on a black square canvas.

    Args:
        angles, scales: (N,), radians, factors.
        places: (N, 2) of the digits' middles, in pixels from the canvas' middle.
        side: of the canvas, pixels.
    """
    turn = _turned_back(angles)[:, :2] / scales[:, None]
    # The canvas' points, enlarged to the digit's units, less the place, turned and scaled back.
    moved = Similarity().map(torch.cat([turn, torch.zeros_like(turn)], 1), -places[:, None] / HALF)[:, 0]
    theta = torch.cat([turn * side / SIDE, moved], 1)
    return drawn(digits, Similarity().grid(theta, side, side))


def projective(digits: Tensor, generator: Generator) -> Tensor:
    """P."""
    square = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    quads = torch.empty(len(digits), 4, 2)
    bad = torch.ones(len(digits), dtype=torch.bool)
    while bad.any():  # a folded quad has no projective map, and in a sliver nothing is left to read
        count = int(bad.sum())
        scales = uniform(count, 0.75, 1.0, generator)
        quads[bad] = scales[:, None, None] * square + torch.randn(count, 4, 2, generator=generator) * (5 / HALF)
        bad = ~_convex(quads)
    return drawn(digits, Projective().grid(homography(quads, square), SIDE, SIDE))


def homography(quads: Tensor, square: Tensor) -> Tensor:
    """Parameters (N, 8) of the projective maps that take quads (N, 4, 2) to a square (4, 2)."""
    x, y = quads.double().unbind(-1)
    u, v = square.double().expand_as(quads).unbind(-1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    rows = [
        torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], -1),
        torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], -1),
    ]
    return torch.linalg.solve(torch.cat(rows, 1), torch.cat([u, v], 1)).float()


def elastic(digits: Tensor, generator: Generator) -> Tensor:
    """E."""
    scales = uniform(len(digits), 0.75, 1.0, generator)
    canonical = torch.from_numpy(ELASTIC.identity()).float()
    moved = torch.randn(len(digits), ELASTIC.parameters, generator=generator) * (1.5 / HALF)
    return drawn(digits, ELASTIC.grid(canonical / scales[:, None] + moved, SIDE, SIDE))


DISTORTIONS: dict[str, Distortion] = {
    "R": rotation(90),
    "RTS": rotation_translation_scale,
    "P": projective,
    "E": elastic,
}

SIDES = {"R": SIDE, "RTS": RTS_SIDE, "P": SIDE, "E": SIDE}
"""Side of the distorted images."""


def uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    """Random (count,) in low..high."""
    return low + (high - low) * torch.rand(count, generator=generator)


def _turned_back(angles: Tensor) -> Tensor:
    """Parameters (N, 4) of the similarity that undoes a turn."""
    zero = torch.zeros_like(angles)
    return torch.stack([angles.cos(), -angles.sin(), zero, zero], 1)


def _convex(quads: Tensor, least: float = 0.4) -> Tensor:
    """Which quads (N, 4, 2) are convex, clockwise as the square is and no slivers: the cross product of the sides at
    each corner, 4 for the square of the whole image, is at least so large."""
    edges = quads.roll(-1, 1) - quads
    following = edges.roll(-1, 1)
    crosses = edges[..., 0] * following[..., 1] - edges[..., 1] * following[..., 0]
    return (crosses > least).all(1)
