"""One seam, two engines behind it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from helpers import bars, noise, save_recognizer, save_rectifier
from rectify import LocalizationNetwork, Rectifier
from rectify.conventions import canonical_points
from rectify.engine import load_engine, pick_config
from rectify.network import LocalizationConfig
from rectify.weights_io import read_weight_file


def save_network(path: Path, network: LocalizationNetwork, config: dict[str, object]) -> Path:
    tensors = {name: tensor.half() for name, tensor in network.state_dict().items() if tensor.is_floating_point()}
    tensors |= {name: tensor for name, tensor in network.state_dict().items() if not tensor.is_floating_point()}
    save_file(tensors, path, {"rectify-ocr": json.dumps({"format": 1, "kind": "rectifier", **config})})
    return path


def test_onnx_engine_takes_any_batch(tmp_path: Path) -> None:
    points = canonical_points(5, 5) * 0.5
    engine = load_engine(save_rectifier(tmp_path / "a.onnx", points))
    for count in (1, 3):
        result = engine(np.zeros((count, 32, 96, 3), np.uint8))
        np.testing.assert_allclose(result, np.stack([points] * count), rtol=1e-6)


def test_onnx_engine_takes_any_width_and_depends_on_the_pixels(tmp_path: Path) -> None:
    engine = load_engine(save_recognizer(tmp_path / "a.onnx"), threads=2)
    logits = engine(np.stack([bars("ab", (80, 32)), bars("ba", (80, 32))]))
    assert logits.shape == (2, 20, 3)
    assert logits.argmax(-1)[0, ::4].tolist() == [0, 1, 0, 2, 0]
    assert logits.argmax(-1)[1, ::4].tolist() == [0, 2, 0, 1, 0]


def test_engine_carries_the_configuration(tmp_path: Path) -> None:
    weights = read_weight_file(save_recognizer(tmp_path / "a.onnx"))
    assert load_engine(weights).config["charset"] == "ab"


def test_onnx_that_does_not_load_names_the_file(tmp_path: Path) -> None:
    data = save_recognizer(tmp_path / "a.onnx").read_bytes()
    assert b"AveragePool" in data
    (tmp_path / "b.onnx").write_bytes(data.replace(b"AveragePool", b"AveragePoor"))
    with pytest.raises(ValueError, match=r"b\.onnx: ONNX Runtime cannot load it") as caught:
        load_engine(tmp_path / "b.onnx")
    assert "\n" not in str(caught.value)


def test_torch_engine_runs_half_precision_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = LocalizationConfig(rows=3, cols=4, thumbnail=(64, 16), channels=(8, 8, 8), blocks=(), hidden=16)
    network = LocalizationNetwork(config).eval()
    torch.nn.init.normal_(network.points.weight, std=1.0)
    path = save_network(
        tmp_path / "a.safetensors",
        network,
        {
            "rows": 3,
            "cols": 4,
            "thumbnail": [64, 16],
            "channels": [8, 8, 8],
            "blocks": [],
            "hidden": 16,
            "note": "unknown to it",
        },
    )
    image = noise(16, 64, 3)
    with torch.no_grad():
        expected = network(torch.from_numpy(image).permute(2, 0, 1)[None])
    rectifier = Rectifier(path)
    np.testing.assert_allclose(rectifier.locate([image]), expected.numpy(), atol=5e-3)
    assert np.abs(rectifier.locate([image])[0] - canonical_points(3, 4)).max() > 0.02


def test_torch_engine_takes_views_and_what_cannot_be_written_to(tmp_path: Path) -> None:
    config = LocalizationConfig(rows=3, cols=4, thumbnail=(64, 16), channels=(8, 8, 8), blocks=(), hidden=16)
    path = save_network(tmp_path / "a.safetensors", LocalizationNetwork(config), {})
    engine = load_engine(path, build=lambda _: LocalizationNetwork(config))
    image = noise(2, 16, 64, 3)
    view = image[..., ::-1]
    view.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(engine(view), engine(view.copy()))


def test_weights_of_another_shape_are_refused_with_one_line(tmp_path: Path) -> None:
    network = LocalizationNetwork(LocalizationConfig(hidden=16))
    path = save_network(tmp_path / "a.safetensors", network, {"rows": 5, "cols": 5, "thumbnail": [96, 32]})
    with pytest.raises(ValueError, match=r"a\.safetensors: ") as caught:
        Rectifier(path)
    assert "\n" not in str(caught.value)


def test_safetensors_without_a_network_is_refused(tmp_path: Path) -> None:
    path = save_network(tmp_path / "a.safetensors", LocalizationNetwork(), {})
    with pytest.raises(ValueError, match="rectify-ocr export"):
        load_engine(path)


def test_truncated_safetensors_are_refused_with_one_line(tmp_path: Path) -> None:
    network = LocalizationNetwork()
    path = save_network(tmp_path / "a.safetensors", network, {"rows": 5, "cols": 5, "thumbnail": [96, 32]})
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"a\.safetensors: "):
        Rectifier(path)


def test_pick_config_takes_what_it_knows() -> None:
    config = pick_config(LocalizationConfig, {"rows": 7, "thumbnail": [64, 32], "kind": "rectifier"})
    assert config == LocalizationConfig(rows=7, thumbnail=(64, 32))
