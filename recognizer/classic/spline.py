"""The thin-plate splines of other projects' rectifiers, with the constants their weights were trained with (torch).

They differ from this project's (``rectify.tps``) on purpose: weights agree only with the geometry they learned.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from recognizer.classic.config import ClassicConfig

EPSILON = 1e-6
"""RARE's ports take the logarithm of the distance plus this."""

Array = NDArray[np.float64]


def edge_points(count: int, margin_x: float, margin_y: float, low: float, high: float) -> Array:
    """Canonical points (count, 2): half along the top edge from the left, half along the bottom edge from the left."""
    x = np.linspace(low + margin_x, high - margin_x, count // 2)
    return np.concatenate([np.column_stack([x, np.full(len(x), y)]) for y in (low + margin_y, high - margin_y)])


def pixel_centers(height: int, width: int) -> Array:
    """Pixel centres (height·width, 2) over [-1, 1], row by row."""
    x, y = ((2 * np.arange(count) + 1) / count - 1 for count in (width, height))
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def pixel_corners(height: int, width: int) -> Tensor:
    """Points (height·width, 2) from 0 to 1 with the outermost pixels on the border, row by row."""
    y, x = torch.meshgrid(torch.arange(height) / (height - 1), torch.arange(width) / (width - 1), indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2)


def solved(solve: Tensor, terms: Tensor, points: Tensor) -> Tensor:
    """Where a spline takes its grid (N, M, 2).

    In the two single-precision products that the weights were trained with: coefficients are large and cancel out, so
    that another order of rounding would show in the last digits of the scores.

    Args:
        solve: (K + 3, K + 3), the inverse of the spline's system.
        terms: (M, K + 3), the spline's terms at the points of the grid.
        points: (N, K, 2) control points.
    """
    right = torch.cat([points, points.new_zeros(points.shape[0], 3, 2)], dim=1)
    return torch.matmul(terms, torch.matmul(solve, right))


class RareSpline(nn.Module):
    """The spline of deep-text-recognition-benchmark: a grid of pixel centres, sampled as one from corner to corner.

    Source: the transformation of Shi et al., RARE, CVPR 2016, section 3.1.2, with radial terms r² log r.
    """

    def __init__(self, points: int, height: int, width: int) -> None:
        super().__init__()
        self.size = (height, width)
        canonical = edge_points(points, 0, 0, -1, 1)
        distance = np.linalg.norm(canonical[:, None] - canonical, axis=-1)
        np.fill_diagonal(distance, 1)  # whose logarithm is zero
        system = np.zeros((points + 3, points + 3))
        system[:points] = np.column_stack([np.ones(points), canonical, distance**2 * np.log(distance)])
        system[points : points + 2, 3:] = canonical.T
        system[points + 2, 3:] = 1
        grid = pixel_centers(height, width)
        radius = np.linalg.norm(grid[:, None] - canonical, axis=-1)
        terms = np.column_stack([np.ones(len(grid)), grid, radius**2 * np.log(radius + EPSILON)])
        self.solve: Tensor
        self.terms: Tensor
        self.register_buffer("solve", torch.from_numpy(np.linalg.inv(system)).float(), persistent=False)
        self.register_buffer("terms", torch.from_numpy(terms).float(), persistent=False)

    def grid(self, points: Tensor) -> Tensor:
        """Where the pixels come from (N, height, width, 2), for control points (N, K, 2), both over [-1, 1]."""
        return solved(self.solve, self.terms, points).reshape(-1, *self.size, 2)

    def forward(self, image: Tensor, points: Tensor) -> Tensor:
        """The image (N, C, H, W) rectified along the control points, (N, C, height, width)."""
        return F.grid_sample(image, self.grid(points), padding_mode="border", align_corners=True)


class AsterSpline(nn.Module):
    """The spline of aster.pytorch: coordinates from 0 to 1, corner to corner, clamped, with zeros outside."""

    def __init__(self, config: ClassicConfig) -> None:
        super().__init__()
        self.size = (config.height, config.width)
        self.align_corners = config.align_corners
        points = config.points
        # In single precision throughout, as there.
        canonical = torch.from_numpy(edge_points(points, *config.margins, 0, 1)).float()
        system = torch.zeros(points + 3, points + 3)
        system[:points, :points] = _radial(canonical, canonical)
        system[:points, points] = system[points, :points] = 1
        system[:points, points + 1 :] = canonical
        system[points + 1 :, :points] = canonical.T
        grid = pixel_corners(*self.size)
        terms = torch.cat([_radial(grid, canonical), torch.ones(len(grid), 1), grid], dim=1)
        self.solve: Tensor
        self.terms: Tensor
        self.register_buffer("solve", torch.inverse(system), persistent=False)
        self.register_buffer("terms", terms, persistent=False)

    def grid(self, points: Tensor) -> Tensor:
        """Where the pixels come from (N, height, width, 2) over [0, 1], for control points (N, K, 2) over [0, 1]."""
        return solved(self.solve, self.terms, points).reshape(-1, *self.size, 2)

    def forward(self, image: Tensor, points: Tensor) -> Tensor:
        """The image (N, C, H, W) rectified along the control points, (N, C, height, width)."""
        grid = 2 * self.grid(points).clamp(0, 1) - 1
        return F.grid_sample(image, grid, padding_mode="zeros", align_corners=self.align_corners)


def _radial(a: Tensor, b: Tensor) -> Tensor:
    """r² log r between each of a (M, 2) and each of b (K, 2), (M, K); zero at r = 0."""
    squared = (a[:, None] - b).square()
    squared = squared[..., 0] + squared[..., 1]
    return torch.nan_to_num(0.5 * squared * torch.log(squared), nan=0.0)
