"""Which way up a crop is, with a network whose answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers import noise, save_rectifier
from rectify import Rectifier
from rectify.conventions import canonical_points, to_pixels, to_pixels_of
from rectify.orientation import TURNS, Orientation, view

torch = pytest.importorskip("torch")

from data.loader import Sample
from data.synth.geometry import Curve, WordGeometry
from data.synth.layout import flat_coordinates
from train.orientation import DESCRIPTION, LETTER, middle_line, soft_target, stacked

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


def turnable(tmp_path: Path, orientation: Orientation, any_rotation: bool | None, **options: Any) -> Rectifier:
    """A rectifier that finds the whole crop, and knows which way up red is."""
    rectifier = Rectifier(save_rectifier(tmp_path / "a.onnx", IDENTITY), **options)
    rectifier.any_rotation = any_rotation
    rectifier.orientation = None if any_rotation is False else orientation
    return rectifier


def upright_word() -> NDArray[np.uint8]:
    return noise(30, 120, 3) // 8 + word(120, 30) // 2


@pytest.mark.parametrize("turn", range(4))
def test_the_points_come_back_to_the_crop_as_it_was(tmp_path: Path, orientation: Orientation, turn: int) -> None:
    """The rectified crop is upright, whichever way the crop is turned."""
    rectifier = turnable(tmp_path, orientation, True, least_bend=0)
    crop = np.ascontiguousarray(np.rot90(upright_word(), turn))
    np.testing.assert_array_equal(rectifier.rectify(crop).image, upright_word())


@pytest.mark.parametrize("turns", [[1], np.array([1], np.uint8), np.array([-3])])
def test_turns_may_be_known(tmp_path: Path, orientation: Orientation, turns: Any) -> None:
    """Then nobody is asked, and the points are those of the crop as it lies upright."""
    rectifier = turnable(tmp_path, orientation, None)
    rectifier.orientation = None
    crop = np.rot90(upright_word())
    (points,) = to_pixels_of(rectifier.locate([crop], turns=turns), [crop])
    np.testing.assert_array_equal(rectifier.cut_out(crop, points).image, upright_word())
    with pytest.raises(ValueError, match="a size is"):
        rectifier.cut_out(crop, points, (0, 5))


@pytest.mark.parametrize(("any_rotation", "turned"), [(True, [1, 2, 3]), (None, [1, 3]), (False, [])])
def test_tall_crops_alone_are_turned_unless_asked(
    tmp_path: Path, orientation: Orientation, any_rotation: bool | None, turned: list[int]
) -> None:
    rectifier = turnable(tmp_path, orientation, any_rotation)
    crops = [np.rot90(upright_word(), turn) for turn in range(4)]
    rectified = [turn for turn, result in enumerate(rectifier(crops)) if result.rectified]
    assert rectified == turned
    for turn in turned:
        np.testing.assert_array_equal(rectifier.rectify(crops[turn]).image, upright_word())


def test_letters_above_each_other_stay_as_they_are(tmp_path: Path, orientation: Orientation) -> None:
    """In a tall crop whose letters are upright there is no line to straighten, wherever the network sees one."""
    letters = word(30, 120)
    points = IDENTITY @ np.array([[0.8, 0.5], [-0.5, 0.8]])
    rectifier = turnable(tmp_path, orientation, None)
    rectifier._engine = lambda batch: np.stack([points] * len(batch)).astype(np.float32)
    result = rectifier.rectify(letters)
    assert not result.rectified and result.strength > rectifier.framing.least_bend
    np.testing.assert_array_equal(result.image, letters)


def test_a_network_that_is_not_there_is_missed_where_any_rotation_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = save_rectifier(tmp_path / "a.onnx", IDENTITY)
    monkeypatch.setattr("rectify.orientation.__file__", str(tmp_path / "orientation.py"))
    assert not Rectifier(weights).rectify(np.rot90(upright_word())).rectified
    with pytest.raises(FileNotFoundError, match="no orientation weights are installed"):
        Rectifier(weights, any_rotation=True)


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


@pytest.mark.parametrize("degrees", [-30, 0, 20])
def test_photographs_and_rendered_words_know_their_direction(degrees: float) -> None:
    angle = np.radians(degrees)
    matrix = ((0.2 * np.cos(angle), 0.2 * np.sin(angle), 0), (-0.4 * np.sin(angle), 0.4 * np.cos(angle), 0), (0, 0, 1))
    truth = WordGeometry((80, 40), 4.0, Curve(), matrix)
    for sample in (
        Sample(noise(40, 80, 3), "word", geometry=truth),
        Sample(noise(40, 80, 3), "word", outline=truth.outline(9)),
    ):
        (x0, y0), (x1, y1) = to_pixels(middle_line(sample), (80, 40))
        assert np.degrees(np.arctan2(y0 - y1, x1 - x0)) == pytest.approx(degrees)


def test_letters_of_a_bent_word_are_set_above_each_other() -> None:
    """Red, green and blue letters on an arc: each is found whole, from the top down."""
    truth = WordGeometry(
        (240, 120),
        4.0,
        Curve("arc", 1.5),
        ((0.35, 0, 0), (0, 0.7, -0.2), (0, 0, 1)),
        ((-1, -0.4), (-0.3, 0.3), (0.4, 1)),
    )
    x, y = flat_coordinates(truth)
    image = np.zeros((120, 240, 3), np.uint8)
    for channel, (start, end) in enumerate(truth.characters):
        image[(x > start) & (x < end) & (np.abs(y) < 1), channel] = 255
    letters = stacked(image, truth)
    height, width = LETTER
    assert letters.shape == (3 * height, width, 3)
    middles = letters[height // 2 :: height, width // 2]
    np.testing.assert_array_equal(middles, 255 * np.eye(3))


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
    rectifier = Rectifier(tmp_path / "weights", any_rotation=True)
    assert rectifier.orientation is not None
    assert rectifier.orientation.probabilities([word(50, 20)]).shape == (1, 4)
    assert DESCRIPTION["kind"] == "orientation"
