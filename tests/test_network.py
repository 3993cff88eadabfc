from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.autograd import gradcheck

from recognizer.network import RecognitionNetwork, RecognizerConfig
from rectify.conventions import canonical_points, to_pixels
from rectify.network import LocalizationConfig, SpatialTransformer, build_localization, locate, standardize
from rectify.rectifier import Rectifier
from rectify.sampler import sample, tps_grid
from rectify.shape import thumbnail
from rectify.tps import grid_basis
from rectify.warp import warp
from train.weights import save_network

RNG = np.random.default_rng(0)
VOTING = {"channels": (8, 8), "blocks": (0, 1)}
FULLY_CONNECTED = {"channels": (8, 8, 8, 8), "hidden": 16}
both_heads = pytest.mark.parametrize("shape", [VOTING, FULLY_CONNECTED], ids=["voting", "fully connected"])


def bent_points(rows: int, cols: int, strength: float = 0.05) -> np.ndarray:
    """Control points of a slightly smaller, unevenly bent word."""
    return 0.8 * canonical_points(rows, cols) + np.random.default_rng(1).normal(0, strength, (rows * cols, 2))


@both_heads
@pytest.mark.parametrize(("rows", "cols"), [(7, 7), (2, 10), (3, 3)])
def test_untrained_transformer_returns_its_input(rows: int, cols: int, shape: dict[str, Any]) -> None:
    """A coordinate ramp shows the error in pixels; it is under a hundredth of one."""
    height, width = 40, 130
    x, y = torch.meshgrid(torch.arange(width).float(), torch.arange(height).float(), indexing="xy")
    image = torch.stack([x, y, x + y])[None]
    transformer = SpatialTransformer(build_localization(LocalizationConfig(rows, cols, **shape))).eval()
    rectified, points = transformer(image, (height, width))
    assert (rectified - image).abs().max() < 0.01
    np.testing.assert_allclose(points[0].detach().numpy(), canonical_points(rows, cols), atol=1e-6)


def test_any_output_size_with_the_same_weights() -> None:
    transformer = SpatialTransformer()
    image = 255 * torch.rand(2, 3, 50, 90)
    assert transformer(image, (32, 100)).image.shape == (2, 3, 32, 100)
    assert transformer(image, (48, 256)).image.shape == (2, 3, 48, 256)
    assert not any("basis" in name or "grid" in name for name in transformer.state_dict())


def test_gradients_of_the_grid_and_of_the_sampler() -> None:
    torch.manual_seed(0)
    points = torch.from_numpy(bent_points(3, 4))[None].requires_grad_()
    assert gradcheck(lambda p: tps_grid(p, 3, 4, 5, 7), (points,))
    image = torch.rand(1, 2, 6, 9, dtype=torch.float64, requires_grad=True)
    # Bilinear interpolation has kinks at the pixel centres; the grid stays off them.
    grid = torch.from_numpy(to_off_centre(4, 5, (9, 6))).requires_grad_()
    assert gradcheck(sample, (image, grid))


def to_off_centre(height: int, width: int, size: tuple[int, int]) -> np.ndarray:
    """A grid (1, height, width, 2) whose pixel coordinates in an image of ``size`` end in .3."""
    rng = np.random.default_rng(2)
    pixels = np.stack([rng.integers(0, side - 1, (height, width)) + 0.3 for side in size], axis=-1)
    return ((2 * pixels + 1) / np.array(size) - 1)[None]


