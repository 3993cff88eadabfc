"""Which way up a crop is, with a network whose answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers import noise, save_rectifier
from rectify import Rectifier
from rectify.conventions import canonical_points
from rectify.orientation import TURNS, Orientation, view

torch = pytest.importorskip("torch")

from train.orientation import DESCRIPTION, soft_target

IDENTITY = canonical_points(5, 5)


class RedOnTop:
    """Sees upright words as red at the top, by the mean colour of the picture's four sides."""

    def __init__(self, certainty: float = 10.0) -> None:
        self.certainty = certainty
        self.config: dict[str, Any] = {}

    def __call__(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        red = batch[..., 0] / 255.0
        half = batch.shape[2] // 2
        sides = [red[:, :8], red[:, :, :half], red[:, -8:], red[:, :, half:]]
        return (self.certainty * np.stack([side.mean((1, 2)) for side in sides], 1)).astype(np.float32)


@pytest.fixture
def orientation(monkeypatch: pytest.MonkeyPatch) -> Orientation:
    made = object.__new__(Orientation)
    made._engine = RedOnTop()
    return made


def word(width: int, height: int) -> NDArray[np.uint8]:
    """Red above, black below."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 3, :, 0] = 255
    return image


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("size", [(120, 30), (60, 50)])
def test_quarter_turns_are_told_whatever_the_shape(orientation: Orientation, turn: int, size: tuple[int, int]) -> None:
    crops = [np.rot90(word(*size), turn), word(*size)]
    assert orientation.turns(crops).tolist() == [turn, 0]


def test_a_crop_is_taken_as_it_is_in_doubt(orientation: Orientation) -> None:
    orientation._engine = RedOnTop(certainty=1.0)
    assert orientation.turns([np.rot90(word(120, 30), 2)]).tolist() == [0]
    assert orientation.probabilities([word(120, 30)]).sum() == pytest.approx(1)


def test_tall_crops_are_laid_down_and_square_ones_keep_their_shape() -> None:
    seen, laid = view(np.rot90(word(120, 30)))
    assert seen.shape == (48, 96, 3) and laid == 1
    square, laid = view(word(40, 40))
    assert laid == 0
    np.testing.assert_array_equal(square[:, :24], square[:, 24:25].repeat(24, 1))


@pytest.mark.parametrize("turn", range(4))
def test_the_points_come_back_to_the_crop_as_it_was(tmp_path: Path, orientation: Orientation, turn: int) -> None:
    """The rectified crop is upright, whichever way the crop is turned."""
    rectifier = Rectifier(save_rectifier(tmp_path / "a.onnx", IDENTITY), least_bend=0)
    assert rectifier.orientation is None  # these weights come without such a network
    rectifier.orientation = orientation
    upright = noise(30, 120, 3) // 8 + word(120, 30) // 2
    crop = np.ascontiguousarray(np.rot90(upright, turn))
    np.testing.assert_array_equal(rectifier.rectify(crop).image, upright)


def test_turns_match_numpys() -> None:
    for turn, matrix in enumerate(TURNS):
        np.testing.assert_array_equal(np.linalg.matrix_power(TURNS[1], turn), matrix)


@pytest.mark.parametrize(
    ("degrees", "target"),
    [(0, [1, 0, 0, 0]), (-30, [1, 0, 0, 0]), (90, [0, 1, 0, 0]), (45, [0.5, 0.5, 0, 0]), (-45, [0.5, 0, 0, 0.5])],
)
def test_the_nearest_quarter_turn_is_the_target(degrees: float, target: list[float]) -> None:
    np.testing.assert_allclose(soft_target(degrees), target)
    np.testing.assert_allclose(soft_target(degrees + 360), target)


def test_training_exports_what_the_rectifier_takes(
    tmp_path: Path, synthetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from train import orientation as command
    from train.export import export

    arguments = ["--synthetic", str(synthetic), "--real", str(synthetic), "--steps", "2", "--batch-size", "4"]
    monkeypatch.setattr("sys.argv", ["train.orientation", str(tmp_path / "run"), *arguments])
    command.main()
    export(tmp_path / "run", tmp_path / "weights")
    save_rectifier(tmp_path / "weights" / "rectifier.onnx", IDENTITY)
    rectifier = Rectifier(tmp_path / "weights")
    assert rectifier.orientation is not None
    assert rectifier.orientation.probabilities([word(50, 20)]).shape == (1, 4)
    assert DESCRIPTION["kind"] == "orientation"
