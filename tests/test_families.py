"""Families of transforms: exact cases, agreement of torch and numpy, gradients, precision, a family of one's own."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from torch import nn

import rectify.families
from rectify.arrays import Array, namespace
from rectify.conventions import canonical_points, pixel_grid
from rectify.families import (
    Affine,
    Attention,
    AttentionXY,
    Composition,
    Family,
    Projective,
    Similarity,
    ThinPlateSpline,
)
from rectify.families.family import columns, coordinates, joined
from rectify.sampler import sample, tps_grid
from rectify.tps import tps_basis
from rectify.transformer import Localization, Transformer

FAMILIES: list[Family] = [
    Affine(),
    Projective(),
    Attention(),
    AttentionXY(),
    Similarity(),
    ThinPlateSpline(2, 2),
    ThinPlateSpline(4, 4),
    ThinPlateSpline(2, 10),
    Composition(Affine(), ThinPlateSpline(3, 3)),
    Composition(ThinPlateSpline(3, 3), Projective()),
    Composition(Composition(Similarity(), Attention()), Affine()),
]
INVERTIBLE = [family for family in FAMILIES if "Spline" not in str(family)]
AFFINE = np.array([[0.8, -0.3, 0.1], [0.2, 1.1, -0.2]])
each = pytest.mark.parametrize("family", FAMILIES, ids=str)


def near_identity(family: Family, count: int = 3, spread: float = 0.1, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return family.identity() + rng.uniform(-spread, spread, (count, family.parameters))


def some_points(count: int = 20, seed: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(-1.2, 1.2, (count, 2))


@pytest.mark.parametrize(
    ("family", "count"),
    [
        (Affine(), 6),
        (Projective(), 8),
        (Attention(), 3),
        (AttentionXY(), 4),
        (Similarity(), 4),
        (ThinPlateSpline(2, 10), 40),
        (Composition(Affine(), ThinPlateSpline(3, 4)), 30),
    ],
    ids=str,
)
def test_number_of_parameters(family: Family, count: int) -> None:
    assert family.parameters == count
    assert family.identity().shape == (count,)


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_identity_is_exact(family: Family, dtype: type) -> None:
    theta = np.stack([family.identity()] * 2).astype(dtype)
    expected = pixel_grid(5, 7).astype(dtype).reshape(5, 7, 2)
    for grid in (family.grid(theta, 5, 7), family.grid(torch.from_numpy(theta), 5, 7).numpy()):
        assert grid.dtype == dtype
        np.testing.assert_array_equal(grid, np.stack([expected] * 2))


@pytest.mark.parametrize(
    ("family", "theta"),
    [
        (Affine(), AFFINE.ravel()),
        (Projective(), [*AFFINE.ravel(), 0, 0]),
        (ThinPlateSpline(3, 5), (canonical_points(3, 5) @ AFFINE[:, :2].T + AFFINE[:, 2]).ravel()),
        (Composition(Affine(), ThinPlateSpline(3, 3)), [*AFFINE.ravel(), *canonical_points(3, 3).ravel()]),
        (Composition(ThinPlateSpline(3, 3), Affine()), [*canonical_points(3, 3).ravel(), *AFFINE.ravel()]),
    ],
    ids=str,
)
def test_affine_maps_are_exact(family: Family, theta: list[float]) -> None:
    points = some_points()
    mapped = family.map(np.array([theta]), points)
    np.testing.assert_allclose(mapped[0], points @ AFFINE[:, :2].T + AFFINE[:, 2], atol=1e-12)


def test_similarity_turns_scales_and_moves() -> None:
    angle, scale = np.radians(30), 0.5
    theta = np.array([[scale * np.cos(angle), scale * np.sin(angle), 0.1, -0.2]])
    mapped = Similarity().map(theta, np.array([[1.0, 0.0], [0.0, 1.0]]))[0]
    expected = [[0.1 + 0.5 * 3**0.5 / 2, -0.2 + 0.25], [0.1 - 0.25, -0.2 + 0.5 * 3**0.5 / 2]]
    np.testing.assert_allclose(mapped, expected, atol=1e-12)


def test_attention_looks_at_its_rectangle() -> None:
    corners = np.array([[-1.0, -1.0], [1.0, 1.0]])
    np.testing.assert_allclose(Attention().map(np.array([[0.5, 0.2, -0.1]]), corners)[0], [[-0.3, -0.6], [0.7, 0.4]])
    mapped = AttentionXY().map(np.array([[0.5, 0.25, 0.2, -0.1]]), corners)[0]
    np.testing.assert_allclose(mapped, [[-0.3, -0.35], [0.7, 0.15]])


def test_projective_is_the_homography() -> None:
    theta = near_identity(Projective(), spread=0.2)
    points = some_points()
    homogeneous = np.column_stack([points, np.ones(len(points))])
    for one, mapped in zip(theta, Projective().map(theta, points), strict=True):
        expected = homogeneous @ np.append(one, 1).reshape(3, 3).T
        np.testing.assert_allclose(mapped, expected[:, :2] / expected[:, 2:], atol=1e-12)


def test_projective_stays_finite_at_the_horizon_and_behind_it() -> None:
    theta = torch.tensor([[1.0, 0, 0, 0, 1, 0, -1, 0]], requires_grad=True)
    mapped = Projective().map(theta, np.array([[1.0, 0.5], [3.0, 0.5]]))
    mapped.sum().backward()
    assert mapped.isfinite().all() and theta.grad.isfinite().all()


def test_spline_takes_canonical_points_to_the_control_points() -> None:
    family = ThinPlateSpline(3, 4)
    theta = near_identity(family, spread=0.3)
    np.testing.assert_allclose(family.map(theta, canonical_points(3, 4)).reshape(3, -1), theta, atol=1e-10)


def test_spline_agrees_with_the_basis_used_in_training() -> None:
    theta = torch.from_numpy(near_identity(ThinPlateSpline(5, 5), spread=0.2)).float()
    grid = ThinPlateSpline(5, 5).grid(theta, 32, 100)
    torch.testing.assert_close(grid, tps_grid(theta.reshape(3, 25, 2), 5, 5, 32, 100), atol=2e-6, rtol=0)


def test_spline_needs_a_grid_of_points() -> None:
    with pytest.raises(ValueError, match="1x5"):
        ThinPlateSpline(1, 5)


def test_basis_of_torch_points_is_the_same() -> None:
    points = some_points()
    basis = tps_basis(torch.from_numpy(points).reshape(4, 5, 2), 3, 4)
    assert basis.shape == (4, 5, 12)
    np.testing.assert_allclose(basis.reshape(20, 12).numpy(), tps_basis(points, 3, 4), atol=1e-12)


@each
def test_torch_equals_numpy(family: Family) -> None:
    theta, points = near_identity(family), some_points()
    np.testing.assert_allclose(
        family.map(torch.from_numpy(theta), points).numpy(), family.map(theta, points), atol=1e-12
    )
    np.testing.assert_allclose(
        family.grid(torch.from_numpy(theta).float(), 6, 9).numpy(), family.grid(theta, 6, 9), atol=1e-5
    )


@each
def test_grid_is_the_map_of_the_pixel_centres(family: Family) -> None:
    theta = near_identity(family)
    grid = family.grid(theta, 6, 9)
    assert grid.shape == (3, 6, 9, 2)
    np.testing.assert_allclose(grid.reshape(3, 54, 2), family.map(theta, pixel_grid(6, 9)), atol=1e-12)


@each
def test_each_map_may_have_points_of_its_own(family: Family) -> None:
    theta = near_identity(family)
    points = np.stack([some_points(seed=seed) for seed in range(3)])
    mapped = family.map(theta, points)
    for index in range(3):
        np.testing.assert_allclose(mapped[index], family.map(theta[index : index + 1], points[index])[0], atol=1e-12)


@pytest.mark.parametrize("family", INVERTIBLE, ids=str)
def test_inverse_undoes_the_map(family: Family) -> None:
    theta, points = near_identity(family), some_points()
    mapped = family.map(theta, points)
    np.testing.assert_allclose(family.inverse(theta, mapped), np.stack([points] * 3), atol=1e-10)
    torch.testing.assert_close(
        family.inverse(torch.from_numpy(theta), torch.from_numpy(mapped)), torch.from_numpy(np.stack([points] * 3))
    )


def test_splines_say_that_they_have_no_inverse() -> None:
    family = Composition(Affine(), ThinPlateSpline(2, 2))
    with pytest.raises(NotImplementedError, match="rows=2, cols=2"):
        family.inverse(near_identity(family), some_points())


@each
def test_gradients(family: Family) -> None:
    theta = torch.from_numpy(near_identity(family, 2)).requires_grad_()
    points = torch.from_numpy(some_points(4)).requires_grad_()
    assert torch.autograd.gradcheck(family.map, (theta, points))
    assert torch.autograd.gradcheck(lambda one: family.grid(one, 2, 3), (theta,))


@each
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_parameters_give_the_float32_grid(family: Family, dtype: torch.dtype) -> None:
    half = torch.from_numpy(near_identity(family)).to(dtype)
    grid = family.grid(half, 8, 32)
    assert grid.dtype == torch.float32
    torch.testing.assert_close(grid, family.grid(half.float(), 8, 32), atol=0, rtol=0)


@each
def test_autocast_leaves_the_grid_alone(family: Family) -> None:
    theta = torch.from_numpy(near_identity(family)).float()
    points = torch.from_numpy(some_points()).float()
    with torch.autocast("cpu", torch.bfloat16):
        grid, mapped = family.grid(theta, 8, 32), family.map(theta, points)
    torch.testing.assert_close(grid, family.grid(theta, 8, 32), atol=0, rtol=0)
    torch.testing.assert_close(mapped, family.map(theta, points), atol=0, rtol=0)


def test_numpy_half_is_computed_in_float32() -> None:
    theta = near_identity(Affine()).astype(np.float16)
    assert Affine().grid(theta, 2, 2).dtype == np.float32


@each
def test_wrong_number_of_parameters_is_refused(family: Family) -> None:
    with pytest.raises(ValueError, match=rf"\(N, {family.parameters}\), got \(2, {family.parameters + 1}\)"):
        family.grid(np.zeros((2, family.parameters + 1)), 4, 4)


def test_composition_is_one_sampling_after_the_other() -> None:
    """Exactly so for a picture that bilinear sampling does not change: a plane."""
    first, then = Affine(), ThinPlateSpline(3, 3)
    family = Composition(first, then)
    theta = torch.from_numpy(near_identity(family, 2, spread=0.05))
    theta[:, [0, 4]] *= 0.7  # stays within the source
    x, y = np.meshgrid(np.arange(40.0), np.arange(30.0))
    plane = torch.from_numpy(np.stack([x, y]))[None].expand(2, -1, -1, -1)
    inner = then.grid(theta[:, 6:] * 0.8, 10, 12)
    theta = torch.cat([theta[:, :6], theta[:, 6:] * 0.8], 1)
    twice = sample(sample(plane, first.grid(theta[:, :6], 30, 40)), inner)
    torch.testing.assert_close(sample(plane, family.grid(theta, 10, 12)), twice, atol=1e-9, rtol=0)


def test_families_tell_their_shape_and_compare() -> None:
    assert str(ThinPlateSpline(2, 3)) == "ThinPlateSpline(rows=2, cols=3)"
    assert Composition(Affine(), ThinPlateSpline(2, 3)) == Composition(Affine(), ThinPlateSpline(2, 3))


def test_every_family_is_a_file_of_at_most_60_lines() -> None:
    folder = Path(inspect.getfile(rectify.families)).parent
    for path in folder.glob("*.py"):
        classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
        if path.stem != "family":
            assert len(path.read_text().splitlines()) <= 60
            assert all(issubclass(getattr(rectify.families, one.name), Family) for one in classes)


@dataclass(frozen=True)
class Turn(Family):
    """A family of one's own: rotation about the middle."""

    parameters = 1

    def identity(self) -> NDArray[np.float64]:
        return np.zeros(1)

    def transform(self, theta: Array, points: Array) -> Array:
        xp = namespace(theta)
        (angle,) = columns(theta)
        x, y = coordinates(points)
        return joined(xp.cos(angle) * x - xp.sin(angle) * y, xp.sin(angle) * x + xp.cos(angle) * y)


def test_a_family_of_ones_own_works_and_trains() -> None:
    """Bars at unknown angles are to be turned upright: from the upright picture alone, the angle is learnt."""
    torch.manual_seed(0)
    np.testing.assert_array_equal(Turn().grid(np.zeros((1, 1)), 4, 4)[0].reshape(-1, 2), pixel_grid(4, 4))
    bar = torch.zeros(1, 1, 16, 16)
    bar[:, :, 3:13, 6:10] = 1
    bar[:, :, 3:6, 6:13] = 1
    angles = torch.linspace(-0.6, 0.6, 24)[:, None]
    tilted = sample(bar.expand(24, -1, -1, -1), Turn().grid(angles, 16, 16))
    body = nn.Sequential(nn.Flatten(), nn.Linear(256, 32), nn.Tanh())
    transformer = Transformer(Turn(), Localization(Turn(), body, 32))
    optimizer = torch.optim.Adam(transformer.parameters(), 3e-3)
    losses = []
    for _ in range(150):
        output = transformer(tilted)
        loss = (output.image - bar).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]
    assert (transformer(tilted).theta + angles).abs().mean() < 0.1
