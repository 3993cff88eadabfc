"""Weight files are told by their content."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from helpers import RECOGNIZER_CONFIG, save_recognizer, save_rectifier
from rectify.conventions import canonical_points
from rectify.weights_io import find_weights, read_weight_file, select_weights


def save_safetensors(path: Path, config: object, key: str = "rectify-ocr") -> Path:
    header = json.dumps({"__metadata__": {key: json.dumps(config)}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return path


def test_onnx_is_told_by_content_whatever_its_name(tmp_path: Path) -> None:
    weights = read_weight_file(save_recognizer(tmp_path / "model.bin"))
    assert (weights.kind, weights.onnx) == ("recognizer", True)
    assert weights.config == RECOGNIZER_CONFIG


def test_safetensors_is_told_by_content_whatever_its_name(tmp_path: Path) -> None:
    config = {"format": 1, "kind": "rectifier", "rows": 3}
    weights = read_weight_file(save_safetensors(tmp_path / "model.onnx", config))
    assert (weights.kind, weights.onnx) == ("rectifier", False)
    assert weights.config == config


def test_folder_holds_one_network_a_kind_and_onnx_is_preferred(tmp_path: Path) -> None:
    save_recognizer(tmp_path / "recognizer.onnx")
    save_safetensors(tmp_path / "recognizer.safetensors", {"format": 1, "kind": "recognizer"})
    save_safetensors(tmp_path / "rectifier.safetensors", {"format": 1, "kind": "rectifier"})
    found = find_weights(tmp_path)
    assert {kind: weights.path.name for kind, weights in found.items()} == {
        "recognizer": "recognizer.onnx",
        "rectifier": "rectifier.safetensors",
    }


def test_a_training_run_is_a_folder_of_weights(tmp_path: Path) -> None:
    save_safetensors(tmp_path / "rectifier.safetensors", {"format": 1, "kind": "rectifier"})
    (tmp_path / "training.state").write_bytes(b"what the run goes on from")
    assert find_weights(tmp_path).keys() == {"rectifier"}


def test_single_file(tmp_path: Path) -> None:
    path = save_rectifier(tmp_path / "a.onnx", canonical_points(5, 5))
    assert find_weights(str(path)).keys() == {"rectifier"}


@pytest.mark.parametrize("content", [b"", b"hello", bytes(100), b"\x89PNG\r\n\x1a\n" + bytes(50), b"\xff" * 50])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.onnx: not a weight file"):
        read_weight_file(path)


def test_truncated_onnx_is_refused(tmp_path: Path) -> None:
    data = save_recognizer(tmp_path / "a.onnx").read_bytes()
    (tmp_path / "b.onnx").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"b\.onnx: not a weight file"):
        read_weight_file(tmp_path / "b.onnx")


def test_foreign_metadata_is_refused(tmp_path: Path) -> None:
    path = save_safetensors(tmp_path / "a.safetensors", {"format": 1, "kind": "rectifier"}, key="other")
    with pytest.raises(ValueError, match="not a weight file"):
        read_weight_file(path)


@pytest.mark.parametrize("config", [{"format": 2, "kind": "rectifier"}, {"format": 1, "kind": "translator"}])
def test_later_formats_and_kinds_are_refused(tmp_path: Path, config: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="update rectify-ocr"):
        read_weight_file(save_safetensors(tmp_path / "a.safetensors", config))


def test_missing_and_empty(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        find_weights(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="no weights in this folder"):
        find_weights(tmp_path)
    with pytest.raises(FileNotFoundError, match="no rectifier weights are installed"):
        select_weights(None, "rectifier", str(tmp_path / "module.py"))


def test_shipped_weights_lie_beside_the_module(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    path = save_recognizer(tmp_path / "weights" / "recognizer.onnx")
    assert select_weights(None, "recognizer", str(tmp_path / "module.py")).path == path


def test_another_kind_is_refused(tmp_path: Path) -> None:
    path = save_recognizer(tmp_path / "a.onnx")
    with pytest.raises(ValueError, match=r"a\.onnx: holds no rectifier, only a recognizer"):
        select_weights(path, "rectifier", "")
