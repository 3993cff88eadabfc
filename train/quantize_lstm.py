"""LSTMs of ONNX graphs in 8 bits, whose steps do not depend on what else is in the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

DOMAIN = "com.microsoft"
"""Of ONNX Runtime's own operators."""

OPEN = 20.0
"""Bias of a gate that is open: its sigmoid is 1, and its hyperbolic tangent, but for rounding."""
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
    same whatever the batch holds, up to the last digit of ONNX Runtime's tanh: further inputs are constants, the ends
    of the range that the input can have, and two further units, to which no other listens, climb as fast as a unit can,
    one towards 1 and one towards -1. What they give is cut off again.

    Args:
        model: onnx.ModelProto, changed in place. Replaced are LSTMs of the usual kind that start at zero, and whose
            input is in 8 bits already or rows of a table.

    Returns:
        How many were replaced.
    """
    graph = model.graph
    known = _Known(
        {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer},
        {output: node for node in graph.node for output in node.output},
    )
    nodes: list[Any] = []
    count = 0
    for node in graph.node:
        span = known.span(node.input[0]) if node.op_type == "LSTM" and known.is_plain(node) else None
        count += span is not None
        nodes += [node] if span is None else _replaced(graph, node, known, span)
    if count:
        _put(graph, nodes)
        if not any(used.domain == DOMAIN for used in model.opset_import):
            model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return count


@dataclass(frozen=True)
class _Known:
    """What a graph says of its tensors."""

    constants: Mapping[str, NDArray[Any]]
    makers: Mapping[str, Any]
    """The node that gives a tensor."""

    def is_plain(self, node: Any) -> bool:
        """Whether an LSTM is what the operator computes: with constant weights and biases, without lengths, peepholes
        and special functions, and with no initial state, or only zeros, repeated for each of the batch."""
        if len(node.input) < 4 or any(name not in self.constants for name in node.input[1:4]):
            return False
        given = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        if given.keys() - {"hidden_size", "direction", "layout", "input_forget"}:
            return False
        if given.get("layout") or given.get("input_forget") or any(node.input[4:5]) or any(node.input[7:]):
            return False
        return all(self._is_zero(name) for name in node.input[5:7])

    def _is_zero(self, name: str) -> bool:
        while name in self.makers and self.makers[name].op_type in ("Expand", "Slice"):
            name = self.makers[name].input[0]
        maker = self.makers.get(name)
        if maker is not None and maker.op_type == "ConstantOfShape":
            return not any(numpy_helper.to_array(entry.t).any() for entry in maker.attribute)
        return not name or (name in self.constants and not self.constants[name].any())

    def span(self, name: str) -> tuple[float, float] | None:
        """The least and the largest value that a tensor can hold, zero included, where its makers tell."""
        while name in self.makers and self.makers[name].op_type in ("Transpose", "Squeeze", "Reshape"):
            name = self.makers[name].input[0]
        maker = self.makers.get(name)
        if maker is not None and maker.op_type == "DequantizeLinear":
            scale, zero = (self.constants[given] for given in maker.input[1:3])
            limits = np.iinfo(zero.dtype)
            low, high = ((limit - int(zero)) * float(scale) for limit in (limits.min, limits.max))
            return low, high
        if maker is not None and maker.op_type == "Gather" and maker.input[0] in self.constants:
            table = self.constants[maker.input[0]]
            return min(0.0, float(table.min())), max(0.0, float(table.max()))
        return None


def _replaced(graph: Any, node: Any, known: _Known, span: tuple[float, float]) -> list[Any]:
    """The nodes that take the place of an LSTM; their weights are added to the graph."""
    prefix = next(filter(None, node.output))

    def keep(name: str, values: NDArray[Any]) -> str:
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), f"{prefix}.{name}"))
        return f"{prefix}.{name}"

    given = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    hidden, direction = given["hidden_size"], given.get("direction", b"forward")
    taken, recurrent, bias = (known.constants[name] for name in node.input[1:4])
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
    outputs = [f"{name}.guarded" if name else "" for name in node.output]
    size = hidden + GUARDS
    nodes.append(
        helper.make_node(
            "DynamicQuantizeLSTM", inputs, outputs, domain=DOMAIN, hidden_size=size, direction=direction.decode()
        )
    )
    cut = [keep(name, np.array([value])) for name, value in (("from", 0), ("to", hidden), ("axis", -1))]
    return nodes + [helper.make_node("Slice", [f"{name}.guarded", *cut], [name]) for name in node.output if name]


def _padded(name: str, ends: list[float], keep: Keep) -> list[Any]:
    """Nodes that put constants behind the last axis (of three) of a tensor."""
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


def _put(graph: Any, nodes: list[Any]) -> None:
    """Make these the nodes of a graph, but for those that nobody needs any more, and drop such weights."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(_read_by(node))
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(weights)


def _read_by(node: Any) -> set[str]:
    """Names that a node reads, and the graphs within it."""
    inner = [within for attribute in node.attribute for within in attribute.g.node]
    return set(node.input).union(*map(_read_by, inner))
