"""Differentiable sampling of images at grids of normalised points (torch)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rectify.tps import grid_basis


def tps_grid(
    control_points: Tensor, rows: int, cols: int, height: int, width: int, extent: tuple[float, float] = (1.0, 1.0)
) -> Tensor:
    """Sampling grid of a thin-plate spline.

    Args:
        control_points: (N, rows·cols, 2), normalised in the source; any float dtype.
        height, width: of the output.
        extent: how far the output shows the canonical frame, see ``conventions.pixel_grid``.

    Returns:
        (N, height, width, 2), float32 (float64 for float64 points): in half precision, under autocast too, the product
        would be off by more than a pixel.
    """
    dtype = torch.float64 if control_points.dtype == torch.float64 else torch.float32
    basis = torch.from_numpy(grid_basis(rows, cols, height, width, extent).copy()).to(control_points.device, dtype)
    with torch.autocast(control_points.device.type, enabled=False):
        grid = basis @ control_points.to(dtype)
    return grid.reshape(-1, height, width, 2)


def sample(image: Tensor, grid: Tensor) -> Tensor:
    """Bilinear sampling, borders replicated, pixel centres by the project's convention.

    Args:
        image: (N, C, H, W) float.
        grid: (N, h, w, 2) normalised points of the image. Not clamped, but points beyond the outermost pixel centres
            get no gradient.

    Returns:
        (N, C, h, w) in the image's dtype; differentiable in both.

    Source: Jaderberg et al., Spatial Transformer Networks, NIPS 2015, section 3.3.
    """
    return F.grid_sample(image, grid.to(image.dtype), mode="bilinear", padding_mode="border", align_corners=False)
