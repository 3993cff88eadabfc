"""Thin-plate splines on a grid of control points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rectify.arrays import Array, like, namespace, without_autocast
from rectify.conventions import canonical_points, pixel_grid
from rectify.families.family import Family
from rectify.tps import grid_basis, tps_basis, tps_map


@dataclass(frozen=True)
class ThinPlateSpline(Family):
    """The smoothest map that takes the canonical points of a rows × cols grid to the control points.

    The 2·rows·cols parameters are the control points, x then y, row by row from the top left. It has no closed
    inverse.

    Source: Bookstein, "Principal Warps", PAMI 1989; Jaderberg et al., NIPS 2015, section 3.2.
    """

    rows: int = 4
    cols: int = 4

    def __post_init__(self) -> None:
        canonical_points(self.rows, self.cols)  # refuses grids that are too small

    @property
    def parameters(self) -> int:
        return 2 * self.rows * self.cols

    def identity(self) -> NDArray[np.float64]:
        return canonical_points(self.rows, self.cols).flatten()

    def transform(self, theta: Array, points: Array) -> Array:
        return points + like(points, tps_map(points, self._moved(theta), self.rows, self.cols))

    def grid(self, theta: Array, height: int, width: int) -> Array:
        """As in ``Family``; one product with a basis that is kept."""
        theta = self.checked(theta)
        basis = grid_basis if theta.dtype == namespace(theta).float32 else _double_basis
        with without_autocast(theta):
            moved = like(theta, basis(self.rows, self.cols, height, width)) @ self._moved(theta)
            return (like(theta, pixel_grid(height, width)) + moved).reshape(-1, height, width, 2)

    def _moved(self, theta: Array) -> Array:
        """How far each control point is from its canonical place (N, K, 2).

        Splines reproduce affine maps, so moving points by the spline of these is the same as mapping them by the
        spline of the control points; but nothing is lost to rounding where nothing moves.
        """
        return (theta - like(theta, self.identity())).reshape(-1, self.rows * self.cols, 2)


def _double_basis(rows: int, cols: int, height: int, width: int) -> NDArray[np.float64]:
    return tps_basis(pixel_grid(height, width), rows, cols)
