"""How networks of other projects want their pictures: grey or RGB, resized as Pillow does, padded, in more contrast."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rectify.images import Image

_BITS = 22
"""Fixed-point precision of Pillow's filters."""


@dataclass(frozen=True)
class Preparation:
    """From a crop to the picture that a network reads."""

    height: int
    width: int
    """Pixels: the width itself, or with ``pad`` the most."""
    grey: bool = True
    filter: str = "bicubic"
    """``bicubic`` or ``bilinear``, both with Pillow's widening when they shrink."""
    pad: bool = False
    """Keep the proportions and repeat the last column up to ``width``, instead of stretching to it."""
    whole_heights: bool = False
    """With ``pad``: up to the next multiple of the height instead; ``width`` does not count."""
    presize: bool = False
    """Scale the crop's shorter side to ``height`` by OpenCV's bilinear interpolation first."""
    contrast_below: float = 0.0
    """Confidence under which a crop is read again with more contrast; the more confident reading counts."""
    contrast: float = 0.0
    """Contrast, 0..1, up to which pictures are stretched then."""

    @classmethod
    def from_config(cls, values: Mapping[str, Any]) -> Preparation:
        """From what a weight file says of itself; raises a TypeError for keys that are missing."""
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})

    def __call__(self, image: Image, contrast: float = 0.0) -> Image:
        """The picture (height, W, 3) uint8 of a crop (H, W), (H, W, 1) or (H, W, 3) uint8 RGB.

        Args:
            contrast: 0..1, to which a grey picture is stretched if it has less.
        """
        if image.ndim == 2:
            image = image[:, :, None]
        if self.grey:
            image = to_grey(image) if image.shape[2] == 3 else image
        elif image.shape[2] == 1:
            image = np.repeat(image, 3, axis=2)
        if self.presize:
            image = _presized(image, self.height)
        if contrast:
            image = with_contrast(image, contrast)
        image = self._resized(image)
        return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image

    def _resized(self, image: Image) -> Image:
        height, width = image.shape[:2]
        if not self.pad:
            return resample(image, (self.width, self.height), self.filter)
        most = self.height * math.ceil(width / height) if self.whole_heights else self.width
        image = resample(image, (min(most, math.ceil(self.height * width / height)), self.height), self.filter)
        return np.pad(image, ((0, 0), (0, most - image.shape[1]), (0, 0)), mode="edge")


def to_grey(image: Image) -> Image:
    """RGB (H, W, 3) as (H, W, 1), with the integer weights of Pillow's mode L."""
    weighted = image.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((weighted + 32768) >> 16).astype(np.uint8)[:, :, None]


def with_contrast(image: Image, target: float) -> Image:
    """A grey picture (H, W, 1) stretched between its 10th and 90th percentile if its contrast is below ``target``."""
    high, low = np.percentile(image, 90), np.percentile(image, 10)
    if (high - low) / max(10, high + low) >= target:
        return image
    stretched = (image.astype(int) - low + 25) * (200 / max(10, high - low))
    return np.clip(stretched, 0, 255).astype(np.uint8)


def resample(image: Image, size: tuple[int, int], name: str = "bicubic") -> Image:
    """The image (H, W, C) at ``size`` (width, height), to the bit as Pillow resizes.

    One axis and then the other, each pass rounded to whole values; when it shrinks, the filter covers as many more
    pixels. Pillow from 13 on starts with the height where that shrinks by far more pixels, else with the width.
    """
    width, height = size
    lost = image.shape[0] - height
    for axis in (0, 1) if lost > max(0, 2 * (image.shape[1] - width)) else (1, 0):
        count = (height, width)[axis]
        if count != image.shape[axis]:
            image = _passed(image.swapaxes(0, axis), count, name).swapaxes(0, axis)
    return np.ascontiguousarray(image)


def _passed(image: Image, count: int, name: str) -> Image:
    """The image (H, ...) with ``count`` rows."""
    weights = _weights(image.shape[0], count, name)
    sums = np.tensordot(weights, image.astype(np.float64), axes=1)  # whole numbers below 2**53: exact
    return np.clip(np.floor((sums + (1 << (_BITS - 1))) / (1 << _BITS)), 0, 255).astype(np.uint8)


@lru_cache(maxsize=8)  # for wide photos one takes megabytes
def _weights(before: int, count: int, name: str) -> NDArray[np.float64]:
    """How much of each old pixel is in each new one (count, before), in units of 2**-22."""
    kernel, reach = _KERNELS[name]
    scale = before / count
    stretch = max(1.0, scale)
    middle = (np.arange(count) + 0.5) * scale
    first = np.maximum(0, np.trunc(middle - reach * stretch + 0.5)).astype(int)
    last = np.minimum(before, np.trunc(middle + reach * stretch + 0.5)).astype(int)
    places = np.arange(before)
    values = kernel((places - middle[:, None] + 0.5) / stretch)
    values[(places < first[:, None]) | (places >= last[:, None])] = 0
    values /= values.sum(1, keepdims=True)
    return np.trunc(values * (1 << _BITS) + np.copysign(0.5, values))


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution with a = -1/2."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = -0.5 * (((x - 5) * x + 8) * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _bilinear(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(0.0, 1 - np.abs(x))


_KERNELS: dict[str, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], float]] = {
    "bicubic": (_bicubic, 2.0),
    "bilinear": (_bilinear, 1.0),
}


def _presized(image: Image, side: int) -> Image:
    """The image with its shorter side scaled to ``side``."""
    height, width = image.shape[:2]
    size = (int(side * (width / height)), side) if width >= height else (side, int(side * (height / width)))
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR).reshape(size[1], size[0], -1)
