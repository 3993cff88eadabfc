"""What every family of transforms offers."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from rectify.arrays import Array, full_precision, like, namespace, without_autocast
from rectify.conventions import pixel_grid


class Family(ABC):
    """Maps from the output's frame to the source image, told apart by P parameters.

    A spatial transformer samples its source where ``map`` takes the output's pixel centres, so a map that shrinks the
    points enlarges the picture. Points are (x, y) in the conventions' normalised coordinates.

    A family of one's own says how many ``parameters`` it has, which are the ``identity``, and in ``transform`` where
    they take points; see ``families/similarity.py``. Its formulas serve numpy arrays and torch tensors alike.
    """

    @property
    @abstractmethod
    def parameters(self) -> int:
        """How many numbers make one map, P."""

    @abstractmethod
    def identity(self) -> NDArray[np.float64]:
        """The parameters (P,) that leave every point where it is."""

    @abstractmethod
    def transform(self, theta: Array, points: Array) -> Array:
        """Where maps take points; ``map`` prepares what comes here.

        Args:
            theta: (N, P) float32 or float64.
            points: (N or 1, M, 2), same dtype.

        Returns:
            (N, M, 2).
        """

    def transform_back(self, theta: Array, points: Array) -> Array:
        """The opposite of ``transform``; families without a closed inverse leave it out."""
        raise NotImplementedError(f"{self} has no closed inverse")

    def map(self, theta: Array, points: Array) -> Array:
        """Points of the source that belong to points of the output.

        Args:
            theta: (N, P) parameters, numpy or torch, any float dtype.
            points: (M, 2) for all maps or (N, M, 2), one set for each.

        Returns:
            (N, M, 2) of theta's kind, differentiable in both; float32 (float64 for float64 parameters), under
            autocast too: in half precision points would be off by more than a pixel.

        Raises:
            ValueError: theta is not (N, P).
        """
        theta, points = self._prepared(theta, points)
        with without_autocast(theta):
            return self.transform(theta, points)

    def inverse(self, theta: Array, points: Array) -> Array:
        """Points of the output that belong to points of the source; shapes and dtypes as in ``map``.

        Raises:
            NotImplementedError: the family has no closed inverse.
        """
        theta, points = self._prepared(theta, points)
        with without_autocast(theta):
            return self.transform_back(theta, points)

    def grid(self, theta: Array, height: int, width: int) -> Array:
        """Sampling grid (N, height, width, 2): where the maps take an output's pixel centres."""
        return self.map(theta, pixel_grid(height, width)).reshape(-1, height, width, 2)

    def checked(self, theta: Array) -> Array:
        """theta (N, P) in full precision."""
        if theta.ndim != 2 or theta.shape[1] != self.parameters:
            raise ValueError(f"{self} takes parameters (N, {self.parameters}), got {tuple(theta.shape)}")
        return full_precision(theta)

    def _prepared(self, theta: Array, points: Array) -> tuple[Array, Array]:
        theta = self.checked(theta)
        points = like(theta, points)
        return theta, points if points.ndim == 3 else points[None]


def columns(theta: Array) -> list[Array]:
    """Each parameter of theta (N, P) as (N, 1), to be combined with coordinates (N, M)."""
    return [theta[:, index, None] for index in range(theta.shape[1])]


def coordinates(points: Array) -> tuple[Array, Array]:
    """x and y of points (..., 2)."""
    return points[..., 0], points[..., 1]


def joined(x: Array, y: Array) -> Array:
    """Points (..., 2) from their coordinates."""
    return namespace(x).stack((x, y), axis=-1)
