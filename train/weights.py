"""Weights between runs: networks in safetensors files that say what they hold."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rectify.weights_io import METADATA_KEY, WeightFile, read_weight_file

SUFFIX = ".safetensors"


def save_network(path: Path, network: nn.Module, description: Mapping[str, Any], dtype: torch.dtype) -> None:
    """Write a network's weights with their description beside ``path`` and move them into place.

    Args:
        dtype: of the floating point tensors on disk.
    """
    tensors = {
        name: (value.to(dtype) if value.is_floating_point() else value).cpu().contiguous().clone()
        for name, value in network.state_dict().items()
    }
    write_tensors(path, tensors, {METADATA_KEY: json.dumps(description)})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file beside ``path`` and move it into place.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        save_file(dict(tensors), partial, dict(metadata))
        partial.chmod(0o644)
        os.replace(partial, path)
    except SafetensorError as error:
        raise OSError(f"{path}: cannot be written: {error}") from None
    finally:
        partial.unlink(missing_ok=True)


def find_safetensors(source: str | Path) -> dict[str, WeightFile]:
    """The networks by kind that training can start from.

    Args:
        source: ``shipped``, the folder of a run or of exported weights, or one .safetensors file.

    Raises:
        FileNotFoundError, ValueError: none there.
    """
    root = Path(__file__).parents[1]
    places = [root / "rectify" / "weights", root / "recognizer" / "weights"] if source == "shipped" else [Path(source)]
    paths = [path for place in places for path in (sorted(place.glob(f"*{SUFFIX}")) if place.is_dir() else [place])]
    if not paths:
        raise FileNotFoundError(f"{source}: holds no {SUFFIX} weights to train on from")
    found: dict[str, WeightFile] = {}
    for file in map(read_weight_file, paths):
        found.setdefault(file.kind, file)  # of two of a kind the first, as in reading
    if any(file.onnx for file in found.values()):
        raise ValueError(f"{source}: training needs the {SUFFIX} file, not the ONNX one")
    return found


def same_shapes(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two networks have tensors of the same names and shapes."""
    shapes, others = ({name: value.shape for name, value in tensors.items()} for tensors in (one, other))
    return shapes == others


def load_tensors(file: WeightFile) -> dict[str, Tensor]:
    """A network's tensors, floating point ones in float32 whatever they have on disk.

    Raises:
        ValueError: a damaged file.
    """
    try:
        tensors = load_file(file.path)
    except SafetensorError as error:
        raise ValueError(f"{file.path}: {error}") from None
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
