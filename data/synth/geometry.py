"""The analytic map from a flat word to its place in the crop, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rectify.conventions import TEXT_EXTENT, Points, canonical_points, to_pixels

Some = float | NDArray[np.float64]
"""A value of one word, or of several."""


@dataclass(frozen=True)
class Curve:
    """How the flat word is bent, in units of the text height, x along the word from its middle, y down.

    ``arc``: along a circle that the word covers by ``amount`` radians (positive: the middle is highest).
    ``wave``: ``amount`` text heights up and down, ``cycles`` periods along the word, from ``phase`` radians.
    ``flat``: not at all.
    """

    kind: str = "flat"
    amount: float = 0.0
    cycles: float = 0.0
    phase: float = 0.0

    def bend(self, x: Points, y: Points, length: float) -> tuple[Points, Points]:
        """Flat coordinates as bent ones; ``length`` is the word's, in text heights."""
        return _bend(self.kind, self.amount, self.cycles, self.phase, x, y, length)

    def straighten(self, x: Points, y: Points, length: float) -> tuple[Points, Points]:
        """The inverse of ``bend``."""
        if self.kind == "arc":
            radius = length / self.amount
            sign = np.sign(radius).astype(np.asarray(x).dtype)
            angle = np.arctan2(sign * x, sign * (radius - y))
            return radius * angle, radius - sign * np.hypot(x, radius - y)
        if self.kind == "wave":
            return x, y - _lift(self.amount, self.cycles, self.phase, x, length)
        return x, y


@dataclass(frozen=True)
class WordGeometry:
    """Where a synthetic word lies in its crop.

    Flat coordinates run over [-1, 1]² on the ink box of the flat word. The map bends them (``curve``) and takes the
    result to the crop by a plane projective ``matrix``, which holds shear, rotation and perspective.
    """

    size: tuple[int, int]
    """Crop (width, height) in pixels."""
    length: float
    """Ink length of the flat word in text heights."""
    curve: Curve
    matrix: tuple[tuple[float, float, float], ...]
    """3 × 3, from bent coordinates in text heights to normalised coordinates of the crop."""
    characters: tuple[tuple[float, float], ...] = ()
    """Horizontal extent of each character in flat coordinates."""
    heights: tuple[tuple[float, float], ...] = ()
    """Vertical extent (top, bottom) of each character likewise; none in sets of before it was kept."""

    def map(self, flat: Points) -> Points:
        """Flat points (M, 2) as normalised points (M, 2) of the crop."""
        flat = np.asarray(flat, np.float64)
        bent = self.curve.bend(flat[:, 0] * (self.length / 2), flat[:, 1] / 2, self.length)
        return project(np.asarray(self.matrix), np.stack(bent, axis=1))

    def control_points(self, rows: int, cols: int) -> Points:
        """True control points (rows·cols, 2), normalised in the crop, on the outline enlarged by the margin."""
        return self.map(_flat_points(rows, cols))

    def outline(self, samples: int = 17) -> Points:
        """The ink box in the crop, normalised (2·samples, 2): top edge rightwards, then bottom edge leftwards."""
        x = np.linspace(-1, 1, samples)
        top = np.column_stack([x, np.full(samples, -1.0)])
        return self.map(np.concatenate([top, -top]))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; ``outline`` and ``size`` are in pixels, for readers that want no formula."""
        fields = asdict(self)
        return {
            **fields,
            "outline": to_pixels(self.outline(), self.size).round(2).tolist(),
            "characters": [[round(a, 4), round(b, 4)] for a, b in self.characters],
            "heights": [[round(a, 4), round(b, 4)] for a, b in self.heights],
        }

    @classmethod
    def of(cls, fields: dict[str, Any] | None, name: str = "geometry") -> WordGeometry | None:
        """What a record's geometry says of the map; None for a word whose outline alone is known, or nothing.

        Args:
            name: what errors call it.

        Raises:
            ValueError: a field is missing.
        """
        try:
            return cls.from_json(fields) if fields and fields.get("kind") != "polygon" else None
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> WordGeometry:
        """The inverse of ``to_json``.

        Raises:
            ValueError: a field is missing.
        """
        try:
            matrix = np.array(fields["matrix"], np.float64)
            if matrix.shape != (3, 3):
                raise ValueError(f"its matrix has the shape {matrix.shape}")
            return cls(
                size=tuple(fields["size"]),
                length=fields["length"],
                curve=Curve(**fields["curve"]),
                matrix=tuple(tuple(row) for row in matrix.tolist()),
                characters=tuple((a, b) for a, b in fields["characters"]),
                heights=tuple((a, b) for a, b in fields.get("heights", ())),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not the geometry of a synthetic word: {error}") from error


def _bend(
    kind: str, amount: Some, cycles: Some, phase: Some, x: Points, y: Points, length: Some
) -> tuple[Points, Points]:
    """``Curve.bend`` for one curve, or for several of one kind whose values are broadcast against x and y."""
    if kind == "arc":
        radius = length / amount
        angle = x / radius
        return (radius - y) * np.sin(angle), radius - (radius - y) * np.cos(angle)
    if kind == "wave":
        return x, y + _lift(amount, cycles, phase, x, length)
    return x, y


def _lift(amount: Some, cycles: Some, phase: Some, x: Points, length: Some) -> Points:
    return amount * np.sin((2 * np.pi * cycles / length) * x + phase)


def control_points(geometries: Sequence[WordGeometry], rows: int, cols: int) -> Points:
    """``WordGeometry.control_points`` of N words (N, rows·cols, 2), computed together."""
    flat = _flat_points(rows, cols)
    bent = np.empty((len(geometries), *flat.shape))
    kinds = [geometry.curve.kind for geometry in geometries]
    for kind in set(kinds):
        members = [index for index, own in enumerate(kinds) if own == kind]
        curves = [
            (g.length, g.curve.amount, g.curve.cycles, g.curve.phase) for g in map(geometries.__getitem__, members)
        ]
        length, amount, cycles, phase = np.array(curves).T[:, :, None]
        x, y = flat[:, 0] * (length / 2), flat[:, 1] / 2
        bent[members, :, 0], bent[members, :, 1] = _bend(kind, amount, cycles, phase, x, y, length)
    return project(np.array([geometry.matrix for geometry in geometries]), bent)


@lru_cache(maxsize=8)
def _flat_points(rows: int, cols: int) -> Points:
    """The canonical control points in flat coordinates."""
    return canonical_points(rows, cols) / np.array(TEXT_EXTENT)


def project(matrix: NDArray[np.floating], points: Points) -> Points:
    """Points (..., M, 2) through 3 × 3 projective matrices (..., 3, 3)."""
    homogeneous = points @ matrix[..., :2].swapaxes(-1, -2) + matrix[..., None, :, 2]
    return homogeneous[..., :2] / homogeneous[..., 2:]
