"""LSTMs of ONNX graphs in 8 bits, whose steps do not depend on what else is in the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPEN = 20.0
"""Bias of a gate that is open: its sigmoid is 1, and its hyperbolic tangent, to float32's precision."""
STEPS = 63
"""Weights become whole numbers from -63 to 63: 7 of the 8 bits, as in ``quantize.write_quantized``."""
GATES = 4
"""Blocks of rows of an LSTM's weights in ONNX: input, output and forget gate, then the cell."""
GUARDS = 2
"""Units that hold the range of the state open at either end."""

Weights = NDArray[np.float32]
Keep = Callable[[str, NDArray[Any]], str]
"""Adds a constant to a graph; gives the name that it got there."""


def quantize_lstms(model: Any) -> int:
    """Replace the LSTMs of a graph by ONNX Runtime's DynamicQuantizeLSTM.

    That operator takes the range of its 8 bits from the largest and the smallest value in the batch, once of the input
    and at every step of the state, so that a word would read otherwise beside other words. Here both ranges are the
    same whatever the batch holds: further inputs are constants, the ends of the range that the input can have, and two
    further units, to which no other listens, climb as fast as any unit can, one towards 1 and one towards -1. What they
    give is cut off again.

    Args:
        model: onnx.ModelProto, changed in place. Replaced are LSTMs that start at zero, and whose input is in 8 bits
            already or rows of a table.

    Returns:
        How many were replaced.
    """
    graph = model.graph
    nodes: list[Any] = []
    count = 0
    for node in graph.node:
        span = _span(graph, node.input[0]) if node.op_type == "LSTM" and _starts_at_zero(graph, node) else None
        count += span is not None
        nodes += [node] if span is None else _replaced(graph, node, span)
    _put(graph, nodes)
    if count and not any(known.domain == "com.microsoft" for known in model.opset_import):
        from onnx import helper

        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return count


def _starts_at_zero(graph: Any, node: Any) -> bool:
    """Whether an LSTM has no initial state, or only zeros, repeated for each of the batch."""
    makers = {output: maker for maker in graph.node for output in maker.output}
    constants = _constants(graph)
    for name in node.input[5:7]:
        while name in makers and makers[name].op_type in ("Expand", "Slice"):
            name = makers[name].input[0]
        if name and (name not in constants or constants[name].any()):
            return False
    return True


def _span(graph: Any, name: str) -> tuple[float, float] | None:
    """The least and the largest value that a tensor can hold, zero included, where its makers tell."""
    constants = _constants(graph)
    makers = {output: node for node in graph.node for output in node.output}
    while name in makers and makers[name].op_type in ("Transpose", "Squeeze", "Reshape"):
        name = makers[name].input[0]
    maker = makers.get(name)
    if maker is not None and maker.op_type == "DequantizeLinear":
        scale, zero = (constants[given] for given in maker.input[1:3])
        limits = np.iinfo(zero.dtype)
        low, high = ((limit - int(zero)) * float(scale) for limit in (limits.min, limits.max))
        return low, high
    if maker is not None and maker.op_type == "Gather" and maker.input[0] in constants:
        table = constants[maker.input[0]]
        return min(0.0, float(table.min())), max(0.0, float(table.max()))
    return None


def _replaced(graph: Any, node: Any, span: tuple[float, float]) -> list[Any]:
    """The nodes that take the place of an LSTM; their weights are added to the graph."""
    from onnx import helper, numpy_helper

    def keep(name: str, values: NDArray[Any]) -> str:
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), f"{node.output[0]}.{name}"))
        return f"{node.output[0]}.{name}"

    constants = _constants(graph)
    attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    attributes.pop("layout", 0)  # the operator knows only the usual one
    hidden = attributes.pop("hidden_size")
    taken, recurrent, bias = (constants[name] for name in node.input[1:4])
    ends = [end for end in span if end]  # zero is in every range
    nodes = _padded(node.input[0], ends, keep)
    (taken, taken_scale), (recurrent, recurrent_scale) = (
        _rounded(_with_guards(part, hidden, columns)) for part, columns in ((taken, len(ends)), (recurrent, GUARDS))
    )
    weights = keep("input", taken), keep("state", recurrent), keep("bias", _guarding(bias, hidden))
    # Neither lengths, nor initial states, nor peepholes.
    inputs = [nodes[-1].output[0] if nodes else node.input[0], *weights, "", "", "", ""]
    for name, scale in (("input", taken_scale), ("state", recurrent_scale)):
        inputs += [keep(f"{name}-scale", scale), keep(f"{name}-zero", np.zeros(scale.shape, np.int8))]
    given = [(name, f"{name}.guarded") for name in node.output if name]
    outputs = [f"{name}.guarded" if name else "" for name in node.output]
    nodes.append(
        helper.make_node(
            "DynamicQuantizeLSTM", inputs, outputs, domain="com.microsoft", hidden_size=hidden + GUARDS, **attributes
        )
    )
    cut = [keep(name, np.array([value])) for name, value in (("from", 0), ("to", hidden), ("axis", -1))]
    return nodes + [helper.make_node("Slice", [guarded, *cut], [name]) for name, guarded in given]


def _padded(name: str, ends: list[float], keep: Keep) -> list[Any]:
    """Nodes that put constants behind the last axis (of three) of a tensor."""
    from onnx import helper

    nodes: list[Any] = []
    pads = keep("pads", np.array([0, 0, 0, 0, 0, 1]))
    for number, end in enumerate(ends):
        value = keep(f"end{number}", np.array(end, np.float32))
        before = nodes[-1].output[0] if nodes else name
        nodes.append(helper.make_node("Pad", [before, pads, value], [f"{value}.behind"]))
    return nodes


def _with_guards(weights: Weights, hidden: int, columns: int) -> Weights:
    """Weights (directions, 4·hidden, inputs) with rows of zeros for the guards in each gate, and so many columns of
    zeros for what nobody listens to."""
    blocks = weights.reshape(len(weights), GATES, hidden, -1)
    widened = np.pad(blocks, ((0, 0), (0, 0), (0, GUARDS), (0, columns)))
    return widened.reshape(len(weights), GATES * (hidden + GUARDS), -1)


def _guarding(bias: Weights, hidden: int) -> Weights:
    """Biases (directions, 8·hidden), of input and state, with those of the guards: all gates open, and a cell that
    takes in 1 at every step, or -1."""
    blocks = bias.reshape(len(bias), 2, GATES, hidden)
    widened = np.pad(blocks, ((0, 0), (0, 0), (0, 0), (0, GUARDS)))
    widened[:, 0, :, hidden:] = OPEN
    widened[:, 0, -1, -1] = -OPEN
    return widened.reshape(len(bias), -1)


def _rounded(weights: Weights) -> tuple[NDArray[np.int8], Weights]:
    """Weights (directions, rows, inputs) as whole numbers (directions, inputs, rows), and the scale of each row."""
    scale = (np.abs(weights).max(2) / STEPS).astype(np.float32)
    scale[scale == 0] = 1
    return np.rint(weights / scale[:, :, None]).astype(np.int8).transpose(0, 2, 1), scale


def _constants(graph: Any) -> dict[str, NDArray[Any]]:
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def _put(graph: Any, nodes: list[Any]) -> None:
    """Make these the nodes of a graph, but for those that nobody needs any more, and drop such weights."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(weights)
