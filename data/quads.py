"""The official quadrilaterals of photographed words, a file beside their dataset."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rectify.conventions import to_normalized

QUADS = "quads.jsonl"
"""Beside data.mdb, a line of JSON for each crop: ``{"index": number from 1, "size": [w, h], "quad": [[x, y] * 4]}``."""
VERTICAL = 1.5
"""A crop this many times higher than wide holds a vertical word, of whose reading direction a quad says nothing."""


@dataclass(frozen=True, eq=False)
class Quad:
    """The official quadrilateral of a real word."""

    size: tuple[int, int]
    """(width, height) of the crop in which it was drawn."""
    corners: NDArray[np.float64]
    """(4, 2) pixels of ``size``, clockwise from the top left."""

    @property
    def vertical(self) -> bool:
        """Whether the crop holds a vertical word."""
        return self.size[1] > VERTICAL * self.size[0]

    @property
    def usable(self) -> bool:
        """Whether it says where a word lies and which way it runs: a convex quadrilateral, and not a vertical word."""
        around = np.roll(self.corners, -1, axis=0) - self.corners
        following = np.roll(around, -1, axis=0)
        turns = around[:, 0] * following[:, 1] - around[:, 1] * following[:, 0]
        return not self.vertical and bool((turns > 0).all())

    def outline(self, samples: int, space: tuple[float, float] = (0.0, 0.0)) -> NDArray[np.float64]:
        """The word's outline in the crop as ``tps.text_outline`` gives it, normalised (2·samples, 2).

        The points lie along the edges as those of a flat word seen in the perspective that makes the quadrilateral.

        Args:
            space: that the quadrilateral leaves around the letters, in text heights, at the ends, and above and below.
        """
        corners = to_normalized(self.corners, self.size)
        square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
        matrix = cv2.getPerspectiveTransform(square, corners.astype(np.float32))
        along, across = self._share_of_text(space)
        x = np.linspace(-along, along, samples)
        top = np.column_stack([x, np.full(samples, -across)])
        return cv2.perspectiveTransform(np.concatenate([top, -top])[None], matrix)[0]

    def _share_of_text(self, space: tuple[float, float]) -> tuple[float, float]:
        """How much of its length and of its height the letters take; a fifth of the length at least."""
        edges = np.linalg.norm(np.roll(self.corners, -1, axis=0) - self.corners, axis=1)
        length, height = edges[::2].mean(), edges[1::2].mean()
        ends, sides = space
        text_height = height / (1 + 2 * sides)
        return max(0.2, 1 - 2 * ends * text_height / length), 1 / (1 + 2 * sides)


def read_quads(path: Path) -> dict[int, Quad]:
    """Official quadrilaterals by sample number; none where there is no such file.

    Raises:
        ValueError: a line is not what it should be.
    """
    if not path.is_file():
        return {}
    quads = {}
    for line_number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
            width, height = fields["size"]
            corners = np.array(fields["quad"], np.float64).reshape(4, 2)
            quads[int(fields["index"])] = Quad((int(width), int(height)), corners)
        except (ValueError, TypeError, KeyError) as error:
            message = f"{path}: line {line_number} lacks an index, a size or a quad of 4 points: {error}"
            raise ValueError(message) from error
    return quads
