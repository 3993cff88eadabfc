"""Attention: maps that only look at an upright rectangle of the source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rectify.arrays import Array
from rectify.families.family import Family, columns, coordinates, joined


@dataclass(frozen=True)
class Attention(Family):
    """x' = s·x + c, y' = s·y + d; parameters (s, c, d): one scale and the middle of the rectangle.

    Source: Jaderberg et al., Spatial Transformer Networks, NIPS 2015, section 3.2, equation 2.
    """

    parameters = 3

    def identity(self) -> NDArray[np.float64]:
        return np.array([1.0, 0.0, 0.0])

    def transform(self, theta: Array, points: Array) -> Array:
        s, c, d = columns(theta)
        x, y = coordinates(points)
        return joined(s * x + c, s * y + d)

    def transform_back(self, theta: Array, points: Array) -> Array:
        s, c, d = columns(theta)
        x, y = coordinates(points)
        return joined((x - c) / s, (y - d) / s)


@dataclass(frozen=True)
class AttentionXY(Family):
    """x' = s·x + c, y' = t·y + d; parameters (s, t, c, d): a scale along each axis and the middle."""

    parameters = 4

    def identity(self) -> NDArray[np.float64]:
        return np.array([1.0, 1.0, 0.0, 0.0])

    def transform(self, theta: Array, points: Array) -> Array:
        s, t, c, d = columns(theta)
        x, y = coordinates(points)
        return joined(s * x + c, t * y + d)

    def transform_back(self, theta: Array, points: Array) -> Array:
        s, t, c, d = columns(theta)
        x, y = coordinates(points)
        return joined((x - c) / s, (y - d) / t)
