"""Similarity maps: rotation, one scale, translation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rectify.arrays import Array
from rectify.families.family import Family, columns, coordinates, joined


@dataclass(frozen=True)
class Similarity(Family):
    """x' = a·x - b·y + c, y' = b·x + a·y + d; parameters (a, b, c, d).

    With a = s·cos φ and b = s·sin φ it turns by φ and scales by s; linear in its parameters, it knows no jump at 180°.
    The turn is one in normalised coordinates: the angle is as seen where the image is square.
    """

    parameters = 4

    def identity(self) -> NDArray[np.float64]:
        return np.array([1.0, 0.0, 0.0, 0.0])

    def transform(self, theta: Array, points: Array) -> Array:
        a, b, c, d = columns(theta)
        x, y = coordinates(points)
        return joined(a * x - b * y + c, b * x + a * y + d)

    def transform_back(self, theta: Array, points: Array) -> Array:
        a, b, c, d = columns(theta)
        x, y = coordinates(points)
        x, y = x - c, y - d
        squared = a * a + b * b
        return joined((a * x + b * y) / squared, (a * y - b * x) / squared)
