"""Weights kept in half precision compute the same, and those that are none stay as they are."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from train.half_storage import store_in_half


def product(weights: NDArray[np.float32]) -> onnx.ModelProto:
    """x (N, 32) times weights (C, 32) transposed."""
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", len(weights)])],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def computed(model: onnx.ModelProto) -> NDArray[np.float32]:
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": np.eye(32, dtype=np.float32)})[0])


def halves(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(16, 32)).astype(np.float16).astype(np.float32)


def test_half_precision_values_take_half_the_space_and_stay_the_same() -> None:
    model = product(halves(0))
    before, size = computed(model), model.ByteSize()
    assert store_in_half(model, []) == 1
    np.testing.assert_array_equal(computed(model), before)
    assert size - model.ByteSize() > 16 * 32 * 2 - 200


def test_a_scaled_weight_is_kept_with_its_factors() -> None:
    scale = np.random.default_rng(1).normal(size=(16, 1)).astype(np.float32)
    model = product(halves(0) * scale)
    before = computed(model)
    assert store_in_half(model, [halves(2), halves(0)]) == 1
    assert {tensor.data_type for tensor in model.graph.initializer} == {TensorProto.FLOAT16, TensorProto.FLOAT}
    np.testing.assert_allclose(computed(model), before, rtol=1e-6)


def test_other_values_are_left_alone() -> None:
    values = np.random.default_rng(3).normal(size=(16, 32)).astype(np.float32)
    huge = np.full((16, 32), 1e6, np.float32)
    for model in (product(values), product(huge)):
        before = model.SerializeToString()
        assert store_in_half(model, [halves(0)]) == 0
        assert model.SerializeToString() == before
