"""Tiny ONNX networks that stand in for trained weights, and pictures that they can read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

RECOGNIZER_CONFIG = {
    "format": 1,
    "kind": "recognizer",
    "charset": "ab",
    "height": 32,
    "min_width": 64,
    "max_width": 512,
    "width_multiple": 16,
    "stretch": 1.2,
}

COLORS = {"": (255, 255, 255), "a": (255, 0, 0), "b": (0, 0, 255)}
"""RGB of a bar that the stand-in recogniser reads as each character; white is the blank. A blend of white and one of
the others is never nearest to the third, so that edges read nothing of their own."""


def save_rectifier(
    path: Path, points: NDArray[np.floating], rows: int = 5, cols: int = 5, kind: str = "rectifier"
) -> Path:
    """A rectifier, or a refiner, that answers the same normalised control points (rows·cols, 2) for every crop."""
    constant = numpy_helper.from_array(points.astype(np.float32)[None], "points")
    nodes = [
        helper.make_node("Shape", ["thumbnail"], ["count"], start=0, end=1),
        helper.make_node("Concat", ["count", "rest"], ["shape"], axis=0),
        helper.make_node("Expand", ["points", "shape"], ["control_points"]),
    ]
    rest = numpy_helper.from_array(np.array([rows * cols, 2], np.int64), "rest")
    config = {"format": 1, "kind": kind, "rows": rows, "cols": cols, "thumbnail": [96, 32]}
    inputs = [helper.make_tensor_value_info("thumbnail", TensorProto.UINT8, ["N", 32, 96, 3])]
    outputs = [helper.make_tensor_value_info("control_points", TensorProto.FLOAT, ["N", rows * cols, 2])]
    return _save(path, helper.make_graph(nodes, "rectifier", inputs, outputs, [constant, rest]), config)


def save_orientation(path: Path, turn: int) -> Path:
    """A network that is sure of so many quarter turns to the left, in crops wider than high."""
    scores = numpy_helper.from_array(20 * np.eye(4, dtype=np.float32)[[turn]], "scores")
    nodes = [
        helper.make_node("Shape", ["image"], ["count"], start=0, end=1),
        helper.make_node("Concat", ["count", "rest"], ["shape"], axis=0),
        helper.make_node("Expand", ["scores", "shape"], ["logits"]),
    ]
    rest = numpy_helper.from_array(np.array([4], np.int64), "rest")
    config = {"format": 1, "kind": "orientation", "channels": [4], "thumbnail": [96, 48]}
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 48, 96, 3])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 4])]
    return _save(path, helper.make_graph(nodes, "orientation", inputs, outputs, [scores, rest]), config)


def save_recognizer(path: Path, config: Mapping[str, Any] = RECOGNIZER_CONFIG) -> Path:
    """A recogniser that reads bars of ``COLORS``: each frame is the class whose color is nearest to its mean."""
    initializers = [
        numpy_helper.from_array(np.array(list(COLORS.values()), np.float32), "colors"),
        numpy_helper.from_array(np.array([3], np.int64), "color_axis"),
        numpy_helper.from_array(np.array(-0.01, np.float32), "sharpness"),
    ]
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["means"], kernel_shape=[32, 4], strides=[32, 4]),
        helper.make_node("Transpose", ["means"], ["frames"], perm=[0, 3, 2, 1]),
        helper.make_node("Sub", ["frames", "colors"], ["difference"]),
        helper.make_node("Mul", ["difference", "difference"], ["squared"]),
        helper.make_node("ReduceSum", ["squared", "color_axis"], ["distance"], keepdims=0),
        helper.make_node("Mul", ["distance", "sharpness"], ["logits"]),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 32, "W", 3])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", "T", len(COLORS)])]
    return _save(path, helper.make_graph(nodes, "recognizer", inputs, outputs, initializers), config)


def bars(text: str, size: tuple[int, int] = (200, 50)) -> NDArray[np.uint8]:
    """A white (H, W, 3) picture with one bar a character that the stand-in recogniser reads as ``text``."""
    width, height = size
    image = np.full((height, width, 3), 255, np.uint8)
    step = width / (2 * len(text) + 1)
    for index, character in enumerate(text):
        left = round(step * (2 * index + 1))
        image[:, left : left + round(step)] = COLORS[character]
    return image


def noise(height: int, width: int, *channels: int, seed: int = 0) -> NDArray[np.uint8]:
    """Random pixels (height, width, *channels)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, *channels), np.uint8)


def _save(path: Path, graph: onnx.GraphProto, config: Mapping[str, Any]) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"rectify-ocr": json.dumps(config)})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path
