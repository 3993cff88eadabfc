"""What rectifying gives."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rectify.images import Image


@dataclass(frozen=True, eq=False)
class Rectified:
    """A word sampled flat."""

    image: Image = field(repr=False)
    """(H, W) or (H, W, C) uint8 as the source was, margin included."""
    control_points: NDArray[np.float32] = field(repr=False)
    """(rows·cols, 2) in pixels of the source."""
    rows: int
    cols: int
    rectified: bool = True
    """False where the crop was left as it is, but for a size that was asked for."""
    strength: float = 0.0
    """How far the word is from lying straight in its crop, in % of the text height, see ``strength.bend_strength``; 0
    for words along polygons, which are straightened whatever it is."""
