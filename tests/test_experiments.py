"""The experiments: their parts exactly, then each of them in its quick form, on digits drawn here."""

from __future__ import annotations

import gzip
import importlib
import json
import math
import re
import struct
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from PIL import Image
from torch import Tensor, nn

from rectify.families import Affine, Attention, Projective, Similarity, ThinPlateSpline
from rectify.sampler import sample, sample_trilinear
from rectify.transformer import Localization, Transformer
from train.experiments import (
    co_localization,
    cost,
    distorted_mnist,
    feature_map,
    glyphs,
    localization,
    mnist_addition,
    samplers,
)
from train.experiments.__main__ import EXPERIMENTS, main
from train.experiments.clutter import attended_boxes, box_overlap, cluttered, scenes
from train.experiments.distortions import DISTORTIONS, SIDES, homography, placed, projective, rotated, rotation
from train.experiments.fit import Schedule, batches, error_percent, fit_classes, seeded
from train.experiments.idx import Digits, load_digits, read_idx
from train.experiments.networks import ThinConvolution, fcn, matched, parameter_count, pooled
from train.experiments.pictures import GAP, box, marked, outline, picture, save_gif, sheet
from train.experiments.poses import affine_angle, left_angles, mean_and_spread
from train.experiments.runs import Figures, Run, finished, plain
from train.experiments.tps_bounds import BoundedSpline


