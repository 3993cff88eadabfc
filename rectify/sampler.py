"""Differentiable sampling of images at grids of normalised points (torch)."""

from __future__ import annotations

import math

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
        # One product for all words; "basis @ control_points" would be one for each, ten times as slow.
        grid = torch.einsum("pk,nkc->npc", basis, control_points.to(dtype))
    return grid.reshape(-1, height, width, 2)


def sample(image: Tensor, grid: Tensor) -> Tensor:
    """Bilinear sampling, borders replicated, pixel centres by the project's convention.

    It serves between half and double size: further down it skips pixels, see ``sample_trilinear``.

    Args:
        image: (N, C, H, W) float.
        grid: (N, h, w, 2) normalised points of the image. Not clamped, but points beyond the outermost pixel centres
            get no gradient.

    Returns:
        (N, C, h, w) in the image's dtype; differentiable in both. Half precision is sampled in float32.

    Source: Jaderberg et al., Spatial Transformer Networks, NIPS 2015, section 3.3.
    """
    precise = _precise(image)
    sampled = F.grid_sample(
        image.to(precise), grid.to(precise), mode="bilinear", padding_mode="border", align_corners=False
    )
    return sampled.to(image.dtype)


def sample_trilinear(image: Tensor, grid: Tensor, taps: int = 2, max_taps: int = 16) -> Tensor:
    """Sampling without aliasing where the grid shrinks the image: trilinear in a pyramid, with several taps a pixel.

    Text shrinks more along than across. So the level of the pyramid follows the axis of the output that shrinks least,
    and the other one gets more taps; they lie along the grid, hence along a curved or tilted word, and the letters
    stay sharp across. Where nothing shrinks, the result is ``sample``'s.

    Args:
        image, grid: as in ``sample``.
        taps: along the axis that shrinks least. 1 is the plain pyramid, which blurs more than it has to.
        max_taps: most taps along the other axis; beyond that ratio of the two the first one blurs as well.

    Returns:
        (N, C, h, w) in the image's dtype; differentiable in both.

    Source: Williams, "Pyramidal Parametrics", SIGGRAPH 1983, for the pyramid; several taps along the longer axis as
    in McCormack et al., "Feline", SIGGRAPH 1999.
    """
    precise = _precise(image)
    grid = grid.to(precise)
    scale_x, scale_y = local_scale(grid, (image.shape[3], image.shape[2]))
    # How many source pixels, along either axis, one tap covers.
    tap = torch.maximum(torch.minimum(scale_x, scale_y) / taps, torch.maximum(scale_x, scale_y) / max_taps).clamp(min=1)
    offsets = _tap_offsets(grid, tap, (scale_x, scale_y))
    level = torch.log2(tap).clamp(max=_levels(image) - 1)
    sampled = torch.zeros((), dtype=precise, device=image.device)
    for index, smaller in enumerate(pyramid(image.to(precise), 1 + _ceiling(level))):
        share = (1 - (level - index).abs()).clamp(min=0)
        if share.any():
            sampled = sampled + share[:, None] * _averaged(smaller, grid, offsets)
    return sampled.to(image.dtype)


ROUNDING = 1e-3
"""Levels and taps that a grid asks for by less than this are rounding errors of its own."""


def local_scale(grid: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """How many source pixels one pixel of the output covers, along the output's x and y.

    Args:
        grid: (N, h, w, 2) normalised points of the source.
        size: (width, height) of the source.

    Returns:
        Two (N, h, w), at least 1: where the grid enlarges, a sample still covers a source pixel. 1 too along an axis
        that is one pixel long.
    """
    half = torch.tensor(size, dtype=grid.dtype, device=grid.device) / 2
    # Clamped before the root, which has no gradient at zero.
    x, y = ((step * half).square().sum(-1).clamp(min=1).sqrt() for step in _steps(grid))
    return x, y


def pyramid(image: Tensor, levels: int) -> list[Tensor]:
    """The image (N, C, H, W) and smaller ones, each half as large (rounded up) and the mean of the pixels it covers."""
    images = [image]
    while len(images) < levels:
        height, width = images[-1].shape[2:]
        images.append(F.interpolate(images[-1], ((height + 1) // 2, (width + 1) // 2), mode="area"))
    return images


def _levels(image: Tensor) -> int:
    """How many levels the pyramid has down to a single pixel."""
    return max(image.shape[2:]).bit_length() + 1


def _steps(grid: Tensor) -> tuple[Tensor, Tensor]:
    """How the points of a grid (N, h, w, 2) move from one pixel to the next along x and y, both (N, h, w, 2)."""
    x, y = (torch.gradient(grid, dim=axis)[0] if grid.shape[axis] > 1 else torch.zeros_like(grid) for axis in (2, 1))
    return x, y


def _tap_offsets(grid: Tensor, tap: Tensor, scales: tuple[Tensor, Tensor]) -> Tensor:
    """Where the taps of each pixel lie around its point (N, T, h, w, 2): side by side along both axes of the output,
    so that taps of the size ``tap`` (N, h, w) cover the pixel."""
    offsets = torch.zeros_like(grid)[:, None]
    for step, scale in zip(_steps(grid), scales, strict=True):
        count = _ceiling(scale / tap)
        if count > 1:
            reach = ((1 - tap / scale).clamp(min=0) / 2)[..., None] * step
            spread = torch.linspace(-1, 1, count, dtype=grid.dtype, device=grid.device)[:, None, None, None]
            offsets = (offsets[:, :, None] + spread * reach[:, None, None]).flatten(1, 2)
    return offsets


def _averaged(image: Tensor, grid: Tensor, offsets: Tensor) -> Tensor:
    """Mean of bilinear samples (N, C, h, w) at the grid (N, h, w, 2) plus each of its offsets (N, T, h, w, 2)."""
    taps = offsets.shape[1]
    return sample(image, (grid[:, None] + offsets).flatten(1, 2)).unflatten(2, (taps, -1)).mean(2)


def _ceiling(values: Tensor) -> int:
    """The largest value, rounded up."""
    return math.ceil(float(values.detach().max()) - ROUNDING)


def _precise(image: Tensor) -> torch.dtype:
    return torch.float64 if image.dtype == torch.float64 else torch.float32
