"""Samplers: the paper's sum as the oracle, gradients, precision; the pyramid, its levels and taps."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import cv2
import torch.nn.functional as F
from torch import Tensor

from rectify.conventions import canonical_points, pixel_grid
from rectify.families import Affine, AttentionXY, Similarity, ThinPlateSpline
from rectify.sampler import local_scale, pyramid, sample, sample_trilinear, tps_grid
from rectify.transformer import Sampler

BOTH = pytest.mark.parametrize("sampler", [sample, sample_trilinear])


def bilinear(image: Tensor, grid: Tensor) -> Tensor:
    """The sampler in its concise form: a sum over all source pixels, each weighted by its closeness (Jaderberg et al.,
    NIPS 2015, equation 5), on a border that is replicated."""
    x, y = ((grid[..., i] + 1) * n / 2 - 0.5 for i, n in ((0, image.shape[3]), (1, image.shape[2])))
    x, y = x.clamp(0, image.shape[3] - 1), y.clamp(0, image.shape[2] - 1)
    along, across = (
        (1 - (p[..., None] - torch.arange(n)).abs()).clamp(min=0)
        for p, n in zip((x, y), image.shape[:1:-1], strict=True)
    )
    return torch.einsum("ncHW,nhwW,nhwH->nchw", image, along, across)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def text(height: int = 64, width: int = 256) -> Tensor:
    """A drawn word (1, 1, height, width) in 0..255."""
    page = np.zeros((height, width), np.uint8)
    cv2.putText(
        page, "Rectify", (8, height - 18), cv2.FONT_HERSHEY_SIMPLEX, height / 32, 255, height // 20, cv2.LINE_AA
    )
    return torch.from_numpy(page)[None, None].float()


def scaled(
    height: int, width: int, x: float, y: float, angle: float = 0.0, size: tuple[int, int] = (64, 256)
) -> Tensor:
    """A grid (1, height, width, 2) of which each pixel covers x by y source pixels, turned by an angle in degrees
    about the middle of a source of ``size`` (height, width)."""
    points = pixel_grid(height, width) * (width / 2 * x, height / 2 * y)
    turn = np.radians(angle)
    points = points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return torch.from_numpy(points / (size[1] / 2, size[0] / 2)).reshape(1, height, width, 2).float()


def supersampled(image: Tensor, fine: Tensor, times: int) -> Tensor:
    """Mean of times × times bilinear samples a pixel, from a grid that is as much finer."""
    return F.avg_pool2d(sample(image, fine), times)


@BOTH
def test_identity_returns_the_image(sampler: Sampler) -> None:
    image = noise(2, 3, 6, 10) * 255
    grid = torch.from_numpy(pixel_grid(6, 10)).reshape(1, 6, 10, 2).expand(2, -1, -1, -1).float()
    torch.testing.assert_close(sampler(image, grid), image, atol=1e-4, rtol=0)


def test_bilinear_is_the_papers_sum() -> None:
    image, grid = noise(2, 3, 5, 7, dtype=torch.float64), noise(2, 4, 6, 2, seed=1, dtype=torch.float64) * 3 - 1.5
    torch.testing.assert_close(sample(image, grid), bilinear(image, grid), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", ["image", "grid"])
def test_bilinear_has_the_gradient_of_the_papers_sum(name: str) -> None:
    leaves = {
        "image": noise(2, 3, 5, 7, dtype=torch.float64).requires_grad_(),
        "grid": (noise(2, 4, 6, 2, seed=1, dtype=torch.float64) * 3 - 1.5).requires_grad_(),
    }
    weights = noise(2, 3, 4, 6, seed=2, dtype=torch.float64)
    (ours,) = torch.autograd.grad((sample(**leaves) * weights).sum(), leaves[name])
    (oracle,) = torch.autograd.grad((bilinear(**leaves) * weights).sum(), leaves[name])
    torch.testing.assert_close(ours, oracle, atol=1e-11, rtol=0)


@BOTH
def test_border_is_replicated(sampler: Sampler) -> None:
    image = noise(1, 1, 4, 4)
    outside = 2 + noise(1, 4, 4, 2)
    torch.testing.assert_close(sampler(image, outside), image[:, :, 3:, 3:].expand(1, 1, 4, 4))
    torch.testing.assert_close(sampler(image, -outside), image[:, :, :1, :1].expand(1, 1, 4, 4))


@BOTH
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_images_are_sampled_in_float32(sampler: Sampler, dtype: torch.dtype) -> None:
    image = noise(1, 2, 16, 200).to(dtype)
    grid = ThinPlateSpline(2, 2).grid(torch.tensor(canonical_points(2, 2).reshape(1, 8)), 16, 200)
    sampled = sampler(image, grid)
    assert sampled.dtype == dtype
    torch.testing.assert_close(sampled, image, atol=2e-3, rtol=0)


@BOTH
def test_autocast_leaves_the_samples_alone(sampler: Sampler) -> None:
    image, grid = text(), scaled(24, 90, 2.5, 2.3)
    with torch.autocast("cpu", torch.bfloat16):
        sampled = sampler(image, grid)
    torch.testing.assert_close(sampled, sampler(image, grid), atol=0, rtol=0)


def test_autocast_leaves_the_spline_grid_alone() -> None:
    points = torch.tensor(canonical_points(5, 5))[None].half()
    with torch.autocast("cpu", torch.bfloat16):
        grid = tps_grid(points, 5, 5, 32, 128)
    assert grid.dtype == torch.float32
    torch.testing.assert_close(grid, tps_grid(points.float(), 5, 5, 32, 128), atol=0, rtol=0)


# The pyramid


def test_pyramid_halves_and_keeps_the_mean() -> None:
    image = noise(2, 3, 16, 32)
    levels = pyramid(image, 4)
    assert [tuple(level.shape[2:]) for level in levels] == [(16, 32), (8, 16), (4, 8), (2, 4)]
    for level in levels:
        torch.testing.assert_close(level.mean((2, 3)), image.mean((2, 3)))
    torch.testing.assert_close(levels[2][0, 0, 0, 0], image[0, 0, :4, :4].mean())


def test_pyramid_of_odd_sizes_keeps_its_middle() -> None:
    """A picture that is its own mirror image stays so: nothing is shifted."""
    image = noise(1, 1, 5, 7)
    image = image + image.flip(2) + image.flip(3) + image.flip(2, 3)
    for level in pyramid(image, 3):
        torch.testing.assert_close(level, level.flip(2, 3))
    assert [tuple(level.shape[2:]) for level in pyramid(image, 4)] == [(5, 7), (3, 4), (2, 2), (1, 1)]


@pytest.mark.parametrize(("x", "y"), [(1, 1), (2, 2), (4, 1), (1.5, 3)])
@pytest.mark.parametrize("angle", [0, 30, 90])
def test_local_scale_counts_source_pixels(x: float, y: float, angle: float) -> None:
    along_x, along_y = local_scale(scaled(5, 8, x, y, angle), (256, 64))
    torch.testing.assert_close(along_x, torch.full((1, 5, 8), float(x)), atol=1e-4, rtol=0)
    torch.testing.assert_close(along_y, torch.full((1, 5, 8), float(y)), atol=1e-4, rtol=0)


def test_local_scale_is_at_least_one() -> None:
    assert all((scale == 1).all() for scale in local_scale(scaled(5, 8, 0.3, 0.5), (256, 64)))
    assert all((scale == 1).all() for scale in local_scale(scaled(1, 1, 4, 4), (256, 64)))


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.25])
def test_trilinear_is_bilinear_where_nothing_shrinks(scale: float) -> None:
    grid = scaled(20, 60, scale, scale, angle=20)
    torch.testing.assert_close(sample_trilinear(text(), grid), sample(text(), grid), atol=1e-2, rtol=0)
    shifted = scaled(20, 60, scale, scale) + torch.tensor([0.013, -0.021])
    torch.testing.assert_close(sample_trilinear(text(), shifted), sample(text(), shifted), atol=1e-2, rtol=0)


@pytest.mark.parametrize("times", [2, 4, 8])
def test_shrinking_by_a_power_of_two_is_the_mean(times: int) -> None:
    image = noise(1, 2, 32, 64)
    grid = torch.from_numpy(pixel_grid(32 // times, 64 // times)).reshape(1, 32 // times, 64 // times, 2).float()
    torch.testing.assert_close(sample_trilinear(image, grid), F.avg_pool2d(image, times), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kernel", [(1, 4), (4, 1), (2, 8), (1, 3)])
def test_shrinking_along_one_axis_does_not_blur_the_other(kernel: tuple[int, int]) -> None:
    image = noise(1, 2, 48, 48)
    height, width = 48 // kernel[0], 48 // kernel[1]
    grid = torch.from_numpy(pixel_grid(height, width)).reshape(1, height, width, 2).float()
    torch.testing.assert_close(sample_trilinear(image, grid), F.avg_pool2d(image, kernel), atol=1e-4, rtol=0)


def test_beyond_the_most_taps_both_axes_blur() -> None:
    image = noise(1, 1, 32, 64)
    grid = torch.from_numpy(pixel_grid(32, 4)).reshape(1, 32, 4, 2).float()
    sharp, blurred = (sample_trilinear(image, grid, max_taps=taps) for taps in (16, 4))
    torch.testing.assert_close(sharp, F.avg_pool2d(image, (1, 16)), atol=1e-4, rtol=0)
    assert blurred.diff(dim=2).abs().mean() < 0.6 * sharp.diff(dim=2).abs().mean()


@pytest.mark.parametrize("angle", [0, 15, 45])
@pytest.mark.parametrize(("x", "y"), [(4, 4), (8, 8), (4, 2), (5, 1.2)])
def test_shrunk_text_has_at_most_half_of_bilinears_error(x: float, y: float, angle: float) -> None:
    size, image = (256, 512), text(256, 512)
    height, width = 16, 40
    truth = supersampled(image, scaled(height * 8, width * 8, x / 8, y / 8, angle, size), 8)
    grid = scaled(height, width, x, y, angle, size)
    plain, trilinear = ((sampler(image, grid) - truth).square().mean().sqrt() for sampler in (sample, sample_trilinear))
    assert trilinear < 0.5 * plain


def test_level_follows_the_place() -> None:
    """Left unchanged, right shrunk four times: fine stripes stay on the left and are grey on the right."""
    stripes = (torch.arange(256) % 2).float().expand(1, 1, 64, 256)
    steps = torch.cat([torch.ones(32), torch.full((32,), 4.0)])
    x = (2 * (steps.cumsum(0) - 0.5) / 256 - 1).expand(1, 8, 64)
    y = torch.linspace(-0.9, 0.9, 8)[:, None].expand(1, 8, 64)
    sampled = sample_trilinear(stripes, torch.stack([x, y], -1))
    assert sampled[..., :30].std() > 0.4
    assert sampled[..., 36:].std() < 0.1


@pytest.mark.parametrize("name", ["isotropic", "along", "spline"])
def test_trilinear_gradients(name: str) -> None:
    image = noise(2, 1, 12, 16, dtype=torch.float64).requires_grad_()
    families = {
        # Odd figures, since the bilinear sum has kinks where a tap meets a pixel's centre.
        "isotropic": (Similarity(), [[0.8137, 0.1051, 0.0319, 0.0213], [0.7073, -0.2117, 0.0029, 0.1031]]),
        "along": (AttentionXY(), [[0.9173, 0.1719, 0.0317, 0.0211], [0.7711, 0.2239, 0.0137, 0.1013]]),
        "spline": (ThinPlateSpline(2, 3), None),
    }
    family, theta = families[name]
    if theta is None:
        rng = np.random.default_rng(0)
        theta = 0.8 * family.identity() + rng.uniform(-0.1, 0.1, (2, family.parameters))
    theta = torch.as_tensor(np.asarray(theta)).requires_grad_()
    assert torch.autograd.gradcheck(lambda i, t: sample_trilinear(i, family.grid(t, 4, 5)), (image, theta))


def test_trilinear_sees_what_bilinear_skips() -> None:
    """A gradient reaches every pixel of the source, so that a network can be drawn to what lies between samples."""
    image = torch.zeros(1, 1, 32, 32, requires_grad=True)
    grid = Affine().grid(torch.from_numpy(Affine().identity())[None].float(), 4, 4)
    reached = {}
    for sampler in (sample, sample_trilinear):
        (gradient,) = torch.autograd.grad(sampler(image, grid).sum(), image)
        reached[sampler] = float((gradient > 0).float().mean())
    assert reached[sample_trilinear] == 1.0
    assert reached[sample] < 0.1


def test_a_grid_of_one_point_keeps_finite_gradients() -> None:
    grid = torch.zeros(1, 3, 3, 2, requires_grad=True)
    sample_trilinear(text(), grid).sum().backward()
    assert grid.grad is not None and grid.grad.isfinite().all()
