"""Weights for a network of another depth: residual blocks that it has more start as the identity, others go.

Source: Chen et al., Net2Net: Accelerating Learning via Knowledge Transfer, ICLR 2016, section 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_STAGES = {"recognizer": ("encoder.convolutions.", 6), "rectifier": ("features.", 0), "refiner": ("features.", 0)}
"""Of each kind of network with residual blocks: the module that holds its stages, and the layers before the first."""
_WRAPPER = "network."
"""Where an ``AffineNetwork`` keeps the network that has the stages."""
_CONVOLUTION = 3
"""Layers with which a stage begins (convolution, batch normalisation, ReLU); its blocks are one layer each."""
_LAST_SCALE = "body.4.weight"
"""Of a block, the scale of what it adds to its input."""


class Carried(NamedTuple):
    """Weights for a network of another depth."""

    tensors: dict[str, Tensor]
    added: set[str]
    """Names of the tensors of blocks that are new."""
    dropped: set[str]
    """Names, in the old weights, of the tensors of blocks that the network has no place for."""

    def notes(self) -> list[str]:
        """What became of the blocks, for the user."""
        notes = []
        if self.added:
            notes.append("more residual blocks, which start as the identity")
        if self.dropped:
            notes.append("fewer residual blocks, the last ones of their stages are left out")
        return notes


def change_depth(
    kind: str, source: Mapping[str, Tensor], old: Sequence[int], fresh: Mapping[str, Tensor], new: Sequence[int]
) -> Carried:
    """Weights for a network with other numbers of residual blocks in its stages.

    With more blocks it computes what the old one does. With fewer, the last ones of a stage go; since blocks correct
    what passes through them, the rest soon learns to do without.

    Args:
        kind: of the network, see ``weights_io.KINDS``.
        source: its tensors by name, with ``old`` blocks in each stage.
        fresh: the same of an untrained network with ``new`` blocks in each stage.

    Returns:
        The tensors of ``source`` as they are where the stages are not as many, or the kind has no such blocks.
    """
    if kind not in _STAGES or list(old) == list(new) or len(old) != len(new):
        return Carried(dict(source), set(), set())
    prefix, before = _STAGES[kind]
    if not any(name.startswith(prefix) for name in source):
        prefix = f"{_WRAPPER}{prefix}"
    places = {index: index for index in range(before)}
    after = before
    for have, want in zip(old, new, strict=True):
        places |= {before + layer: after + layer for layer in range(_CONVOLUTION + min(have, want))}
        before, after = before + _CONVOLUTION + have, after + _CONVOLUTION + want
    moved = {name: _moved(name, prefix, places) for name in source}
    tensors = {place: source[name] for name, place in moved.items() if place is not None}
    added = {name for name in fresh if name.startswith(prefix)} - tensors.keys()
    for name in added:
        tensors[name] = torch.zeros_like(fresh[name]) if name.endswith(_LAST_SCALE) else fresh[name].clone()
    return Carried(tensors, added, {name for name, place in moved.items() if place is None})


def _moved(name: str, prefix: str, places: Mapping[int, int]) -> str | None:
    """The name of a tensor in the new network, None where its block is dropped."""
    if not name.startswith(prefix):
        return name
    index, rest = name.removeprefix(prefix).split(".", 1)
    return f"{prefix}{places[int(index)]}.{rest}" if int(index) in places else None
