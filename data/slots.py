"""Memory in which worker processes hand batches over, used again and again."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

AHEAD = 4
"""Batches that each worker prepares ahead."""
SLOTS = AHEAD + 2
"""Of each worker: one is filled and one is used while the others wait."""
ALIGNMENT = 64
"""Bytes; where the processor likes arrays to begin."""

Empty = Callable[[Sequence[int], Any], NDArray[Any]]
"""Makes an array of a shape and a type, as ``np.empty`` does."""


class Lent(NamedTuple):
    """Tensors that lie in a slot."""

    worker: int
    slot: int
    tensors: dict[str, tuple[slice, torch.dtype, tuple[int, ...], tuple[int, ...]]]
    """By name, the bytes of each in the slot, its type, shape and strides."""


class Slots:
    """Shared memory in parts, each of which holds the large arrays of one batch until nobody uses them any more.

    A page of memory that is new to a process costs the system many times what it takes to fill it; these are new once.

    Args:
        workers: processes that fill them.
        size: bytes of a part.

    Raises:
        ValueError: the system has not so much shared memory.
    """

    def __init__(self, workers: int, size: int) -> None:
        size = -(-size // ALIGNMENT) * ALIGNMENT
        self._memory = _shared(workers * SLOTS * size).view(workers, SLOTS, size)
        self._taken = _shared(workers * SLOTS).view(workers, SLOTS)

    def slot(self) -> Slot:
        """A free part of the memory of the worker that asks; while all are used, one without room."""
        worker = get_worker_info()
        free = (self._taken[worker.id] == 0).nonzero().flatten().tolist()
        if not free:
            return Slot(worker.id, 0, self._memory[worker.id, 0, :0])
        self._taken[worker.id, free[0]] = 1
        return Slot(worker.id, free[0], self._memory[worker.id, free[0]])

    def received(self, lent: Lent) -> dict[str, Tensor]:
        """The tensors by name. Their part of the memory is free again when the last of them, and of what shares memory
        with them, is gone."""
        if not lent.tensors:
            return {}
        array = self._memory[lent.worker, lent.slot].numpy()
        weakref.finalize(array, self._taken[lent.worker, lent.slot].zero_).atexit = False
        whole = torch.from_numpy(array)  # and what is made of it keeps the array alive
        return {
            name: whole[place].view(dtype).as_strided(shape, strides)
            for name, (place, dtype, shape, strides) in lent.tensors.items()
        }


class Slot:
    """One part of the memory, in the worker that fills it."""

    def __init__(self, worker: int, number: int, memory: Tensor) -> None:
        self._place, self._memory, self._used = (worker, number), memory, 0

    def empty(self, shape: Sequence[int], dtype: Any) -> NDArray[Any]:
        """An array in the slot, or one of its own where that has no more room."""
        start, end = self._used, self._used + math.prod(shape) * np.dtype(dtype).itemsize
        if end > len(self._memory):
            return np.empty(shape, dtype)
        self._used = -(-end // ALIGNMENT) * ALIGNMENT
        return self._memory.numpy()[start:end].view(dtype).reshape(shape)

    def lend(self, values: dict[str, Any]) -> Lent:
        """Which of these values lie in the slot."""
        begin, tensors = self._memory.data_ptr(), {}
        for name, value in values.items():
            if isinstance(value, Tensor) and value.numel() and 0 <= value.data_ptr() - begin < self._used:
                place = slice(value.data_ptr() - begin, value.data_ptr() - begin + value.nbytes)
                tensors[name] = (place, value.dtype, tuple(value.shape), value.stride())
        return Lent(*self._place, tensors)


def _shared(size: int) -> Tensor:
    """Bytes, zero, that other processes see, too."""
    try:
        return torch.empty(0, dtype=torch.uint8).set_(torch.UntypedStorage._new_shared(size))
    except RuntimeError:
        raise ValueError(
            f"no room for batches in shared memory, {size >> 20} MB: give it more (docker run --shm-size=1g), or set "
            "fewer workers, or workers=0"
        ) from None
