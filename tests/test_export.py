from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from recognizer.network import RecognitionNetwork, RecognizerConfig
from rectify.engine import OnnxEngine, load_engine
from rectify.network import LocalizationConfig, LocalizationNetwork
from train import export as module
from train.export import ParityError, build_network, export
from train.export_command import main
from train.weights import save_network

READER = RecognizerConfig(charset="abc", stem=8, channels=(16, 24, 32), blocks=(1, 0, 0), hidden=16)
LOCATOR = LocalizationConfig(rows=2, cols=7, channels=(8, 8, 8, 8), blocks=(), hidden=16)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small networks with random weights and normalisation that has seen something."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    locator, reader = LocalizationNetwork(LOCATOR), RecognitionNetwork(READER)
    torch.nn.init.normal_(locator.points.weight, std=0.05)
    for _ in range(3):
        locator(255 * torch.rand(8, 3, 32, 96))
        reader(255 * torch.rand(8, 3, 32, 64))
    for network, kind, config in ((locator, "rectifier", LOCATOR), (reader, "recognizer", READER)):
        description = {"format": 1, "kind": kind, **vars(config)}
        save_network(folder / f"{kind}.safetensors", network, description, torch.float32)
    return folder


@pytest.fixture(scope="module")
def exported(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "exported"
    differences = export(weights, out)
    assert set(differences) == {"rectifier", "recognizer"} and max(differences.values()) <= 1e-4
    return out


def test_onnx_carries_configuration_and_charset(exported: Path) -> None:
    config = load_engine(exported / "recognizer.onnx").config
    assert config["charset"] == "abc" and config["hidden"] == 16
    assert load_engine(exported / "rectifier.onnx").config["cols"] == 7


def test_a_recognizer_declares_any_number_of_frames(exported: Path) -> None:
    for output in onnx.load(exported / "recognizer.onnx").graph.output:
        assert [bool(axis.dim_param) for axis in output.type.tensor_type.shape.dim] == [True, True, False]


def test_nothing_of_the_exporters_notes_is_kept(exported: Path) -> None:
    graph = onnx.load(exported / "recognizer.onnx").graph
    assert not graph.value_info and not any(node.metadata_props or node.doc_string for node in graph.node)
    assert max(len(name) for node in graph.node for name in (node.name, *node.output)) <= len("features")


@pytest.mark.parametrize(("kind", "shape"), [("rectifier", (5, 32, 96, 3)), ("recognizer", (2, 32, 208, 3))])
def test_onnx_equals_torch_on_pictures_it_was_not_checked_on(exported: Path, kind: str, shape: tuple[int, ...]) -> None:
    pictures = np.random.default_rng(9).integers(0, 256, shape, dtype=np.uint8)
    onnx = load_engine(exported / f"{kind}.onnx")(pictures)
    halves = load_engine(exported / f"{kind}.safetensors", build=build_network)(pictures)
    assert onnx.shape == halves.shape and np.ptp(onnx) > 0.01
    np.testing.assert_allclose(onnx, halves, atol=1e-4)


def test_a_difference_is_refused_and_nothing_written(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Differs(OnnxEngine):
        def outputs(self, batch: np.ndarray) -> list[np.ndarray]:
            return [output + 2e-4 for output in super().outputs(batch)]

    monkeypatch.setattr(module, "OnnxEngine", Differs)
    with pytest.raises(ParityError, match="differ by"):
        export(weights, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_command_names_what_it_wrote(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(weights), str(tmp_path / "out")]) == 0
    assert "recognizer.onnx" in capsys.readouterr().out
    assert main([str(weights), str(tmp_path / "out")]) == 2
    assert "exists" in capsys.readouterr().err
    assert main([str(tmp_path / "nothing"), str(tmp_path / "other")]) == 2
    assert json.dumps(sorted(p.name for p in (tmp_path / "out").iterdir())) == json.dumps(
        ["recognizer.onnx", "recognizer.safetensors", "rectifier.onnx", "rectifier.safetensors"]
    )
