"""LSTMs in 8 bits: close to the exact ones, the same whatever stands beside a word, left alone where that is unsure."""

from __future__ import annotations

from collections.abc import Callable
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


def run(model: onnx.ModelProto, steps: int) -> dict[str, np.ndarray]:
    """The states, and those with the guards if there are any, of a text of the table's first row."""
    import onnxruntime

    if any(name == "states.guarded" for node in model.graph.node for name in node.output):
        model = onnx.ModelProto.FromString(model.SerializeToString())
        shape = ["length", 1, "batch", HIDDEN + 2]
        model.graph.output.append(helper.make_tensor_value_info("states.guarded", TensorProto.FLOAT, shape))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(None, {"texts": np.zeros((steps, 1), np.int64)}), strict=True))


@pytest.mark.parametrize("bias", [20.0, -20.0, 0.3])
def test_no_unit_leaves_the_range(bias: float) -> None:
    """All gates open wide are as fast as a unit can be: tanh(t) after t steps."""
    model = table_and_lstm(bias)
    expected = run(model, 6)["states"]
    assert quantize_lstms(model) == 1
    found = run(model, 6)
    np.testing.assert_allclose(found["states"], expected, atol=1e-6)
    guards = found["states.guarded"][:, 0, 0, HIDDEN:]
    np.testing.assert_allclose(guards, np.tanh(np.arange(1, 7))[:, None] * [1, -1], atol=1e-6)


def test_units_of_any_gates_stay_between_the_guards() -> None:
    """But for the last digit of ONNX Runtime's tanh."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        model = table_and_lstm(0.0)
        weights = {tensor.name: tensor for tensor in model.graph.initializer}
        for name in ("taken", "recurrent", "bias"):
            values = numpy_helper.to_array(weights[name])
            strength = np.float32(rng.choice([1, 5, 20]))
            weights[name].CopyFrom(numpy_helper.from_array(strength * rng.normal(size=values.shape).astype("f"), name))
        assert quantize_lstms(model) == 1
        states = run(model, 30)["states.guarded"][:, 0, 0]
        assert (states[:, :HIDDEN] <= states[:, [HIDDEN]] + 3e-7).all()
        assert (states[:, :HIDDEN] >= states[:, [HIDDEN + 1]] - 3e-7).all()


def lstm_of(model: onnx.ModelProto) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == "LSTM")


def add_lengths(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array([2], np.int32), "lengths"))
    lstm_of(model).input.append("lengths")


def add_peepholes(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 3 * HIDDEN), np.float32), "peepholes"))
    lstm_of(model).input.extend(["", "", "", "peepholes"])


def change_functions(model: onnx.ModelProto) -> None:
    lstm_of(model).attribute.append(helper.make_attribute("activations", ["Sigmoid", "Relu", "Relu"]))


def put_words_first(model: onnx.ModelProto) -> None:
    lstm_of(model).attribute.append(helper.make_attribute("layout", 1))


def drop_bias(model: onnx.ModelProto) -> None:
    del lstm_of(model).input[3:]


@pytest.mark.parametrize("change", [add_lengths, add_peepholes, change_functions, put_words_first, drop_bias])
def test_lstms_of_another_kind_are_left_alone(change: Callable[[onnx.ModelProto], None]) -> None:
    model = table_and_lstm(1.0)
    change(model)
    before = model.SerializeToString()
    assert quantize_lstms(model) == 0
    assert model.SerializeToString() == before


def test_an_initial_state_is_not_forgotten() -> None:
    assert quantize_lstms(table_and_lstm(1.0, initial=0.0)) == 1
    assert quantize_lstms(table_and_lstm(1.0, initial=0.5)) == 0


def test_a_graph_without_lstms_stays_whole() -> None:
    """Weights that only a graph within it reads, too."""
    shipped = Path(__file__).parents[1] / "recognizer" / "weights" / "attention.onnx"
    model = onnx.load(shipped)
    assert quantize_lstms(model) == 0
    assert model == onnx.load(shipped)


def test_an_input_of_unknown_range_is_left_alone() -> None:
    model = table_and_lstm(1.0)
    del model.graph.node[0]
    model.graph.node[0].input[0] = "texts"
    assert quantize_lstms(model) == 0
    assert [node.op_type for node in model.graph.node] == ["LSTM"]
