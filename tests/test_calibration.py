"""Expected calibration error and the temperature, and the command that stores it."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.writer import LmdbWriter
from helpers import bars, save_recognizer
from recognizer.recognizer import Reading, Recognizer
from rectify.weights_io import read_weight_file
from train import calibrate
from train.calibrate import KEY, main, store
from train.calibration import CalibrationError, expected_calibration_error, fit_temperature
from train.crops import Image


@pytest.mark.parametrize(
    ("confidences", "right", "error"),
    [
        ([1.0, 1.0], [True, True], 0.0),
        ([1.0, 1.0], [True, False], 0.5),
        ([0.0], [False], 0.0),
        ([0.5, 0.5], [True, False], 0.0),
        ([0.9, 0.9, 0.9, 0.1], [True, True, False, False], (0.75 * abs(2 / 3 - 0.9)) + 0.25 * 0.1),
        # 0.61 and 0.66 share the bin (0.6, 0.6667], 0.67 has another: one over, one under does not cancel across.
        ([0.61, 0.66], [True, False], abs(0.5 - 0.635)),
        ([0.66, 0.67], [True, False], (0.34 + 0.67) / 2),
        # A border belongs to the bin below it.
        ([0.2, 0.19], [True, False], abs(0.5 - 0.195)),
    ],
)
def test_exact_cases(confidences: list[float], right: list[bool], error: float) -> None:
    assert expected_calibration_error(confidences, right) == pytest.approx(error)


def test_merged_is_all_together() -> None:
    rng = np.random.default_rng(0)
    confidences, right = rng.uniform(size=50).tolist(), (rng.uniform(size=50) < 0.5).tolist()
    halves = CalibrationError(), CalibrationError()
    for index, (confidence, verdict) in enumerate(zip(confidences, right, strict=True)):
        halves[index % 2].update(confidence, verdict)
    halves[0].merge(halves[1])
    assert halves[0].summary() == pytest.approx(expected_calibration_error(confidences, right))
    assert np.isnan(CalibrationError().summary())


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(temperature: float) -> None:
    rng = np.random.default_rng(1)
    true = rng.uniform(size=20_000)
    right = (rng.uniform(size=20_000) < true).tolist()
    shown = true**temperature
    assert fit_temperature(shown.tolist(), right) == pytest.approx(temperature, rel=0.05)
    assert expected_calibration_error((shown ** (1 / temperature)).tolist(), right) < 0.02


def test_sure_readings_do_not_break_the_fit() -> None:
    assert np.isfinite(fit_temperature([1.0, 0.0, 1.0], [True, False, False]))


@pytest.fixture
def words(tmp_path: Path) -> str:
    """Every 16th word, 12 of them, is held back; 4 of those are read wrong."""
    image = cv2.imencode(".png", bars("ab"))[1].tobytes()
    with LmdbWriter(tmp_path / "words") as writer:
        for index in range(16 * 12):
            writer.add(image, "no" if index % 16 or index % 48 == 0 else "ab")
    return str(tmp_path / "words")


class Sure:
    """A pipeline that reads "ab" everywhere, 0.9 sure of it before its weights are calibrated."""

    def __init__(self, weights: str, decoder: str) -> None:
        self.temperature = read_weight_file(weights).config.get(KEY, 1.0)

    def read(self, image: Image) -> Reading:
        return Reading("ab", 0.9 ** (1 / self.temperature))


def test_the_command_lowers_the_error_and_stores_the_temperature(
    tmp_path: Path, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "Pipeline", Sure)
    path = save_recognizer(tmp_path / "recognizer.onnx")
    assert main([str(path), words, "--dry-run"]) == 0
    assert KEY not in read_weight_file(path).config
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == ["12 words, 66.7 % right", "expected calibration error: 0.2333 before (temperature 1.000)"]
    assert float(printed[2].split()[0]) < 0.002
    assert main([str(path), words]) == 0
    temperature = read_weight_file(path).config[KEY]
    assert 0.9 ** (1 / temperature) == pytest.approx(2 / 3, abs=0.002)
    # Fitting once more finds the same, not a temperature on top of it.
    capsys.readouterr()
    assert main([str(path), words]) == 0
    assert f"before (temperature {temperature:.3f})" in capsys.readouterr().out
    assert read_weight_file(path).config[KEY] == pytest.approx(temperature)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_readings_have_the_stored_temperature(tmp_path: Path) -> None:
    path = save_recognizer(tmp_path / "recognizer.onnx")
    images = np.full((1, 32, 64, 3), 255, np.uint8)
    images[:, :, 32:36] = 255, 127, 127  # a frame between white and the red of an "a"
    (before,) = Recognizer(path).read(images)
    assert 0.5 < before.confidence < 0.999
    store(read_weight_file(path), 0.25)
    (after,) = Recognizer(path).read(images)
    assert (after.text, after.confidence) == ("a", pytest.approx(before.confidence**4))


def test_safetensors_keep_their_weights(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    shipped = Path(__file__).parents[1] / "recognizer" / "weights" / "recognizer.safetensors"
    path = tmp_path / "recognizer.safetensors"
    shutil.copy(shipped, path)
    file = read_weight_file(path)
    store(file, 0.5)
    assert read_weight_file(path).config == {**file.config, KEY: 0.5}
    mine, theirs = load_file(path), load_file(shipped)
    assert mine.keys() == theirs.keys()
    assert all(np.array_equal(mine[name], theirs[name]) for name in mine)


def test_wrong_usage(tmp_path: Path, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = save_recognizer(tmp_path / "recognizer.onnx")
    for arguments, message in (
        ([str(tmp_path / "absent.onnx"), words], "absent.onnx"),
        ([str(path), str(tmp_path / "absent")], "absent"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
        assert message in capsys.readouterr().err