def drawn_digits(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Digits (count, 28, 28) drawn with a border, and their labels."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, 28, 28), np.uint8)
    labels = np.arange(count, dtype=np.uint8) % 10
    for image, label in zip(images, labels, strict=True):
        corner = (int(rng.integers(6, 9)), int(rng.integers(21, 24)))
        cv2.putText(image, str(label), corner, cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 2, cv2.LINE_AA)
    return images, labels


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    data = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.fixture(scope="session")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of IDX files with a hundred digits to train and forty to test."""
    folder = tmp_path_factory.mktemp("idx")
    for name, count, end in (("train", 100, ""), ("t10k", 40, ".gz")):
        images, labels = drawn_digits(count, seed=count)
        write_idx(folder / f"{name}-images-idx3-ubyte{end}", images)
        write_idx(folder / f"{name}-labels-idx1-ubyte{end}", labels)
    return folder


@pytest.fixture(scope="session")
def digits(mnist: Path) -> Digits:
    return load_digits(mnist, "train")


# Digits


def test_idx_files_plain_and_gzipped(mnist: Path) -> None:
    for part, count in (("train", 100), ("test", 40)):
        images, labels = drawn_digits(count, seed=count)
        found = load_digits(mnist, part)
        assert found.images.shape == (count, 1, 28, 28) and found.images.dtype == torch.float32
        np.testing.assert_array_equal((found.images[:, 0] * 255).round().numpy(), images)
        np.testing.assert_array_equal(found.labels.numpy(), labels)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PNG", "not an IDX file"),
        (struct.pack(">BBBBI", 0, 0, 13, 1, 1) + b"abcd", "not an IDX file of unsigned bytes"),
        (struct.pack(">BBBBI", 0, 0, 8, 1, 5) + b"abc", r"says \(5,\) but holds 3 bytes"),
    ],
)
def test_broken_idx_files_are_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "broken"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"broken: .*{message}"):
        read_idx(path)


def test_missing_files_and_labels_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no train.*images-idx3"):
        load_digits(tmp_path, "train")
    images, labels = drawn_digits(4, 0)
    write_idx(tmp_path / "train-images-idx3-ubyte", images)
    write_idx(tmp_path / "train-labels-idx1-ubyte", labels[:3])
    with pytest.raises(ValueError, match="3 labels"):
        load_digits(tmp_path, "train")


def test_drawn_digits_are_ten_and_keep_a_border() -> None:
    images, labels = glyphs.drawn_digits(20)
    assert images.shape == (20, 1, 28, 28) and labels.tolist() == 2 * list(range(10))
    torch.testing.assert_close(images[:10], images[10:], atol=0, rtol=0)
    assert len(images.unique(dim=0)) == 10
    assert images.amax((1, 2, 3)).min() > 0.9
    images[:, :, 3:-3, 3:-3] = 0
    assert images.max() == 0


# Distortions


def test_a_turn_by_nothing_changes_nothing(digits: Digits) -> None:
    torch.testing.assert_close(rotated(digits.images, torch.zeros(100)), digits.images, atol=1e-4, rtol=0)


def test_a_quarter_turn_is_exact_and_clockwise(digits: Digits) -> None:
    turned = rotated(digits.images, torch.full((100,), math.pi / 2))
    torch.testing.assert_close(turned, digits.images.rot90(-1, (2, 3)), atol=1e-4, rtol=0)


def test_placing_moves_by_pixels(digits: Digits) -> None:
    places = torch.tensor([[5.0, -3.0]]).expand(100, 2)
    moved = placed(digits.images, torch.zeros(100), torch.ones(100), places, 42)
    torch.testing.assert_close(moved[:, :, 4:32, 12:40], digits.images, atol=1e-4, rtol=0)
    assert moved.sum() == pytest.approx(float(digits.images.sum()), rel=1e-3)


def test_placing_scales_about_the_middle(digits: Digits) -> None:
    small = placed(digits.images, torch.zeros(100), torch.full((100,), 0.5), torch.zeros(100, 2), 28)
    assert small.sum() == pytest.approx(float(digits.images.sum()) / 4, rel=0.05)
    assert small[:, :, :7].sum() < 1e-2 and small[:, :, 21:].sum() < 1e-2


def test_homography_takes_the_corners_to_the_square() -> None:
    square = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    quads = square + 0.3 * torch.rand(5, 4, 2, generator=seeded(0))
    mapped = Projective().map(homography(quads, square), quads)
    torch.testing.assert_close(mapped, square.expand(5, 4, 2), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", DISTORTIONS)
def test_distortions_depend_on_the_seed_alone(name: str, digits: Digits) -> None:
    first, again, other = (DISTORTIONS[name](digits.images, seeded(seed)) for seed in (1, 1, 2))
    assert first.shape == (100, 1, SIDES[name], SIDES[name])
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    assert (first - other).abs().max() > 0.5
    assert first.min() >= 0 and first.max() <= 1
    # No digit is lost, none fills the image.
    ink = first.sum((1, 2, 3)) / digits.images.sum((1, 2, 3))
    assert ink.min() > 0.1 and ink.max() < 2.5


def test_rotation_has_its_middle_and_its_range(digits: Digits) -> None:
    turned = rotation(0, 90)(digits.images, seeded(0))
    torch.testing.assert_close(turned, digits.images.rot90(-1, (2, 3)), atol=1e-4, rtol=0)


def test_projections_are_drawn_until_they_are_convex() -> None:
    """Wide scatter folds many quads; none of them may reach the picture."""
    images = torch.ones(2000, 1, 28, 28)
    assert projective(images, seeded(0)).isfinite().all()


# Scenes


def test_the_box_is_where_the_digit_was_put(digits: Digits) -> None:
    scene = scenes(digits.images, 60, 0, seeded(0))
    corners = ((scene.boxes + 1) * 30).round().long()
    for image, (left, top, right, bottom), digit in zip(scene.images, corners.tolist(), digits.images, strict=True):
        torch.testing.assert_close(image[:, top:bottom, left:right], digit)
        assert float(image.sum()) == pytest.approx(float(digit.sum()), rel=1e-5)
    assert len(corners.unique(dim=0)) > 90


def test_clutter_adds_and_never_erases(digits: Digits) -> None:
    scene = scenes(digits.images, 60, 0, seeded(0)).images
    littered = cluttered(scene, digits.images, 6, seeded(1))
    assert (littered >= scene).all()
    assert 1.05 < float(littered.sum() / scene.sum()) < 2


def test_attended_boxes_are_those_of_the_grid() -> None:
    theta = torch.tensor([[0.5, 0.2, -0.1], [-0.5, 0.2, -0.1]])
    expected = torch.tensor([[-0.3, -0.6, 0.7, 0.4]]).expand(2, 4)
    torch.testing.assert_close(attended_boxes(Attention(), theta), expected)


def test_overlap_of_boxes() -> None:
    one = torch.tensor([[0.0, 0.0, 2.0, 2.0]]).expand(4, 4)
    others = torch.tensor([[0.0, 0, 2, 2], [1, 0, 3, 2], [2, 2, 3, 3], [0.5, 0.5, 1.5, 1.5]])
    torch.testing.assert_close(box_overlap(one, others), torch.tensor([1, 1 / 3, 0, 0.25]))


# Networks and training


def test_matched_networks_have_the_nearest_number_of_parameters() -> None:
    for target in (5_000, 50_000, 123_456):
        found = parameter_count(matched(lambda width: fcn(28, width), target))
        widths = [parameter_count(fcn(28, width)) for width in range(1, 200)]
        assert abs(found - target) == min(abs(one - target) for one in widths)


@pytest.mark.parametrize("base", ["CNN", "FCN"])
@pytest.mark.parametrize("side", [28, 42])
def test_networks_of_a_base_are_matched_and_start_as_the_identity(base: str, side: int) -> None:
    kinds = [kind for kind in distorted_mnist.KINDS if base in kind]
    built = {kind: distorted_mnist.build(distorted_mnist.FULL, kind, side) for kind in kinds}
    counts = [parameter_count(network) for network in built.values()]
    assert max(counts) / min(counts) < 1.03
    images = torch.rand(2, 1, 28, 28, generator=seeded(0))
    for kind, network in built.items():
        assert network(torch.rand(2, 1, side, side)).shape == (2, 10)
        if kind != base and side == 28:
            torch.testing.assert_close(network.transformer(images).image, images, atol=1e-5, rtol=0)


def test_a_thin_convolution_is_a_convolution() -> None:
    torch.manual_seed(0)
    thin, plain = ThinConvolution(2, 3, 4).double(), nn.Conv2d(2, 3, 4).double()
    plain.load_state_dict(thin.state_dict())
    images = torch.rand(2, 2, 7, 6, dtype=torch.float64)
    torch.testing.assert_close(thin(images), plain(images))
    found, expected = (image_gradient(network, images) for network in (thin, plain))
    torch.testing.assert_close(found, expected)
    for name, parameter in thin.named_parameters():
        torch.testing.assert_close(parameter.grad, plain.get_parameter(name).grad)


def image_gradient(network: nn.Module, images: Tensor) -> Tensor:
    """By the images; those by the parameters are left in them."""
    images = images.detach().requires_grad_()
    network(images).square().sum().backward()
    assert images.grad is not None
    return images.grad


def test_pooling_first_is_the_same() -> None:
    images = torch.randn(2, 3, 8, 8, generator=seeded(0))
    torch.testing.assert_close(nn.Sequential(*pooled())(images), nn.MaxPool2d(2)(images.relu()), atol=0, rtol=0)


def test_batches_show_every_digit_before_any_comes_again(digits: Digits) -> None:
    numbered = Digits(digits.images, torch.arange(100))
    draw = batches(numbered, 20, seeded(0))
    first = torch.cat([draw()[1] for _ in range(5)])
    assert first.sort()[0].tolist() == list(range(100))
    assert first.tolist() != torch.cat([draw()[1] for _ in range(5)]).tolist()


def test_training_learns_and_repeats_itself(digits: Digits) -> None:
    def train() -> nn.Module:
        torch.manual_seed(0)
        network = fcn(28, 32)
        fit_classes(network, Schedule(steps=60, batch=50, rate=3e-3), batches(digits, 50, seeded(0)))
        return network

    first, second = train(), train()
    assert error_percent(first, digits.images, digits.labels) < 5
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_localization_networks_may_have_a_rate_of_their_own(digits: Digits) -> None:
    torch.manual_seed(0)
    network = distorted_mnist.build(distorted_mnist.QUICK, "ST-FCN affine", 28)
    before = {name: value.clone() for name, value in network.named_parameters()}
    schedule = Schedule(steps=3, batch=10, localization_rate=0.0)
    fit_classes(network, schedule, batches(digits, 10, seeded(0)))
    moved = {name for name, value in network.named_parameters() if not torch.equal(value, before[name])}
    assert moved and not any("localization" in name for name in moved)


def test_a_transformer_of_any_kind_stands_in_the_feature_map_networks() -> None:
    images = torch.rand(3, 1, 28, 28)
    for kind in feature_map.KINDS:
        network = feature_map.Network(kind)
        assert network(images).shape == (3, 10)
        if network.transformer is not None:
            side, channels = {0: (28, 1), 1: (14, 8), 2: (7, 16)}[
                0 if network.transforms_input else network.looks_after
            ]
            assert network.transform(images).image.shape == (3, channels, side, side)


# Poses


def test_angle_within_an_affine_map() -> None:
    angles = torch.tensor([0.0, 0.5, -1.2, 3.0])
    similarity = torch.stack([1.3 * angles.cos(), -1.3 * angles.sin(), 1.3 * angles.sin(), 1.3 * angles.cos()], 1)
    theta = torch.stack([*similarity[:, :2].T, torch.ones(4), *similarity[:, 2:].T, torch.ones(4)], 1)
    torch.testing.assert_close(affine_angle(theta), angles)


def test_a_transformer_that_knows_the_angle_leaves_none(digits: Digits) -> None:
    angles = torch.linspace(-1.4, 1.4, 100)
    zero = torch.zeros(100)
    cos, sin = angles.cos(), angles.sin()

    class Knowing(nn.Module):
        def forward(self, images: Tensor):
            return Transformer(Affine(), nn.Identity()).transform(
                images, torch.stack([cos, -sin, zero, sin, cos, zero], 1)
            )

    left, output = left_angles(digits.images, angles, Knowing())
    torch.testing.assert_close(left, zero, atol=1e-5, rtol=0)
    assert (output.image - digits.images).abs().mean() < 0.03
    idle = Transformer(Affine(), Localization(Affine(), nn.Flatten(), 784))
    torch.testing.assert_close(left_angles(digits.images, angles, idle)[0], angles, atol=1e-5, rtol=0)


def test_circular_mean_and_spread() -> None:
    mean, spread = mean_and_spread(torch.deg2rad(torch.tensor([175.0, -175.0])))
    assert abs(mean) == pytest.approx(180, abs=1e-3) and spread == pytest.approx(5, abs=0.05)


# Parts of single experiments


def test_pairs_sum_their_digits(digits: Digits) -> None:
    images, sums = mnist_addition.pairs(digits, Schedule(steps=10, batch=20), seed=0)()
    assert images.shape == (20, 2, 42, 42)
    assert sums.min() >= 0 and sums.max() <= 18
    assert (images[:, 0] - images[:, 1]).abs().max() > 0.5


def test_pairs_are_hardly_distorted_at_first(digits: Digits) -> None:
    draw = mnist_addition.pairs(digits, Schedule(steps=2, batch=20), seed=0)
    first, later = (draw()[0] for _ in range(2))
    middle = slice((42 - 28) // 2, (42 + 28) // 2)
    assert float(first.sum()) == pytest.approx(float(first[..., middle, middle].sum()))
    assert float(later.sum()) > float(later[..., middle, middle].sum()) * 1.001


def test_adders_are_matched() -> None:
    target = parameter_count(mnist_addition.Adder(2, 64))
    for transformers in (0, 1, 2):
        network = matched(lambda width, count=transformers: mnist_addition.Adder(count, width), target)
        assert abs(parameter_count(network) / target - 1) < 0.03
        assert network(torch.rand(2, 2, 42, 42)).shape == (2, 19)


def test_scene_classifiers_are_matched() -> None:
    counts = [parameter_count(localization.build(localization.FULL, kind)) for kind in localization.KINDS]
    assert max(counts) / min(counts) < 1.03


def test_triplets_that_agree_cost_nothing_and_others_do() -> None:
    same, apart = torch.tensor([[1.0, 0]]).expand(3, 2), torch.tensor([[0.0, 1]]).expand(3, 2)
    assert float(co_localization.triplet_loss(same, apart, margin=1.0)) == 0
    assert float(co_localization.triplet_loss(same, same, margin=1.0)) == 1
    assert float(co_localization.triplet_loss(same, apart, margin=2.5)) == pytest.approx(0.5)


def test_windows_stay_within_the_image() -> None:
    window = co_localization.Window(1 / 3)
    boxes = attended_boxes(window, torch.tensor([[9.0, -9.0], [0.0, 0.0]]))
    torch.testing.assert_close(boxes, torch.tensor([[1 / 3, -1, 1, -1 / 3], [-1 / 3, -1 / 3, 1 / 3, 1 / 3]]))


@pytest.mark.parametrize(("kind", "objects"), [("translated", 1), ("two objects", 2)])
def test_shared_images_show_their_class_in_their_boxes(kind: str, objects: int, digits: Digits) -> None:
    shared = co_localization.shared_images(co_localization.QUICK, digits, kind, 3)
    assert shared.boxes.shape == (8, objects, 4)
    members = digits.images[digits.labels == 3]
    corners = ((shared.boxes + 1) * 42).round().long()
    for image, boxes in zip(shared.images, corners.tolist(), strict=True):
        for left, top, right, bottom in boxes:
            assert ((image[:, top:bottom, left:right] - members).abs().amax((1, 2, 3)) < 1e-6).any()
    if objects == 2:  # no window holds both
        assert (shared.boxes[:, 1, 0] >= shared.boxes[:, 0, 2]).all()
    stand_ins = co_localization.shared_images(co_localization.QUICK, glyphs.drawn_digits(20), kind, 3)
    torch.testing.assert_close(stand_ins.boxes, shared.boxes, atol=0, rtol=0)


def test_bounded_points_stay_within_the_image() -> None:
    family = BoundedSpline(ThinPlateSpline(3, 3))
    near = family.map(family.identity()[None], np.array([[1.0, 0.5]]))
    np.testing.assert_allclose(near, [[[0.95, 0.475]]], atol=1e-9)
    theta = 100 * torch.randn(5, 18, generator=seeded(0))
    reached = family.map(theta, Tensor([[-1.0, -1], [1, 1], [0, 0]]))
    assert reached.abs().max() <= 1 + 1e-5


@pytest.mark.parametrize("sampler", samplers.SAMPLERS.values(), ids=samplers.SAMPLERS)
@pytest.mark.parametrize("scale", [(2.0, 2.0), (1 / 4, 1 / 4), (1 / 4, 1.0)])
def test_weights_of_a_sample_sum_to_one(sampler, scale: tuple[float, float]) -> None:
    found = samplers.weights(sampler, scale, angle=20.0)
    assert float(found.sum()) == pytest.approx(1, abs=1e-4)
    assert float(found.min()) >= -1e-6


def test_bilinear_breaks_below_half_and_trilinear_does_not() -> None:
    page = samplers.draw_page(samplers.QUICK)
    quarter, same = (samplers.scale_errors(samplers.QUICK, page, (scale, scale)) for scale in (1 / 4, 1.0))
    assert quarter["trilinear"] <= 0.5 * quarter["bilinear"]
    assert same["trilinear"] == pytest.approx(same["bilinear"], rel=1e-3)


def test_the_reference_of_a_scale_is_the_mean_of_the_page() -> None:
    """Without tilt and at whole scales a pixel of the reference is a block of the page."""
    settings = samplers.Settings(width=64, height=32, angle=0.0, shown=1.0)
    page = samplers.draw_page(settings)
    grid, reference = samplers.reference_at(settings, page, (1 / 4, 1 / 2))
    assert grid.shape == (1, 16, 16, 2)
    expected = torch.nn.functional.avg_pool2d(page, (2 * samplers.FINE, 4 * samplers.FINE))
    torch.testing.assert_close(reference, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("network", "shape", "expected"),
    [
        (nn.Linear(5, 7), (1, 5), 35),
        (nn.Conv2d(3, 4, 5, padding=2), (1, 3, 8, 6), 48 * 4 * 75),
        (nn.LSTM(5, 7, batch_first=True, bidirectional=True), (1, 11, 5), 2 * 11 * 4 * 7 * (5 + 7)),
        (Transformer(Affine(), Localization(Affine(), nn.Flatten(), 16)), (1, 1, 4, 4), 16 * 6 + 16 * 4 + 16 * 2 * 6),
    ],
)
def test_multiply_adds(network: nn.Module, shape: tuple[int, ...], expected: int) -> None:
    assert cost.multiply_adds(network, (torch.rand(shape),)) == expected


# Pictures


def test_sheets_hold_their_pictures_at_their_places() -> None:
    small, large = np.full((4, 6, 3), 255, np.uint8), np.zeros((8, 10, 3), np.uint8)
    page = sheet([[small, large], [small]])
    assert page.shape == (8 + 4 + 3 * GAP, 6 + 10 + 3 * GAP, 3)
    assert (page[GAP : GAP + 4, GAP : GAP + 6] == 255).all()
    assert (page[GAP : GAP + 8, 2 * GAP + 6 : 2 * GAP + 16] == 0).all()


def test_pictures_enlarge_and_color() -> None:
    grey = picture(torch.tensor([[[0.0, 1.0]]]), zoom=2)
    assert grey.shape == (2, 4, 3) and grey[0].tolist() == [[0] * 3] * 2 + [[255] * 3] * 2
    assert picture(torch.tensor([[[1.0]], [[0.0]]]), zoom=1)[0, 0].tolist() == [255, 0, 0]


def test_outlines_and_boxes_are_drawn_where_they_lie() -> None:
    grid = Similarity().grid(torch.tensor([[0.5, 0.0, 0.0, 0.0]]), 4, 6)[0]
    around = outline(grid)
    assert len(around) == 2 * (4 + 6) - 4 and len(around.unique(dim=0)) == len(around)
    drawn = marked(np.zeros((40, 40, 3), np.uint8), [(box(torch.tensor([-0.5, -0.5, 0.5, 0.5])), (255, 0, 0))])
    sides = [drawn[9:11, 20], drawn[20, 9:11], drawn[29:31, 20], drawn[20, 29:31]]
    assert all(side[:, 0].max() == 255 for side in sides)
    assert drawn[20, 20, 0] == 0 and drawn[:8].max() == 0


def test_animations_keep_their_frames(tmp_path: Path) -> None:
    save_gif(tmp_path / "a.gif", [np.full((8, 8, 3), shade, np.uint8) for shade in (0, 100, 200)])
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


# Cells


@dataclass(frozen=True)
class Counting:
    """Settings of the cells below."""

    factor: int = 2


def product(run: Run, settings: Counting, cell: int) -> Figures:
    (run.out / f"computed-{cell}").touch(exist_ok=False)
    if cell == 13:
        raise KeyboardInterrupt
    return {"value": settings.factor * cell}


def test_a_stopped_experiment_goes_on_from_its_finished_cells(tmp_path: Path) -> None:
    run = Run("counting", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        finished(run, Counting(), {"a": 1, "b": 2, "c": 13}, product)
    assert set(json.loads((tmp_path / "results.json").read_text())["cells"]) == {"a", "b"}
    figures = finished(run, Counting(), {"a": 1, "b": 2, "d": 4}, product)
    assert figures == {"a": {"value": 2}, "b": {"value": 4}, "d": {"value": 8}}


def test_results_of_other_settings_are_refused(tmp_path: Path) -> None:
    finished(Run("counting", tmp_path), Counting(), {"a": 1}, product)
    with pytest.raises(ValueError, match="another settings"):
        finished(Run("counting", tmp_path), Counting(factor=3), {"a": 1}, product)
    with pytest.raises(ValueError, match="another experiment"):
        finished(Run("other", tmp_path), Counting(), {"a": 1}, product)
    with pytest.raises(ValueError, match="another quick"):
        finished(Run("counting", tmp_path, quick=True), Counting(), {"a": 1}, product)


# The command

PICTURES = {
    "distorted-mnist": ["r-st-cnn-affine.png", "e-st-fcn-tps.png"],
    "mnist-addition": ["one-transformer.png", "two-in-parallel.png"],
    "localization": ["attention.png"],
    "co-localization": ["translated-0.png", "cluttered-1.png", "two-objects-0.png"],
    "feature-map": ["on-the-input.png", "shared.png"],
    "canonical-pose": ["mean-images-0.png", "mean-images-90.png"],
    "tps-bounds": ["accuracy.png", "points-60-free.gif", "points-60-tanh.gif"],
    "samplers": ["errors.png", "weights.png", "quarter.png"],
    "cost": [],
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_runs_quickly(
    name: str, mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [name, "--mnist", str(mnist), "--out", str(tmp_path / "out"), "--quick", "--jobs", "1"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "out" / "results.md").read_text()
    assert printed.startswith("| ")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["experiment"] == name and results["quick"] is True and results["cells"]
    for file in PICTURES[name]:
        with Image.open(tmp_path / "out" / file) as image:
            image.load()
            assert min(image.size) > 20
    if name not in ("cost", "samplers"):  # again: nothing is computed anew, the figures stay
        assert main(arguments) == 0
        assert capsys.readouterr().out == printed


def test_processes_do_not_change_the_figures(mnist: Path, tmp_path: Path) -> None:
    for jobs in ("1", "2"):
        arguments = ["canonical-pose", "--mnist", str(mnist), "--out", str(tmp_path / jobs), "--quick", "--jobs", jobs]
        assert main(arguments) == 0
    assert (tmp_path / "1" / "results.json").read_text() == (tmp_path / "2" / "results.json").read_text()


def test_what_is_missing_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["localization", "--out", str(tmp_path), "--quick"]) == 1
    assert capsys.readouterr().err == "rectify-ocr: localization needs digits: --mnist DIR, a folder of IDX files\n"
    assert main(["localization", "--mnist", str(tmp_path), "--out", str(tmp_path), "--quick", "--jobs", "1"]) == 1
    assert "no train*-images-idx3-ubyte" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["nothing", "--out", "x"], ["samplers"], ["samplers", "--out", "x", "--jobs", "0"]]
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: python -m train.experiments" in capsys.readouterr().err


DOCS = Path(__file__).parent.parent / "docs"


def test_committed_results_are_those_of_the_page_and_of_todays_settings() -> None:
    page = (DOCS / "experiments.md").read_text()
    folders = sorted(path.parent for path in (DOCS / "experiments").glob("*/results.md"))
    assert folders
    for folder in folders:
        assert (folder / "results.md").read_text() in page, folder
        assert f"python -m train.experiments {folder.name} " in page
        results = json.loads((folder / "results.json").read_text())
        module = importlib.import_module(f"train.experiments.{folder.name.replace('-', '_')}")
        assert results["quick"] is False and results["settings"] == plain(asdict(module.FULL)), folder


def test_pictures_of_the_page_exist() -> None:
    page = (DOCS / "experiments.md").read_text()
    for picture_of in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page):
        assert (DOCS / picture_of).stat().st_size < 400_000


def test_trilinear_and_bilinear_are_what_the_experiment_compares() -> None:
    assert samplers.SAMPLERS["bilinear"] is sample and samplers.SAMPLERS["trilinear"] is sample_trilinear
