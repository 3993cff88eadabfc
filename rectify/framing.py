"""What of a crop a rectifier hands on: space around the word, resolution, and from which bend on it is flattened."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rectify.conventions import MARGIN, extent_of

LEAST_BEND = 12.0
"""Strength (see ``strength.bend_strength``) below which other engines read a crop as well as it is. Measured by
``python -m train.tune_harmless``."""


@dataclass(frozen=True)
class Framing:
    """What suits who reads the flat words; ``Rectifier`` says what each of these does.

    Raises:
        ValueError: a margin that is not (ends, sides) or leaves nothing of the text, or a bound that is no number.
    """

    margin: tuple[float, float] = MARGIN
    least_bend: float = LEAST_BEND
    least_height: int = 0
    sharp: bool = False

    def __post_init__(self) -> None:
        extent_of(self.margin)
        if math.isnan(self.least_bend):
            raise ValueError("least_bend is not a number")
        if not isinstance(self.least_height, int | np.integer) or self.least_height < 0:
            raise ValueError(f"least_height is a whole number of pixels from 0 on, got {self.least_height!r}")
