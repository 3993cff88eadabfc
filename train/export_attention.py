"""The ONNX graph of an attention head: a loop over letters that ends with the longest word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recognizer.attention_network import AttentionHead, Frames, State, all_ended

FRAMES = [f"{side}.{name}" for side in ("left", "right") for name in Frames._fields]
"""Names of what the loop looks at."""
STATES = [f"{side}.{name}" for side in ("left", "right") for name in State._fields]
"""Names of what goes from step to step."""
EXAMPLE = (2, 32)
"""Words and frames that the graphs are traced with."""


class _Start(nn.Module):
    """Features to ``FRAMES`` and the ``STATES`` before the first step."""

    def __init__(self, head: AttentionHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> list[Tensor]:
        frames, states = self.head.start(features)
        return [tensor for side in (*frames, *states) for tensor in side]


class _Step(nn.Module):
    """A step's number, ``FRAMES`` and ``STATES`` to whether another step is needed, ``STATES``, scores and weights."""

    def __init__(self, head: AttentionHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, number: Tensor, *given: Tensor) -> list[Tensor]:
        frames, states = given[: len(FRAMES)], given[len(FRAMES) :]
        scores, weights, after = self.head.step(
            number,
            [Frames(*side) for side in _halves(frames)],
            [State(*side) for side in _halves(states)],
        )
        return [~all_ended(after), *(tensor for side in after for tensor in side), scores, weights]


def _halves(tensors: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    return tensors[: len(tensors) // 2], tensors[len(tensors) // 2 :]


def attention_graph(head: AttentionHead, features: str, outputs: Sequence[str], opset: int) -> Any:
    """The head as an onnx.ModelProto: ``AttentionHead.outputs`` of features (N, T, F), N and T free.

    No exporter makes a loop of Python's: what comes before the loop and what is within are exported by themselves and
    put together here.

    Args:
        features, outputs: names of the input and of the two outputs.
    """
    words, frames = torch.export.Dim("batch", min=1, max=1 << 16), torch.export.Dim("frames", min=4, max=1 << 14)
    example = torch.zeros(*EXAMPLE, head.config.features)
    with torch.no_grad():
        started = [tensor.clone() for tensor in _Start(head)(example)]  # the exporter takes one tensor for one input
    free = [{0: words, 2: frames}] * len(FRAMES) + [{0: words}] * len(STATES)
    model = _exported(_Start(head), (example,), {"features": {0: words, 1: frames}}, opset, [features], FRAMES + STATES)
    shapes = {"number": {}, "given": tuple(free)}
    given, found = ["number", *FRAMES, *STATES], ["going", *STATES, "scores", "weights"]
    step = _exported(_Step(head), (torch.tensor(0), *started), shapes, opset, given, [f"next.{name}" for name in found])
    _append_loop(model.graph, step.graph, head.config.steps, outputs)
    return model


def _exported(
    network: nn.Module,
    example: tuple[Tensor, ...],
    free: dict[str, Any],
    opset: int,
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> Any:
    return torch.onnx.export(
        network.eval(),
        example,
        input_names=inputs,
        output_names=outputs,
        dynamic_shapes=free,
        opset_version=opset,
        dynamo=True,
        verbose=False,
    ).model_proto


def _append_loop(graph: Any, step: Any, steps: int, outputs: Sequence[str]) -> None:
    """Repeat a step, at most so many times, behind what gives it its ``FRAMES`` and first ``STATES``.

    Scores and weights of all steps, with these behind words and sides, become the outputs of ``graph``.

    Args:
        graph, step: onnx.GraphProto; the first is changed in place, and has the weights of both afterwards.
    """
    from onnx import TensorProto, compose, helper, numpy_helper

    body = compose.add_prefix_graph(step, "step.")
    # What is the same in all steps is not handed on but taken from around the loop.
    around = {f"step.{name}": name for name in FRAMES}
    for node in body.node:
        node.input[:] = [around.get(name, name) for name in node.input]
    number, *given = body.input
    going = helper.make_tensor_value_info("step.before", TensorProto.BOOL, [])
    del body.input[:]
    body.input.extend([number, going, *given[len(FRAMES) :]])
    graph.initializer.extend([*body.initializer, numpy_helper.from_array(np.array(steps), "steps")])
    del body.initializer[:]
    stacked = [f"stacked.{name}" for name in outputs]
    ends = [*(f"last.{name}" for name in STATES), *stacked]
    graph.node.append(helper.make_node("Loop", ["steps", "", *STATES], ends, body=body))
    del graph.output[:]
    for value, name, stack in zip(body.output[-len(outputs) :], outputs, stacked, strict=True):
        # Steps, words, sides, what there is of each: words first, and steps behind the sides.
        graph.node.append(helper.make_node("Transpose", [stack], [name], perm=[1, 2, 0, 3]))
        words, sides, *rest = [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [words, sides, "letters", *rest]))
