"""Projective maps: eight parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rectify.arrays import Array, namespace
from rectify.families.family import Family, columns, coordinates, joined

NEAREST = 0.05
"""Least denominator. At zero lies the horizon, where a network in training would meet infinite gradients; points
beyond it, behind the camera, are held in front of it."""


@dataclass(frozen=True)
class Projective(Family):
    """x' = (a·x + b·y + c) / w, y' = (d·x + e·y + f) / w with w = g·x + h·y + 1; parameters (a, b, c, d, e, f, g, h).

    A homography row by row, its last entry fixed at one; with g = h = 0 it is the affine map.
    """

    parameters = 8

    def identity(self) -> NDArray[np.float64]:
        return np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])

    def transform(self, theta: Array, points: Array) -> Array:
        a, b, c, d, e, f, g, h = columns(theta)
        x, y = coordinates(points)
        w = namespace(theta).clip(g * x + h * y + 1, NEAREST, None)
        return joined((a * x + b * y + c) / w, (d * x + e * y + f) / w)

    def transform_back(self, theta: Array, points: Array) -> Array:
        a, b, c, d, e, f, g, h = columns(theta)
        x, y = coordinates(points)
        # Rows of the adjugate of the homography; its scale cancels.
        u = (e - f * h) * x + (c * h - b) * y + (b * f - c * e)
        v = (f * g - d) * x + (a - c * g) * y + (c * d - a * f)
        w = (d * h - e * g) * x + (b * g - a * h) * y + (a * e - b * d)
        return joined(u / w, v / w)
