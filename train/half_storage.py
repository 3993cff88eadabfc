"""Half-precision storage of weights in ONNX graphs, where it loses nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST = 256
"""Values from which a tensor is worth further nodes."""

Weights = NDArray[np.float32]


def store_in_half(model: Any, weights: Sequence[Weights]) -> int:
    """Keep the weights of a graph in half precision, with a cast in front of whoever takes them.

    A tensor is kept so if its values are half-precision ones, or if it is one of ``weights`` that are, times a factor
    for each of its first axis: a convolution that has taken in the batch normalisation behind it. Runtimes compute such
    constants once, when they load the graph.

    Args:
        model: onnx.ModelProto, changed in place.
        weights: of the network, float32.

    Returns:
        How many tensors.
    """
    graph = model.graph
    nodes: list[Any] = []
    factors: list[Any] = []
    for tensor in graph.initializer:
        nodes += _stored(tensor, weights, factors)
    count = sum(node.op_type == "Cast" for node in nodes)
    nodes += graph.node
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(factors)
    return count


def _stored(tensor: Any, weights: Sequence[Weights], factors: list[Any]) -> list[Any]:
    """The nodes that compute a tensor, which now holds half-precision values; none if it stays as it is.

    Args:
        factors: receives the factors that they need.
    """
    from onnx import TensorProto, helper, numpy_helper

    if tensor.data_type != TensorProto.FLOAT:
        return []
    values, name = numpy_helper.to_array(tensor), tensor.name
    if values.size < LEAST:
        return []
    if _is_half(values):
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        return [helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT)]
    for known in weights:
        scale = _scale(values, known)
        if scale is not None and _is_half(known):
            tensor.CopyFrom(numpy_helper.from_array(known.astype(np.float16), f"{name}.half"))
            factors.append(numpy_helper.from_array(scale, f"{name}.scale"))
            return [
                helper.make_node("Cast", [tensor.name], [f"{name}.float"], to=TensorProto.FLOAT),
                helper.make_node("Mul", [f"{name}.float", f"{name}.scale"], [name]),
            ]
    return []


def _is_half(values: Weights) -> bool:
    with np.errstate(over="ignore"):
        return np.array_equal(values.astype(np.float16).astype(np.float32), values)


def _scale(values: Weights, known: Weights) -> Weights | None:
    """Factors (C, 1, ...) that make ``values`` (C, ...) of ``known``; None where there are none."""
    if values.shape != known.shape or values.ndim < 2:
        return None
    rows, sources = values.reshape(len(values), -1), known.reshape(len(known), -1)
    largest = np.abs(sources).argmax(1)[:, None]
    divisors = np.take_along_axis(sources, largest, 1)
    if not divisors.all():
        return None
    scale = (np.take_along_axis(rows, largest, 1) / divisors).astype(np.float32)
    if not np.allclose(sources * scale, rows, rtol=1e-5, atol=1e-12):
        return None
    return scale.reshape(-1, *[1] * (values.ndim - 1))