def test_torch_grid_equals_numpy_grid_and_is_float32_under_autocast() -> None:
    points = bent_points(7, 7).astype(np.float32)
    expected = (grid_basis(7, 7, 32, 100) @ points).reshape(32, 100, 2)
    grid = tps_grid(torch.from_numpy(points)[None], 7, 7, 32, 100)
    np.testing.assert_allclose(grid[0].numpy(), expected, atol=1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = tps_grid(torch.from_numpy(points)[None], 7, 7, 32, 100)
    assert half.dtype == torch.float32
    assert torch.equal(half, grid)


def test_torch_sampling_equals_the_runtimes_warp() -> None:
    image = cv2.GaussianBlur(RNG.integers(0, 256, (48, 150, 3)).astype(np.uint8), (0, 0), 2)
    points = bent_points(7, 7).astype(np.float32)
    grid = tps_grid(torch.from_numpy(points)[None], 7, 7, 40, 120)
    expected = sample(torch.from_numpy(image).permute(2, 0, 1)[None].float(), grid)[0].permute(1, 2, 0).numpy()
    flat = warp(image, to_pixels(points, (150, 48)), 7, 7, (120, 40))
    # OpenCV interpolates in steps of a 32nd of a pixel and rounds to bytes.
    assert np.abs(flat - expected).max() < 2.5
    assert np.abs(flat - expected).mean() < 0.5


def test_borders_are_replicated() -> None:
    image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    outside = torch.tensor([[[[-3.0, -3.0], [3.0, 3.0]]]])
    np.testing.assert_allclose(sample(image, outside).flatten().numpy(), [1, 4])


def test_brightness_and_contrast_do_not_matter() -> None:
    image = 100 + 50 * torch.rand(1, 3, 32, 64)
    np.testing.assert_allclose(standardize(image), standardize(1.3 * image - 20), atol=0.1)
    assert standardize(torch.full((1, 3, 8, 8), 77)).abs().max() == 0


@both_heads
def test_localization_reset_after_a_global_initialisation(shape: dict[str, Any]) -> None:
    network = build_localization(LocalizationConfig(**shape))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    network.reset_to_identity()
    points = network.eval()(255 * torch.rand(2, 3, 32, 96))
    np.testing.assert_allclose(points[1].detach().numpy(), canonical_points(7, 7), atol=1e-6)


@pytest.mark.parametrize("width", [64, 112, 512])
def test_recogniser_gives_a_frame_for_four_columns(width: int) -> None:
    network = RecognitionNetwork(RecognizerConfig(charset="ab", stem=8, channels=(8, 8, 8), hidden=8)).eval()
    assert network(torch.zeros(2, 3, 32, width, dtype=torch.uint8)).shape == (2, width // 4, 3)


def test_a_crop_is_read_alike_alone_and_in_a_batch() -> None:
    network = RecognitionNetwork(RecognizerConfig(charset="ab", stem=8, channels=(8, 8, 8), hidden=8)).eval()
    images = 255 * torch.rand(3, 3, 32, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(images)[1:2], network(images[1:2]))


def test_votes_move_with_what_they_see() -> None:
    """A network that votes for the brightest cell finds it, wherever it lies."""
    network = build_localization(LocalizationConfig(rows=2, cols=2, thumbnail=(32, 16), channels=(1,), blocks=(0,)))
    with torch.no_grad():
        network.features[0].weight.zero_()[..., 1, 1] = 1  # the pixel itself
        network.votes.weight[:4] = 100
    image = torch.zeros(1, 3, 16, 32)
    image[..., 6, 20] = 255  # in the cell of row 3 and column 10, of 8 rows and 16 columns
    found = network.eval()(image)[0].detach().numpy() - canonical_points(2, 2)
    np.testing.assert_allclose(found, [[2 * 10.5 / 16 - 1, 2 * 3.5 / 8 - 1]] * 4, atol=1e-5)


@both_heads
def test_a_refiner_is_the_same_in_torch_and_at_run_time(tmp_path: Path, shape: dict[str, Any]) -> None:
    torch.manual_seed(3)
    config = LocalizationConfig(rows=3, cols=4, **shape)
    networks = {kind: build_localization(config).eval() for kind in ("rectifier", "refiner")}
    for kind, network in networks.items():
        torch.nn.init.normal_(list(network.parameters())[-2], std=0.4)  # of the last layer
        description = {"format": 1, "kind": kind, **vars(config)}
        save_network(tmp_path / f"{kind}.safetensors", network, description, torch.float32)
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (64, 192, 3)).astype(np.uint8), (0, 0), 4)
    small = torch.from_numpy(thumbnail(image, config.thumbnail)).permute(2, 0, 1)[None]
    with torch.no_grad():
        first, second = locate(*networks.values(), small, torch.from_numpy(image).permute(2, 0, 1)[None])
    assert (first - second).abs().max() > 0.01
    found = Rectifier(tmp_path).locate([image])
    # Bytes in between round what the refiner sees.
    np.testing.assert_allclose(found, second.numpy(), atol=5e-3)


@both_heads
def test_affine_points_are_the_nearest_map_and_keep_the_identity(shape: dict[str, Any]) -> None:
    network = build_localization(LocalizationConfig(rows=3, cols=4, family="affine", **shape)).eval()
    canonical = canonical_points(3, 4)
    picture = 255 * torch.rand(2, 3, 32, 96)
    np.testing.assert_allclose(network(picture)[0].detach().numpy(), canonical, atol=1e-6)
    torch.manual_seed(0)
    torch.nn.init.normal_(list(network.parameters())[-2], std=0.4)  # of the last layer
    torch.nn.init.normal_(list(network.parameters())[-1], std=0.4)
    with torch.no_grad():
        free, found = network.network(picture).numpy(), network(picture).numpy()
    terms = np.column_stack([np.ones(12), canonical])
    for points, nearest in zip(free, found, strict=True):
        expected = terms @ np.linalg.lstsq(terms, points, rcond=None)[0]
        assert np.abs(points - nearest).max() > 0.05
        np.testing.assert_allclose(nearest, expected, atol=1e-5)


def test_unknown_families_are_named() -> None:
    with pytest.raises(ValueError, match="'homography' is none of tps, affine"):
        build_localization(LocalizationConfig(family="homography"))
