"""The analytic map from a flat word to its place in the crop, and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rectify.conventions import TEXT_EXTENT, Points, canonical_points, to_pixels


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
        if self.kind == "arc":
            radius = length / self.amount
            angle = x / radius
            return (radius - y) * np.sin(angle), radius - (radius - y) * np.cos(angle)
        if self.kind == "wave":
            return x, y + self._lift(x, length)
        return x, y

    def straighten(self, x: Points, y: Points, length: float) -> tuple[Points, Points]:
        """The inverse of ``bend``."""
        if self.kind == "arc":
            radius = length / self.amount
            sign = np.sign(radius).astype(np.asarray(x).dtype)
            angle = np.arctan2(sign * x, sign * (radius - y))
            return radius * angle, radius - sign * np.hypot(x, radius - y)
        if self.kind == "wave":
            return x, y - self._lift(x, length)
        return x, y

    def _lift(self, x: Points, length: float) -> Points:
        return self.amount * np.sin((2 * np.pi * self.cycles / length) * x + self.phase)


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
    def of(cls, fields: dict[str, Any] | None) -> WordGeometry | None:
        """What a record's geometry says of the map; None for a word whose outline alone is known, or nothing.

        Raises:
            ValueError: a field is missing.
        """
        return cls.from_json(fields) if fields and fields.get("kind") != "polygon" else None

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> WordGeometry:
        """The inverse of ``to_json``.

        Raises:
            ValueError: a field is missing.
        """
        try:
            return cls(
                size=tuple(fields["size"]),
                length=fields["length"],
                curve=Curve(**fields["curve"]),
                matrix=tuple(tuple(row) for row in fields["matrix"]),
                characters=tuple((a, b) for a, b in fields["characters"]),
                heights=tuple((a, b) for a, b in fields.get("heights", ())),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the geometry of a synthetic word: {error}") from error


@lru_cache(maxsize=8)
def _flat_points(rows: int, cols: int) -> Points:
    """The canonical control points in flat coordinates."""
    return canonical_points(rows, cols) / np.array(TEXT_EXTENT)


def project(matrix: NDArray[np.floating], points: Points) -> Points:
    """Points (M, 2) through a 3 × 3 projective matrix."""
    homogeneous = points @ matrix[:, :2].T + matrix[:, 2]
    return homogeneous[:, :2] / homogeneous[:, 2:]
