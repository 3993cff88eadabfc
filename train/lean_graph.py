"""ONNX graphs without what only their exporter needs: notes on source lines, long names."""

from __future__ import annotations

from typing import Any


def make_lean(model: Any) -> None:
    """Drop what the exporter notes of the Python lines behind each node, and shorten names within the graph: of an
    unrolled one the notes are half the file. Inputs, outputs and weights keep their names.

    Args:
        model: onnx.ModelProto without subgraphs, changed in place.
    """
    graph = model.graph
    graph.ClearField("value_info")
    kept = {value.name for value in (*graph.input, *graph.output, *graph.initializer)}
    names: dict[str, str] = {}
    for number, node in enumerate(graph.node):
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
        node.name = f"n{number:x}"
        for place, name in enumerate(node.output):
            if name and name not in kept:
                short = f"{number:x}.{place}"
                names[name] = f"{short}'" if short in kept else short
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
