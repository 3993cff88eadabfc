"""Affine maps: six parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rectify.arrays import Array
from rectify.families.family import Family, columns, coordinates, joined


@dataclass(frozen=True)
class Affine(Family):
    """x' = a·x + b·y + c, y' = d·x + e·y + f; parameters (a, b, c, d, e, f), a 2 × 3 matrix row by row.

    Source: Jaderberg et al., Spatial Transformer Networks, NIPS 2015, section 3.2.
    """

    parameters = 6

    def identity(self) -> NDArray[np.float64]:
        return np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])

    def transform(self, theta: Array, points: Array) -> Array:
        a, b, c, d, e, f = columns(theta)
        x, y = coordinates(points)
        return joined(a * x + b * y + c, d * x + e * y + f)

    def transform_back(self, theta: Array, points: Array) -> Array:
        a, b, c, d, e, f = columns(theta)
        x, y = coordinates(points)
        x, y = x - c, y - f
        determinant = a * e - b * d
        return joined((e * x - b * y) / determinant, (a * y - d * x) / determinant)
