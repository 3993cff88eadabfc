"""Variety for photographed crops: another camera position, another light, another camera."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms import v2

from data.synth.geometry import project
from rectify.conventions import Points, to_normalized, to_pixels
from rectify.shape import resize

Rng = np.random.Generator

BLUR = 5
"""Pixels of the blur along a side."""
LEAST = 1 + BLUR // 2
"""Pixels that a crop needs along a side to be blurred."""


class Augmentation:
    """Variety for a crop (H, W, 3) uint8 RGB, a function of it and of the rng alone.

    Points (M, 2) that are known on the crop, normalised, go along.
    """

    def __init__(self) -> None:
        self.photometric = v2.Compose(
            [
                v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.08)], 0.5),
                v2.RandomInvert(0.1),
                v2.RandomGrayscale(0.1),
                v2.RandomApply([v2.GaussianBlur(BLUR, (0.3, 1.4))], 0.15),
                v2.RandomApply([v2.JPEG((25, 90))], 0.15),
            ]
        )

    def __call__(
        self, image: NDArray[np.uint8], rng: Rng, points: Points | None = None
    ) -> tuple[NDArray[np.uint8], Points | None]:
        height, width = image.shape[:2]
        image = resize(image, (max(width, LEAST), max(height, LEAST)))
        if rng.random() < 0.7:
            image, points = change_view(image, rng, points)
        if rng.random() < 0.15:
            image = _shrink(image, rng)
        # torchvision draws from torch's global generator; what it held before is put back. Its own seed is set alone:
        # torch.manual_seed also looks for accelerators, which takes as long as the augmentation.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(rng.integers(2**63)))
            tensor = self.photometric(torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1))
        return tensor.permute(1, 2, 0).contiguous().numpy(), points


def change_view(
    image: NDArray[np.uint8], rng: Rng, points: Points | None = None
) -> tuple[NDArray[np.uint8], Points | None]:
    """The crop turned, seen aslant, cut more loosely or more tightly; what comes into view repeats the border.

    Args:
        points: (M, 2) normalised in the crop, to be taken along.
    """
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    angle = math.radians(rng.normal(0, 6) if rng.random() < 0.8 else rng.normal(0, 20))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    center = np.array([width, height]) / 2
    aslant = rng.normal(0, 0.05, (4, 2)) * np.array([min(width, 2 * height), height])
    moved = (corners - center) @ turn.T + center + aslant
    low, high = moved.min(0), moved.max(0)
    spaces = rng.uniform(-0.04, 0.14, 4) * height
    low, high = low - spaces[:2], high + spaces[2:]
    size = np.maximum(8, np.rint(high - low)).astype(int)
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), (moved - low).astype(np.float32))
    warped = cv2.warpPerspective(image, matrix, tuple(size.tolist()), borderMode=cv2.BORDER_REPLICATE)
    if points is not None:
        points = to_normalized(project(matrix, to_pixels(points, (width, height))), warped.shape[1::-1])
    return np.asarray(warped, np.uint8), points


def _shrink(image: NDArray[np.uint8], rng: Rng) -> NDArray[np.uint8]:
    """Fewer pixels, but no fewer than about 12 rows."""
    height, width = image.shape[:2]
    scale = max(rng.uniform(0.3, 0.9), min(1.0, 12 / height))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
