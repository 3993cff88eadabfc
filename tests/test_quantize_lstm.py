"""LSTMs in 8 bits: close to the exact ones, the same whatever stands beside a word, left alone where that is unsure."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

torch = pytest.importorskip("torch")

from recognizer.language_network import LanguageConfig, LanguageNetwork
from recognizer.network import RecognitionNetwork, RecognizerConfig
from rectify.engine import load_engine
from rectify.weights_io import read_weight_file
from train.export import write_onnx
from train.quantize import write_quantized
from train.quantize_lstm import quantize_lstms

HIDDEN = 3


def operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


def test_texts_are_scored_as_closely_and_by_themselves(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = LanguageNetwork(LanguageConfig("abcdef", embedding=8, units=24)).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight *= 3
    write_onnx(network, {"format": 1, "kind": "language", **asdict(network.config)}, tmp_path / "exact.onnx")
    write_quantized(read_weight_file(tmp_path / "exact.onnx"), tmp_path / "rounded.onnx", ())
    assert {"DynamicQuantizeLSTM"} == {name for name in operators(tmp_path / "rounded.onnx") if "LSTM" in name}
    exact, rounded = (load_engine(tmp_path / f"{name}.onnx") for name in ("exact", "rounded"))
    assert rounded.config == exact.config
    texts = np.random.default_rng(0).integers(1, 7, (40, 9))
    expected, found = exact(texts), rounded(texts)
    assert 0 < np.abs(found - expected).max() < 0.03 * np.ptp(expected)
    np.testing.assert_array_equal(found, np.concatenate([rounded(text[None]) for text in texts]))


def test_words_are_read_by_themselves(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = RecognitionNetwork(RecognizerConfig("abc", stem=8, channels=(16, 24, 32), blocks=(1, 0, 0), hidden=16))
    for _ in range(3):
        network(255 * torch.rand(8, 3, 32, 64))
    description = {"format": 1, "kind": "recognizer", "height": 32, **asdict(network.config)}
    write_onnx(network.eval(), description, tmp_path / "exact.onnx")
    pictures = np.random.default_rng(0).integers(0, 256, (12, 32, 96, 3), dtype=np.uint8)
    pictures[6:] //= 16  # some faint, whose features span less
    write_quantized(read_weight_file(tmp_path / "exact.onnx"), tmp_path / "rounded.onnx", pictures)
    assert "LSTM" not in operators(tmp_path / "rounded.onnx")
    engine = load_engine(tmp_path / "rounded.onnx")
    np.testing.assert_array_equal(engine(pictures), np.concatenate([engine(picture[None]) for picture in pictures]))


def table_and_lstm(bias: float, initial: float | None = None) -> onnx.ModelProto:
    """Rows of a table through an LSTM from left to right whose gates know only their bias."""
    weights = {
        "table": np.array([[-2.0, 0.5], [1.0, 3.0]], np.float32),
        "taken": np.zeros((1, 4 * HIDDEN, 2), np.float32),
        "recurrent": np.zeros((1, 4 * HIDDEN, HIDDEN), np.float32),
        "bias": np.concatenate([np.full((1, 4 * HIDDEN), bias), np.zeros((1, 4 * HIDDEN))], 1).astype(np.float32),
        "initial": np.full((1, 1, HIDDEN), initial or 0, np.float32),
    }
    state = [] if initial is None else ["", "initial", "initial"]
    nodes = [
        helper.make_node("Gather", ["table", "texts"], ["rows"]),
        helper.make_node("LSTM", ["rows", "taken", "recurrent", "bias", *state], ["states"], hidden_size=HIDDEN),
    ]
    given = [helper.make_tensor_value_info("texts", TensorProto.INT64, ["length", "batch"])]
    result = [helper.make_tensor_value_info("states", TensorProto.FLOAT, ["length", 1, "batch", HIDDEN])]
    constants = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    graph = helper.make_graph(nodes, "graph", given, result, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize("bias", [20.0, -20.0, 0.3])
def test_no_unit_leaves_the_range(bias: float, tmp_path: Path) -> None:
    """All gates open wide are as fast as a unit can be: tanh(t) after t steps."""
    import onnxruntime

    model = table_and_lstm(bias)
    texts = np.zeros((6, 1), np.int64)
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"texts": texts})[0]
    assert quantize_lstms(model) == 1
    found = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"texts": texts})[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    if bias == 20.0:
        np.testing.assert_allclose(found[:, 0, 0, 0], np.tanh(np.arange(1, 7)), atol=1e-6)


def test_an_initial_state_is_not_forgotten() -> None:
    assert quantize_lstms(table_and_lstm(1.0, initial=0.0)) == 1
    assert quantize_lstms(table_and_lstm(1.0, initial=0.5)) == 0


def test_an_input_of_unknown_range_is_left_alone() -> None:
    model = table_and_lstm(1.0)
    del model.graph.node[0]
    model.graph.node[0].input[0] = "texts"
    assert quantize_lstms(model) == 0
    assert [node.op_type for node in model.graph.node] == ["LSTM"]
