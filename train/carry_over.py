"""What a recogniser and its heads take over from weights that were made for another charset."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

CLASS_ROWS = {"ctc.weight": 1, "ctc.bias": 1} | {
    f"{direction}.{layer}": 1
    for direction in ("forwards", "backwards")
    for layer in ("embedding.weight", "output.weight", "output.bias")
}
"""Tensors of the recognition network and the attention head whose rows are their classes, and the class of the
charset's first character there. The classes before the first and after the last character mean the same whatever the
charset is."""

_SHOWN = 60
"""Characters that a message lists at most."""


def carry_over(
    source: Mapping[str, Tensor], old: str, fresh: Mapping[str, Tensor], new: str
) -> tuple[dict[str, Tensor], set[str]]:
    """Weights for the characters of ``new`` from weights for those of ``old``.

    Args:
        source: tensors by name of a network that writes ``old``.
        fresh: the same of an untrained network that writes ``new``.

    Returns:
        All tensors of ``source``, those of ``CLASS_ROWS`` with the rows of the characters that both charsets hold and
        fresh rows for the others; and the names of those that have fresh rows.
    """
    tensors = dict(source)
    partly_fresh: set[str] = set()
    if old == new:
        return tensors, partly_fresh
    for name, first in CLASS_ROWS.items():
        if _differ_in_characters_only(source.get(name), len(old), fresh.get(name), len(new)):
            tensors[name] = _rows(source[name], old, fresh[name], new, first)
            if set(new) - set(old):
                partly_fresh.add(name)
    return tensors, partly_fresh


def _differ_in_characters_only(source: Tensor | None, old: int, fresh: Tensor | None, new: int) -> bool:
    if source is None or fresh is None:
        return False
    return source.shape[1:] == fresh.shape[1:] and source.shape[0] - old == fresh.shape[0] - new


def _rows(source: Tensor, old: str, fresh: Tensor, new: str, first: int) -> Tensor:
    """(classes, ...) of the new charset; ``first`` is the class of its first character."""
    rows = torch.cat([source[:first], fresh[first : first + len(new)], source[first + len(old) :]])
    both = [character for character in new if character in old]
    rows[[first + new.index(character) for character in both]] = source[[first + old.index(c) for c in both]]
    return rows


def describe(old: str, new: str, whole: bool = True) -> str:
    """What becomes of the characters, in words.

    Args:
        whole: whether nothing but characters may have changed.
    """
    if old == new:
        return "carried over whole" if whole else "carried over"
    kept, added, dropped = (
        [c for c in new if c in old],
        [c for c in new if c not in old],
        [c for c in old if c not in new],
    )
    parts = [f"carried over with {len(kept)} of its {len(old)} characters"]
    if added:
        parts.append(f"{len(added)} start fresh: {_listed(added)}")
    if dropped:
        parts.append(f"{len(dropped)} are left out: {_listed(dropped)}")
    return "; ".join(parts)


def _listed(characters: list[str]) -> str:
    return "".join(characters[:_SHOWN]) + ("…" if len(characters) > _SHOWN else "")
