"""At which angle a transformer leaves digits that were turned by known ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rectify.transformer import Transformed
from train.experiments.distortions import rotated


def affine_angle(theta: Tensor) -> Tensor:
    """The rotation (N,) in radians within affine parameters (N, 6), by which the nearest similarity turns."""
    a, b, _, d, e, _ = theta.unbind(1)
    return torch.atan2(d - b, a + e)


def left_angles(digits: Tensor, angles: Tensor, transform: torch.nn.Module) -> tuple[Tensor, Transformed]:
    """Turns digits (N, 1, 28, 28) by angles (N,) and lets an affine transformer straighten them.

    Returns:
        The angles (N,) in radians, -π..π, by which the digits are then still turned, and what the transformer gave.
    """
    output = transform(rotated(digits, angles))
    left = angles - affine_angle(output.theta)
    return torch.remainder(left + math.pi, 2 * math.pi) - math.pi, output


def mean_and_spread(angles: Tensor) -> tuple[float, float]:
    """Circular mean and standard deviation of angles in radians, in degrees."""
    x, y = float(angles.cos().mean()), float(angles.sin().mean())
    length = min(max(math.hypot(x, y), 1e-12), 1.0)
    return math.degrees(math.atan2(y, x)), math.degrees(math.sqrt(-2 * math.log(length)))
