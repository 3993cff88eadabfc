"""Large images with a digit somewhere, among pieces of others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from rectify.families import Family

PIECE = 6
"""Side of a piece of clutter, pixels."""


class Scene(NamedTuple):
    """Images and where their digits are."""

    images: Tensor
    """(N, 1, side, side) in 0..1."""
    boxes: Tensor
    """(N, 4) left, top, right, bottom of the digit's square, normalised in the image."""


def scenes(digits: Tensor, side: int, pieces: int, generator: Generator) -> Scene:
    """Each digit (N, 1, h, h) at a random whole-pixel place in a black square of ``side`` pixels, among clutter.

    Source: Jaderberg et al., Spatial Transformer Networks, NIPS 2015, appendix, "translated cluttered".
    """
    places = torch.randint(side - digits.shape[2] + 1, (len(digits), 2), generator=generator)
    images = pasted(torch.zeros(len(digits), 1, side, side), digits, places)
    return Scene(cluttered(images, digits, pieces, generator), boxes_at(places, digits.shape[2], side))


def cluttered(images: Tensor, digits: Tensor, pieces: int, generator: Generator) -> Tensor:
    """Images (N, 1, side, side) with ``pieces`` random 6 × 6 pieces of random digits, each in a random place."""
    count, side = len(images), images.shape[2]
    for _ in range(pieces):
        donors = digits[torch.randint(len(digits), (count,), generator=generator)]
        taken = torch.randint(digits.shape[2] - PIECE + 1, (count, 2), generator=generator)
        put = torch.randint(side - PIECE + 1, (count, 2), generator=generator)
        images = pasted(images, cut(donors, taken, PIECE), put)
    return images


def boxes_at(places: Tensor, size: int, side: int) -> Tensor:
    """Boxes (..., 4), normalised in an image of ``side`` pixels, of squares of ``size`` pixels at places (..., 2)."""
    return torch.cat([places, places + size], -1) * (2 / side) - 1


def box_overlap(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union (N,) of boxes (N, 4): left, top, right, bottom."""
    sides = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    both = sides.prod(1)
    areas = [(box[:, 2:] - box[:, :2]).clamp(min=0).prod(1) for box in (a, b)]
    return both / (areas[0] + areas[1] - both).clamp(min=1e-9)


def attended_boxes(family: Family, theta: Tensor) -> Tensor:
    """Boxes (N, 4) that upright maps look at: left, top, right, bottom, normalised in the source."""
    corners = family.map(theta, np.array([[-1.0, -1.0], [1.0, 1.0]]))
    return torch.cat([corners.amin(1), corners.amax(1)], 1)


def _window(places: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of windows of ``side`` pixels at places (N, 2: x, y) in images: of the image, the row, the column."""
    steps = torch.arange(side)
    number = torch.arange(len(places))[:, None, None]
    return number, (places[:, 1, None] + steps)[:, :, None], (places[:, 0, None] + steps)[:, None, :]


def cut(images: Tensor, places: Tensor, side: int) -> Tensor:
    """Windows (N, 1, side, side) of images at places (N, 2: x, y of their top left pixel)."""
    number, row, column = _window(places, side)
    return images[number, 0, row, column][:, None]


def pasted(canvas: Tensor, pieces: Tensor, places: Tensor) -> Tensor:
    """Images with square pieces put at places; where two overlap the lighter one shows."""
    number, row, column = _window(places, pieces.shape[2])
    canvas = canvas.clone()
    canvas[number, 0, row, column] = torch.maximum(canvas[number, 0, row, column], pieces[:, 0])
    return canvas
