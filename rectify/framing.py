"""What of a crop a rectifier hands on: space around the word, resolution, and from which bend on it is flattened."""

from __future__ import annotations

from dataclasses import dataclass

from rectify.conventions import MARGIN, extent_of

LEAST_BEND = 12.0
"""Strength (see ``strength.bend_strength``) below which other engines read a crop as well as it is. Measured by
``python -m train.tune_harmless``."""


@dataclass(frozen=True)
class Framing:
    """What suits who reads the flat words; ``Rectifier`` says what each of these does.

    Raises:
        ValueError: a margin that leaves nothing of the text.
    """

    margin: tuple[float, float] = MARGIN
    least_bend: float = LEAST_BEND
    least_height: int = 0

    def __post_init__(self) -> None:
        extent_of(self.margin)
