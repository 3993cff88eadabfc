"""How far a rectification bends a crop."""

from __future__ import annotations

import numpy as np

from rectify.conventions import Points
from rectify.shape import outline_shape
from rectify.tps import text_outline


def bend_strength(points: Points, rows: int, cols: int) -> float:
    """How far a word is from lying straight in its crop, in % of the text height.

    The RMS distance of the text outline's top line and baseline from the sides of the best upright rectangle: 0 for a
    word that a plain cut would do as well for, about 25 for one of five heights' length that is turned by ten degrees.

    Args:
        points: (rows·cols, 2) control points in pixels.
    """
    outline = text_outline(np.asarray(points, np.float64), rows, cols)
    edges = outline[:, 1].reshape(2, -1)
    _, height = outline_shape(outline)
    # Points that fell together have no height; they bend a crop as far as can be.
    return float(min(1e6, 100 * np.sqrt(edges.var(1).mean()) / max(float(height), 1e-9)))
