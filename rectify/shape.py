"""Sizes: the localization network's thumbnail, the shape of a located word, and the width at which it is sampled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rectify.conventions import MARGIN, Points
from rectify.tps import text_outline


def resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The image at ``size`` (width, height): averaged along an axis that shrinks, interpolated along one that grows.

    Args:
        image: (H, W) or (H, W, C) uint8.

    Returns:
        (height, width) or (height, width, C) uint8.
    """
    height, width, *channels = image.shape
    # OpenCV averages only when neither axis grows, so the shrinking axis goes first, by itself.
    smaller = (min(size[0], width), min(size[1], height))
    if smaller != (width, height):
        image = np.asarray(cv2.resize(image, smaller, interpolation=cv2.INTER_AREA), np.uint8)
    if smaller != tuple(size):
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    return image.reshape(size[1], size[0], *channels)  # OpenCV drops a single channel's axis


def thumbnail(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The small copy that the localization network sees: RGB (height, width, 3) uint8 at ``size`` (width, height).

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3) uint8; grey is repeated over the channels.
    """
    small = resize(image, size)
    if small.ndim == 2:
        small = small[:, :, None]
    return np.repeat(small, 3, axis=2) if small.shape[2] == 1 else small


def text_shape(points: Points, rows: int, cols: int) -> tuple[Any, Any]:
    """Length and height of the text outline (without the margin) that control points describe.

    Args:
        points: (..., rows·cols, 2) control points in pixels.

    Returns:
        (length, height), each of shape (...), pixels: the mean arc length of the top and bottom edge, and the mean
        distance between the edges.
    """
    outline = text_outline(points, rows, cols)
    samples = outline.shape[-2] // 2
    top, bottom = outline[..., :samples, :], outline[..., : -samples - 1 : -1, :]
    edges = np.stack([top, bottom])
    length = np.linalg.norm(np.diff(edges, axis=-2), axis=-1).sum(-1).mean(0)
    height = np.linalg.norm(top - bottom, axis=-1).mean(-1)
    return length, height


def sample_width(length: float, height: float, config: Mapping[str, Any]) -> int:
    """Width in pixels at which the recogniser samples a word of this shape, its margin included.

    Args:
        length, height: of the text outline, as ``text_shape`` gives them.
        config: the recogniser's ``height``, ``stretch`` (widening of every word, so that narrow letters get enough
            frames), ``width_multiple``, ``min_width`` and ``max_width``.
    """
    least, most, multiple = config["min_width"], config["max_width"], config["width_multiple"]
    framed_length, framed_height = length * (1 + 2 * MARGIN[0]), height * (1 + 2 * MARGIN[1])
    width = config["height"] * config["stretch"] * framed_length
    # Compared before the division: points that fell together have no height.
    if not width < most * framed_height:
        return int(most)
    return int(max(least, min(most, multiple * round(width / framed_height / multiple))))
