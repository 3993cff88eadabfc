"""Sizes: the localization network's thumbnail, the shape of a located word, and the width at which it is sampled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rectify.conventions import MARGIN, Points
from rectify.images import MAX_SIDE, Image
from rectify.tps import text_outline

MAX_ENLARGEMENT = 4
"""A rectified image has at most this many times the pixels of its source, before it is sampled finer."""

FINEST = 2.0
"""Pixels of a rectified image for each of its source, along an axis, where small words are sampled finer."""


Resize = Callable[[NDArray[np.uint8], tuple[int, int]], NDArray[np.uint8]]
"""Brings an image to a size (width, height): ``resize``, ``quick_resize`` or a ``QuickResizer``."""


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


def quick_resize(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """``resize`` in a fraction of the time, for what networks look at: interpolated, in steps to no less than half.
    That skips no pixel either, and in photographs comes within a few grey levels of the exact means."""
    height, width, *channels = image.shape
    wide, tall = size
    while width != wide or height != tall:
        width, height = max(wide, (width + 1) // 2), max(tall, (height + 1) // 2)
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    return image.reshape(height, width, *channels)  # OpenCV drops a single channel's axis


class QuickResizer:
    """``quick_resize`` for images that are brought to several sizes: the first step, which costs most, is done once."""

    def __init__(self) -> None:
        self._halves: dict[int, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}  # images too: their ids stay theirs

    def __call__(self, image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        """See ``quick_resize``; neither the image nor the result may be changed as long as this is used."""
        half = (image.shape[1] + 1) // 2, (image.shape[0] + 1) // 2
        if size[0] > half[0] or size[1] > half[1]:
            return quick_resize(image, size)
        if id(image) not in self._halves:
            self._halves[id(image)] = image, quick_resize(image, half)
        return quick_resize(self._halves[id(image)][1], size)


def thumbnail(image: NDArray[np.uint8], size: tuple[int, int], resizer: Resize = quick_resize) -> NDArray[np.uint8]:
    """The small copy that the localization network sees: RGB (height, width, 3) uint8 at ``size`` (width, height).

    Args:
        image: (H, W), (H, W, 1) or (H, W, 3) uint8; grey is repeated over the channels.
    """
    small = resizer(image, size).reshape(size[1], size[0], -1)
    return np.repeat(small, 3, axis=2) if small.shape[2] == 1 else small


def text_shape(points: Points, rows: int, cols: int) -> tuple[Any, Any]:
    """Length and height of the text outline (without the margin) that control points describe.

    Args:
        points: (..., rows·cols, 2) control points in pixels.

    Returns:
        (length, height), each of shape (...), pixels: the mean arc length of the top and bottom edge, and the mean
        distance between the edges.
    """
    return outline_shape(text_outline(points, rows, cols))


def outline_shape(outline: Points) -> tuple[Any, Any]:
    """``text_shape`` of an outline (..., 2·samples, 2) as ``tps.text_outline`` gives it."""
    samples = outline.shape[-2] // 2
    top, bottom = outline[..., :samples, :], outline[..., : -samples - 1 : -1, :]
    edges = np.stack([top, bottom])
    length = np.linalg.norm(np.diff(edges, axis=-2), axis=-1).sum(-1).mean(0)
    height = np.linalg.norm(top - bottom, axis=-1).mean(-1)
    return length, height


def frame_size(
    image: Image, length: float, height: float, margin: tuple[float, float] = MARGIN, least_height: int = 0
) -> tuple[int, int]:
    """Size (width, height) at which a flat word keeps the resolution of its source, or a finer one.

    At most ``MAX_ENLARGEMENT`` times the pixels of the source, whatever its shape is, before it is sampled finer.

    Args:
        image: the source.
        length, height: of the text outline in pixels of the source.
        margin, least_height: see ``Rectifier``.
    """
    sides = np.array([length * (1 + 2 * margin[0]), height * (1 + 2 * margin[1])])
    largest = MAX_ENLARGEMENT * image.shape[0] * image.shape[1]
    sides *= min(1.0, np.sqrt(largest / max(sides.prod(), 1.0)))
    fineness = min(FINEST, max(1.0, least_height / max(sides[1], 1.0)))
    # A side that is cut to the longest possible, or raised to a pixel, is a degenerate set of points anyway.
    width, tall = np.clip(np.rint(sides * fineness), 1, min(MAX_SIDE, fineness * largest)).astype(int)
    return int(width), int(tall)


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
