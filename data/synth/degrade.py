"""What cameras do to a picture: light, blur, noise, low resolution, compression."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from data.synth.paint import Image, noise, smooth_field

Rng = np.random.Generator


def degrade(image: Image, text_height: float, rng: Rng) -> NDArray[np.uint8]:
    """A clean picture (H, W, 3) float32 in 0..255 as a photograph, uint8, of the same size or smaller.

    Args:
        text_height: in pixels; small letters bear less.
    """
    if rng.random() < 0.25:
        image = image * (0.55 + 0.9 * smooth_field(image.shape, rng, 4))[..., None]
    if rng.random() < 0.30:
        image = _contrast(image, rng)
    if rng.random() < 0.45:
        image = _blur(image, text_height, rng)
    if rng.random() < 0.25:
        image = _low_resolution(image, text_height, rng)
    if rng.random() < 0.45:
        image = _noisy(image, rng)
    return np.clip(image, 0, 255).astype(np.uint8)


def encode(image: NDArray[np.uint8], rng: Rng) -> bytes:
    """The picture (H, W, 3) RGB as JPEG of a random quality."""
    quality = int(rng.integers(25, 97))
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def _contrast(image: Image, rng: Rng) -> Image:
    middle = np.float32(rng.uniform(60, 195))
    return middle + (image - middle) * np.float32(rng.uniform(0.4, 1.15))


def _blur(image: Image, text_height: float, rng: Rng) -> Image:
    strength = min(2.2, max(0.3, text_height / 24 * rng.uniform(0.2, 1.2)))
    if rng.random() < 0.75:
        return cv2.GaussianBlur(image, (0, 0), strength)
    reach = 2 * round(strength * 1.5) + 1
    kernel = np.zeros((reach, reach), np.float32)
    angle = rng.uniform(0, math.pi)
    half = reach // 2
    tip = (round(half * math.cos(angle)), round(half * math.sin(angle)))
    cv2.line(kernel, (half - tip[0], half - tip[1]), (half + tip[0], half + tip[1]), 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def _low_resolution(image: Image, text_height: float, rng: Rng) -> Image:
    """Fewer pixels, in two cases of five enlarged again; text keeps about 8 pixels of height."""
    height, width = image.shape[:2]
    scale = max(rng.uniform(0.3, 0.85), min(1.0, 8 / text_height))
    small = cv2.resize(
        image, (max(8, round(width * scale)), max(8, round(height * scale))), interpolation=cv2.INTER_AREA
    )
    if rng.random() < 0.6:
        return small
    way = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
    return cv2.resize(small, (width, height), interpolation=way)


def _noisy(image: Image, rng: Rng) -> Image:
    strength = np.float32(abs(rng.normal(0, 9)))
    if rng.random() < 0.5:
        return image + (noise(image.shape, rng) * strength)[..., None]
    return image + np.stack([noise(image.shape, rng) for _ in range(3)], axis=-1) * strength
