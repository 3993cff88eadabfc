"""What lets one formula serve numpy arrays and torch tensors; torch is used only where somebody else imported it."""

from __future__ import annotations

import contextlib
import sys
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""A numpy array or a torch tensor of floats."""


def namespace(array: Array) -> ModuleType:
    """numpy or torch, whichever the array belongs to. The functions used here have the same names in both."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(array, torch.Tensor) else np


def like(array: Array, constant: Array) -> Array:
    """The constant in the array's kind, dtype and place."""
    xp = namespace(array)
    if xp is np:
        return np.asarray(constant, array.dtype)
    if isinstance(constant, np.ndarray) and not constant.flags.writeable:
        constant = constant.copy()  # torch warns of memory that it must not write to
    return xp.as_tensor(constant, dtype=array.dtype, device=array.device)


def full_precision(array: Array) -> Array:
    """At least float32; float64 stays."""
    xp = namespace(array)
    if xp is np:
        array = np.asarray(array)
        return array if array.dtype == np.float64 else array.astype(np.float32)
    return array if array.dtype == xp.float64 else array.float()


def without_autocast(array: Array) -> AbstractContextManager[Any]:
    """Inside, matrix products keep the precision of their factors."""
    xp = namespace(array)
    return contextlib.nullcontext() if xp is np else xp.autocast(array.device.type, enabled=False)
