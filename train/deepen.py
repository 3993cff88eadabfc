"""Weights for a network of another depth: what it has more starts as the identity, blocks that it lacks are left out.

Source: Chen et al., Net2Net: Accelerating Learning via Knowledge Transfer, ICLR 2016, section 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

_STAGES = {"recognizer": ("encoder.convolutions.", 6), "rectifier": ("features.", 0), "refiner": ("features.", 0)}
"""Of each kind of network with residual blocks: the module that holds its stages, and the layers before the first."""
_CONVOLUTION = 3
"""Layers with which a stage begins (convolution, batch normalisation, ReLU); its blocks are one layer each."""
_LAST_SCALE = "body.4.weight"
"""Of a block, the scale of what it adds to its input."""
_CONSENSUS = "consensus."
"""Layers of a localization network that change nothing at first."""


def deepen(
    kind: str, source: Mapping[str, Tensor], old: Sequence[int], fresh: Mapping[str, Tensor], new: Sequence[int]
) -> tuple[dict[str, Tensor], set[str]]:
    """Weights for a network with more or fewer residual blocks, or with layers for consensus.

    With nothing left out, it computes what the old one does. What is left out has to be learnt anew by the rest.

    Args:
        kind: of the network, see ``weights_io.KINDS``.
        source: its tensors by name, with ``old`` blocks in each stage.
        fresh: the same of an untrained network with ``new`` blocks in each stage.

    Returns:
        All tensors, and the names of those that were added; those of ``source`` as they are where nothing is.
    """
    tensors, added = _with_blocks(kind, source, old, fresh, new)
    missing = {name for name in fresh if name.startswith(_CONSENSUS)} - tensors.keys()
    return tensors | {name: fresh[name].clone() for name in missing}, added | missing


def _with_blocks(
    kind: str, source: Mapping[str, Tensor], old: Sequence[int], fresh: Mapping[str, Tensor], new: Sequence[int]
) -> tuple[dict[str, Tensor], set[str]]:
    if kind not in _STAGES or list(old) == list(new) or len(old) != len(new):
        return dict(source), set()
    prefix, before = _STAGES[kind]
    places = {index: index for index in range(before)}
    after = before
    for have, want in zip(old, new, strict=True):
        places |= {before + layer: after + layer for layer in range(_CONVOLUTION + min(have, want))}
        before, after = before + _CONVOLUTION + have, after + _CONVOLUTION + want
    moved = {_moved(name, prefix, places): value for name, value in source.items()}
    tensors = {name: value for name, value in moved.items() if name}
    added = {name for name in fresh if name.startswith(prefix)} - tensors.keys()
    for name in added:
        tensors[name] = torch.zeros_like(fresh[name]) if name.endswith(_LAST_SCALE) else fresh[name].clone()
    return tensors, added


def _moved(name: str, prefix: str, places: Mapping[int, int]) -> str:
    """The name in the new network; empty for a layer that it lacks."""
    if not name.startswith(prefix):
        return name
    index, rest = name.removeprefix(prefix).split(".", 1)
    return f"{prefix}{places[int(index)]}.{rest}" if int(index) in places else ""
