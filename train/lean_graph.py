"""ONNX graphs without what only their exporter needs: notes on source lines, long names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def make_lean(model: Any) -> None:
    """Drop what the exporter notes of the Python lines behind each node, which can be half of a file, and shorten names
    within the graph. Inputs, outputs and weights keep their names.

    Args:
        model: onnx.ModelProto, changed in place; the names in the graphs within it stay unlike those around them.
    """
    _make_graph_lean(model.graph, {}, "")


def _make_graph_lean(graph: Any, around: Mapping[str, str], prefix: str) -> None:
    """``make_lean`` of a graph in which names from around it may stand, which are now called otherwise."""
    graph.ClearField("value_info")
    kept = {value.name for value in (*graph.input, *graph.output, *graph.initializer)}
    names = dict(around)
    for number, node in enumerate(graph.node):
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
        node.name = f"{prefix}n{number:x}"
        for place, name in enumerate(node.output):
            if name and name not in kept:
                short = f"{prefix}{number:x}.{place}"
                names[name] = f"{short}'" if short in kept else short
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _make_graph_lean(attribute.g, names, f"{node.name}.")
