"""The ink of a flat word as it is stored beside its geometry: a small black and white picture of its ink box."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

INK = "ink"
"""First part of its key, as in ``ink-000000001``."""
ROWS = 24
"""It has at most; thinner strokes than a row are kept."""
_LEAST = 64
"""Of 255: coverage from which on a pixel is ink."""


def encode_ink(coverage: NDArray[np.uint8]) -> bytes:
    """A PNG of one bit a pixel.

    Args:
        coverage: (H, W), 0..255, of the ink box.
    """
    height, width = coverage.shape
    if height > ROWS:
        size = max(1, round(width * ROWS / height)), ROWS
        coverage = np.asarray(cv2.resize(coverage, size, interpolation=cv2.INTER_AREA), np.uint8)
    least = min(_LEAST, int(coverage.max()))  # of hairlines, too, something is kept
    ink = np.where(coverage >= least, 255, 0).astype(np.uint8)
    smallest = [cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_COMPRESSION, 9]
    return cv2.imencode(".png", ink, smallest)[1].tobytes()


def decode_ink(data: bytes) -> NDArray[np.bool_]:
    """Where there is ink, (rows, columns).

    Raises:
        ValueError: the bytes are no picture.
    """
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
    if picture is None:
        raise ValueError("not a picture of ink")
    return np.asarray(picture > 0)
