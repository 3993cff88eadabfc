"""Networks in 8 bits: what is quantized, how far it is off, what is refused."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from data.writer import LmdbWriter
from helpers import RECOGNIZER_CONFIG, save_recognizer, save_rectifier
from recognizer.network import RecognitionNetwork, RecognizerConfig
from rectify.conventions import canonical_points
from rectify.engine import load_engine
from rectify.network import LocalizationConfig, build_localization
from rectify.weights_io import WeightFile, read_weight_file
from train import quantize as module
from train.export import write_onnx
from train.metrics import WordAccuracy
from train.quantize import write_quantized
from train.quantize_command import main

READER = RecognizerConfig(charset="abc", stem=8, channels=(16, 24, 32), blocks=(1, 0, 0), hidden=16)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with random weights, behind a rectifier that leaves crops as they are."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    network = RecognitionNetwork(READER)
    for _ in range(3):
        network(255 * torch.rand(8, 3, 32, 64))
    write_onnx(network.eval(), {**RECOGNIZER_CONFIG, **vars(READER)}, folder / "recognizer.onnx")
    save_rectifier(folder / "rectifier.onnx", canonical_points(5, 5))
    return folder


def test_eight_bits_are_close_and_carry_the_configuration(weights: Path, tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (24, 32, 96, 3), dtype=np.uint8)
    write_quantized(read_weight_file(weights / "recognizer.onnx"), tmp_path / "recognizer.onnx", pictures[:16])
    exact, rounded = (load_engine(folder / "recognizer.onnx") for folder in (weights, tmp_path))
    assert dict(rounded.config) == dict(exact.config)
    for widths in (slice(None), slice(0, 64)):
        expected, found = (engine(np.ascontiguousarray(pictures[16:, :, widths])) for engine in (exact, rounded))
        assert 0 < np.abs(found - expected).max() < 0.25 * np.ptp(expected)
    first, *others = in_eight_bits(tmp_path / "recognizer.onnx")
    assert not first and all(others)


def in_eight_bits(graph: Path) -> list[bool]:
    """Of each convolution, in their order."""
    nodes = onnx.load(graph).graph.node
    makers = {output: node.op_type for node in nodes for output in node.output}
    return [makers.get(node.input[0]) == "DequantizeLinear" for node in nodes if node.op_type == "Conv"]


def test_places_are_not_rounded(tmp_path: Path) -> None:
    """A localization network whose features alone are in 8 bits is off by less than a hundredth of the crop."""
    torch.manual_seed(0)
    network = build_localization(LocalizationConfig(channels=(8, 16), blocks=(0, 1)))
    for _ in range(3):
        network(255 * torch.rand(8, 3, 32, 96))
    torch.nn.init.normal_(network.votes.weight, std=0.05)
    config = {"format": 1, "kind": "refiner", **asdict(network.config)}
    write_onnx(network.eval(), config, tmp_path / "exact.onnx")
    pictures = np.random.default_rng(0).integers(0, 256, (24, 32, 96, 3), dtype=np.uint8)
    write_quantized(read_weight_file(tmp_path / "exact.onnx"), tmp_path / "rounded.onnx", pictures[:16])
    exact, rounded = (load_engine(tmp_path / f"{name}.onnx")(pictures[16:]) for name in ("exact", "rounded"))
    assert 0 < np.abs(rounded - exact).max() < 0.02
    assert in_eight_bits(tmp_path / "rounded.onnx") == [False, True, True, True, False]


def test_the_command_writes_weights_that_read(
    weights: Path, synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--weights", str(weights), "--calibrate", str(synthetic)]
    assert main([str(tmp_path / "fast"), *arguments]) == 0
    said = capsys.readouterr()
    assert "on 16 crops" in said.out and "16 crops are too few to tell 0.3 points" in said.err
    assert sorted(path.name for path in (tmp_path / "fast").iterdir()) == ["recognizer.onnx", "rectifier.onnx"]
    assert main([str(tmp_path / "fast"), *arguments]) == 2
    assert "exists" in capsys.readouterr().err


def test_a_loss_is_refused_and_nothing_written(
    weights: Path, synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = iter([90.0, 89.6])
    monkeypatch.setattr(WordAccuracy, "summary", lambda self: next(figures))
    assert main([str(tmp_path / "fast"), "--weights", str(weights), "--calibrate", str(synthetic)]) == 1
    assert "lose 0.4 points" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_other_weights_are_named(synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_rectifier(tmp_path / "rectifier.onnx", canonical_points(5, 5))
    assert main([str(tmp_path / "fast"), "--weights", str(tmp_path), "--calibrate", str(synthetic)]) == 2
    assert "holds no recognizer" in capsys.readouterr().err


def test_eight_bits_are_not_rounded_again(
    weights: Path, synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "fast"), "--weights", str(weights), "--calibrate", str(synthetic)]) == 0
    assert main([str(tmp_path / "twice"), "--weights", str(tmp_path / "fast"), "--calibrate", str(synthetic)]) == 2
    assert "in 8 bits already" in capsys.readouterr().err


def test_a_language_that_was_shipped_is_taken_along(weights: Path, synthetic: Path, tmp_path: Path) -> None:
    shipped = Path(__file__).parents[1] / "recognizer" / "weights" / "language.onnx"
    shutil.copytree(weights, tmp_path / "in")
    shutil.copyfile(shipped, tmp_path / "in" / "language.onnx")
    arguments = ["--weights", str(tmp_path / "in"), "--calibrate", str(synthetic)]
    assert main([str(tmp_path / "fast"), *arguments]) == 0
    assert (tmp_path / "fast" / "language.onnx").read_bytes() == shipped.read_bytes()


def test_judges_do_not_calibrate(synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    save_recognizer(tmp_path / "in" / "recognizer.onnx")
    seen: list[int] = []

    def note(file: WeightFile, target: Path, pictures: list) -> None:
        seen.append(len(pictures))
        target.write_bytes(file.path.read_bytes())

    monkeypatch.setattr(module, "write_quantized", note)
    outcome = module.quantize(tmp_path / "in", tmp_path / "out", [synthetic], 10, 18)
    assert (seen, outcome.judged) == ([10], 18) and outcome.before == outcome.after


def test_crops_without_labels_are_too_few(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with LmdbWriter(tmp_path / "set") as writer:
        writer.add(cv2.imencode(".png", np.zeros((20, 60, 3), np.uint8))[1].tobytes(), "!")
    assert main([str(tmp_path / "fast"), "--weights", str(weights), "--calibrate", str(tmp_path / "set")]) == 2
    assert "no crops to calibrate" in capsys.readouterr().err
