"""One transform after another, as a family of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rectify.arrays import Array, without_autocast
from rectify.families.family import Family


@dataclass(frozen=True)
class Composition(Family):
    """The picture sampled by ``first`` and the result by ``then``, in one sampling of the source.

    A point of the output goes through ``then`` into the frame between the two, and from there through ``first`` into
    the source. The parameters are those of ``first`` followed by those of ``then``. Compositions nest.
    """

    first: Family
    then: Family

    @property
    def parameters(self) -> int:
        return self.first.parameters + self.then.parameters

    def identity(self) -> NDArray[np.float64]:
        return np.concatenate([self.first.identity(), self.then.identity()])

    def transform(self, theta: Array, points: Array) -> Array:
        outer, inner = self._parts(theta)
        return self.first.transform(outer, self.then.transform(inner, points))

    def transform_back(self, theta: Array, points: Array) -> Array:
        outer, inner = self._parts(theta)
        return self.then.transform_back(inner, self.first.transform_back(outer, points))

    def grid(self, theta: Array, height: int, width: int) -> Array:
        """As in ``Family``; the inner family makes its grid its own way."""
        outer, inner = self._parts(self.checked(theta))
        between = self.then.grid(inner, height, width).reshape(-1, height * width, 2)
        with without_autocast(theta):
            return self.first.transform(outer, between).reshape(-1, height, width, 2)

    def _parts(self, theta: Array) -> tuple[Array, Array]:
        return theta[:, : self.first.parameters], theta[:, self.first.parameters :]
