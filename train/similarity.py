"""How alike two pictures look: SSIM, and a rectified crop beside the flat rendering of its word."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from data.synth.geometry import WordGeometry
from rectify.conventions import TEXT_EXTENT, Points, to_pixels
from rectify.images import Image
from rectify.warp import warp_along, warp_batch
from train.shape_errors import FRAME

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Structural similarity of two grey pictures (H, W) uint8 of one size, at least 11 × 11; 1 for equal ones.

    Source: Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error Visibility to Structural
    Similarity", IEEE Transactions on Image Processing 2004, section III.B, with its Gaussian window and constants.

    Raises:
        ValueError: pictures of different sizes, or too small.
    """
    if a.shape != b.shape or a.ndim != 2 or min(a.shape) < _WINDOW:
        raise ValueError(f"SSIM compares grey pictures of one size from {_WINDOW}x{_WINDOW}, got {a.shape}, {b.shape}")
    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = _local(x), _local(y)
    variance_x, variance_y = _local(x * x) - mean_x**2, _local(y * y) - mean_y**2
    covariance = _local(x * y) - mean_x * mean_y
    above = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    below = (mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2)
    return float((above / below).mean())


def flat_similarity(image: Image, points: Points, truth: WordGeometry, rows: int, cols: int) -> float:
    """SSIM of a synthetic word as it is rectified and its flat rendering, both grey and of the size ``FRAME``.

    The flat rendering is the crop sampled along the true map, so it has the crop's light, blur and noise, and what
    differs is the geometry alone.

    Args:
        image: (H, W, 3) uint8 RGB, the crop.
        points: (rows·cols, 2) control points, normalised.
    """
    size = image.shape[1::-1]
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    rectified = warp_batch([grey], to_pixels(points, size)[None], rows, cols, FRAME)[0, :, :, 0]
    flat = warp_along(grey, lambda places: to_pixels(truth.map(places / np.array(TEXT_EXTENT)), size), FRAME)
    return ssim(rectified, flat)


def _local(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted means (H - 10, W - 10) over the window, where it fits."""
    reach = _WINDOW // 2
    blurred = cv2.GaussianBlur(values, (_WINDOW, _WINDOW), _SIGMA)
    return np.asarray(blurred[reach:-reach, reach:-reach])
