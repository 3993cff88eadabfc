"""The state of a run: everything that its next step depends on, in the safetensors format, written atomically."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from train.weights import write_tensors

FILE = "training.state"
"""Not called .safetensors, since it is no weight file to read with; those stand beside it."""


def save(
    path: Path, step: int, model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, **notes: Any
) -> None:
    """Write the state after ``step`` steps beside ``path`` and move it into place.

    Args:
        notes: plain values kept with it, the configuration among them.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    tensors["random"] = torch.get_rng_state()
    tensors = {name: value.cpu().contiguous().clone() for name, value in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, tensors, {"rectify-ocr": json.dumps({"kind": "checkpoint", "step": step, **notes})})


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and notes of a checkpoint file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a checkpoint of this project.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            notes = json.loads((file.metadata() or {}).get("rectify-ocr", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:
        raise ValueError(f"{path}: not a checkpoint: {error}") from error
    if notes.get("kind") != "checkpoint":
        raise ValueError(f"{path}: not a training checkpoint but {notes.get('kind', 'something else')}")
    return tensors, notes


def restore(tensors: dict[str, Tensor], model: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put a run back where ``save`` found it."""
    model.load_state_dict(below(tensors, "model"))
    average.load_state_dict(below(tensors, "average"))
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in below(tensors, "optimizer").items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["random"])


def below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under a prefix, without it."""
    return {name[len(prefix) + 1 :]: value for name, value in tensors.items() if name.startswith(prefix + ".")}
