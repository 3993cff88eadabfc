"""Weights for a deeper network: the residual blocks that it has more start as the identity.

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


def deepen(
    kind: str, source: Mapping[str, Tensor], old: Sequence[int], fresh: Mapping[str, Tensor], new: Sequence[int]
) -> tuple[dict[str, Tensor], set[str]]:
    """Weights for a network with more residual blocks, which computes what the old one does.

    Args:
        kind: of the network, see ``weights_io.KINDS``.
        source: its tensors by name, with ``old`` blocks in each stage.
        fresh: the same of an untrained network with ``new`` blocks in each stage, nowhere fewer.

    Returns:
        All tensors, and the names of those of the added blocks. Those of ``source`` as they are where no blocks are
        added, or some would have to go.
    """
    same = list(old) == list(new)
    if kind not in _STAGES or same or len(old) != len(new) or any(a > b for a, b in zip(old, new, strict=True)):
        return dict(source), set()
    prefix, before = _STAGES[kind]
    places = {index: index for index in range(before)}
    after = before
    for have, want in zip(old, new, strict=True):
        places |= {before + layer: after + layer for layer in range(_CONVOLUTION + have)}
        before, after = before + _CONVOLUTION + have, after + _CONVOLUTION + want
    tensors = {_moved(name, prefix, places): value for name, value in source.items()}
    added = {name for name in fresh if name.startswith(prefix)} - tensors.keys()
    for name in added:
        tensors[name] = torch.zeros_like(fresh[name]) if name.endswith(_LAST_SCALE) else fresh[name].clone()
    return tensors, added


def _moved(name: str, prefix: str, places: Mapping[int, int]) -> str:
    if not name.startswith(prefix):
        return name
    index, rest = name.removeprefix(prefix).split(".", 1)
    return f"{prefix}{places[int(index)]}.{rest}"
