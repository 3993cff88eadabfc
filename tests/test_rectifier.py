"""The rectifier at run time, with networks whose answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers import noise, save_recognizer, save_rectifier
from rectify import Framing, Rectifier
from rectify.conventions import canonical_points, to_pixels
from rectify.images import Image
from rectify.rectifier import BATCH, flatten, natural_size
from rectify.shape import thumbnail

IDENTITY = canonical_points(5, 5)


@pytest.fixture
def identity(tmp_path: Path) -> Rectifier:
    return Rectifier(save_rectifier(tmp_path / "identity.onnx", IDENTITY))


@pytest.mark.parametrize("shape", [(50, 200, 3), (50, 200), (50, 200, 1), (33, 21, 3), (2, 2), (20, 20000, 3)])
def test_identity_returns_the_crop_itself(identity: Rectifier, shape: tuple[int, ...]) -> None:
    image = noise(*shape)
    np.testing.assert_array_equal(identity.rectify(image).image, image)


def test_the_input_is_not_changed(identity: Rectifier) -> None:
    image = noise(20, 30, 3)
    before = image.copy()
    identity.rectify(image).image[:] = 0
    np.testing.assert_array_equal(image, before)


def test_control_points_are_pixels_of_the_source(tmp_path: Path) -> None:
    points = IDENTITY * 0.5 + (0.25, -0.125)
    rectifier = Rectifier(save_rectifier(tmp_path / "a.onnx", points))
    result = rectifier.rectify(noise(40, 120, 3))
    assert result.control_points.dtype == np.float32
    assert (result.rows, result.cols, result.rectified) == (5, 5, True)
    np.testing.assert_allclose(result.control_points, to_pixels(points, (120, 40)), rtol=1e-6)


def test_half_of_the_crop_at_its_own_resolution(tmp_path: Path) -> None:
    """Points around the middle half: the result is exactly those pixels."""
    rectifier = Rectifier(save_rectifier(tmp_path / "a.onnx", IDENTITY * 0.5))
    image = noise(40, 120, 3)
    np.testing.assert_array_equal(rectifier.rectify(image).image, image[10:30, 30:90])


def test_two_edges_of_control_points(tmp_path: Path) -> None:
    rectifier = Rectifier(save_rectifier(tmp_path / "a.onnx", canonical_points(2, 10), 2, 10))
    image = noise(30, 70)
    result = rectifier.rectify(image)
    assert (result.rows, result.cols) == (2, 10)
    np.testing.assert_array_equal(result.image, image)


def test_size_is_width_height(identity: Rectifier) -> None:
    assert identity.rectify(noise(40, 120, 3), (64, 16)).image.shape == (16, 64, 3)
    assert identity.rectify(noise(40, 120), (300, 200)).image.shape == (200, 300)


def test_channels_keep_their_order(identity: Rectifier) -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, :, 0] = 200
    assert identity.rectify(image, (25, 17)).image[5, 5].tolist() == [200, 0, 0]


def test_many_are_each_alone_and_in_order(tmp_path: Path) -> None:
    rectifier = Rectifier(save_rectifier(tmp_path / "a.onnx", IDENTITY * 0.9))
    images = [noise(20 + i % 7, 60 + i % 5, 3, seed=i) for i in range(BATCH + 5)]
    results = rectifier(images)
    for image, result in zip(images, results, strict=True):
        alone = rectifier.rectify(image)
        np.testing.assert_array_equal(result.image, alone.image)
        np.testing.assert_array_equal(result.control_points, alone.control_points)


def test_nothing_gives_nothing(identity: Rectifier) -> None:
    assert identity([]) == []
    assert identity.locate([]).shape == (0, 25, 2)


def test_the_network_sees_rgb_thumbnails(identity: Rectifier, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[NDArray[np.uint8]] = []

    def engine(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.append(batch)
        return np.zeros((len(batch), 25, 2), np.float32)

    monkeypatch.setattr(identity, "_engine", engine)
    images: list[Image] = [noise(50, 200, 3), noise(50, 200)]
    identity.locate(images)
    np.testing.assert_array_equal(seen[0], [thumbnail(image, (96, 32)) for image in images])


@pytest.mark.parametrize(
    ("image", "error"), [(np.zeros((9, 9)), TypeError), ([[0]], TypeError), (noise(9, 9, 4), ValueError)]
)
def test_what_is_no_image_is_refused(identity: Rectifier, image: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="image"):
        identity.rectify(image)


def test_weights_of_a_recognizer_are_refused(tmp_path: Path) -> None:
    path = save_recognizer(tmp_path / "a.onnx")
    with pytest.raises(ValueError, match=r"a\.onnx: holds no rectifier, only a recognizer"):
        Rectifier(path)


def test_natural_size_keeps_the_resolution_of_a_turned_word() -> None:
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    points = (IDENTITY * (30, 8)) @ turn.T + (50, 50)
    assert natural_size(noise(100, 100), points.astype(np.float32), 5, 5) == (60, 16)


@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0, 1e6])
def test_natural_size_is_bounded_whatever_the_points_are(scale: float) -> None:
    image = noise(30, 50, 3)
    points = np.random.default_rng(0).normal(0, scale, (25, 2)).astype(np.float32)
    width, height = natural_size(image, points, 5, 5)
    assert min(width, height) >= 1
    assert width * height <= 4 * 30 * 50 * 1.05
    assert flatten(image, points, 5, 5).shape == (height, width, 3)


def test_a_correction_is_composed_with_the_first_look(tmp_path: Path) -> None:
    """A refiner finds that the right half of the crop is a little too far to the left."""
    canonical = canonical_points(5, 5)
    half = (canonical + np.array([1, 0])) * (0.5, 1)
    save_rectifier(tmp_path / "rectifier.onnx", half)
    images = [noise(40, 100, 3), noise(40, 100)]
    np.testing.assert_allclose(Rectifier(tmp_path).locate(images), [half, half], atol=1e-5)
    save_rectifier(tmp_path / "refiner.onnx", canonical + np.array([0.1, 0]), kind="refiner")
    shifted = half + np.array([0.05, 0])
    np.testing.assert_allclose(Rectifier(tmp_path).locate(images), [shifted, shifted], atol=1e-5)


def test_a_refiner_of_other_points_is_refused(tmp_path: Path) -> None:
    save_rectifier(tmp_path / "rectifier.onnx", IDENTITY)
    save_rectifier(tmp_path / "refiner.onnx", canonical_points(3, 4), 3, 4, kind="refiner")
    with pytest.raises(ValueError, match=r"refiner.onnx: has 3x4 control points, .*rectifier.onnx 5x5"):
        Rectifier(tmp_path)


def aslant(slope: float) -> NDArray[np.float64]:
    """Points that go down by ``slope`` of the crop's height from left to right."""
    return IDENTITY * (1, 0.6) + np.column_stack([np.zeros(25), IDENTITY[:, 0] * slope])


def test_a_crop_that_would_gain_nothing_is_left_alone(tmp_path: Path) -> None:
    image = noise(40, 160, 3)
    path = save_rectifier(tmp_path / "a.onnx", aslant(0.03))
    result = Rectifier(path, least_bend=10).rectify(image)
    assert not result.rectified and 0 < result.strength < 10
    np.testing.assert_array_equal(result.image, image)
    # Where the word was found is told all the same.
    np.testing.assert_allclose(result.control_points, to_pixels(aslant(0.03), (160, 40)), atol=1e-4)
    assert Rectifier(path, least_bend=10).rectify(image, (50, 20)).image.shape == (20, 50, 3)
    assert Rectifier(path, least_bend=0).rectify(image).rectified


def test_a_bent_word_and_one_that_is_small_in_its_crop_are_flattened(tmp_path: Path) -> None:
    image = noise(40, 160, 3)
    bent = Rectifier(save_rectifier(tmp_path / "bent.onnx", aslant(0.4)), least_bend=10).rectify(image)
    assert bent.rectified and bent.strength > 10
    small = Rectifier(save_rectifier(tmp_path / "small.onnx", IDENTITY * 0.6), least_bend=10).rectify(image)
    assert small.rectified and small.strength == pytest.approx(0, abs=1e-3)


def test_what_is_left_alone_is_a_copy(tmp_path: Path) -> None:
    image = noise(20, 30, 3)
    result = Rectifier(save_rectifier(tmp_path / "a.onnx", IDENTITY), least_bend=10).rectify(image)
    result.image[:] = 0
    assert image.any()


@pytest.mark.parametrize("size", [(0, 5), (40000, 5), (100.0, 32.0), (100, 32, 3), 5])
def test_a_size_that_no_picture_has_is_refused(size: Any) -> None:
    with pytest.raises(ValueError, match="1 to 32766 pixels"):
        Rectifier().rectify(noise(20, 60, 3), size)


def test_a_size_may_be_an_array() -> None:
    assert Rectifier().rectify(noise(20, 60, 3), np.array([50, 16])).image.shape == (16, 50, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("framing", "message"),
    [
        ({"margin": 0.1}, "a margin is"),
        ({"margin": (0.1, 0.2, 0.3)}, "a margin is"),
        ({"least_bend": np.nan}, "number"),
    ],
)
def test_a_framing_that_is_none_is_refused(framing: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Framing(**framing)
