"""Shared memory that is used again: what lies in it stays while anybody holds it, and no longer."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from data import slots
from data.slots import SLOTS, Slots


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Slots:
    """As the first of two workers sees it."""
    monkeypatch.setattr(slots, "get_worker_info", lambda: SimpleNamespace(id=0))
    return Slots(2, 1000)


def test_tensors_arrive_as_they_were_lent(memory: Slots) -> None:
    slot = memory.slot()
    pictures, points = slot.empty((2, 3, 5, 3), np.uint8), slot.empty((2, 4), np.float32)
    pictures[...] = np.arange(90).reshape(2, 3, 5, 3)
    points[...] = [[0.5, np.nan, -1, 3], [1, 2, 3, 4]]
    values = {"pictures": torch.from_numpy(pictures).permute(0, 3, 1, 2), "points": torch.from_numpy(points), "n": 7}
    received = memory.received(slot.lend({**values, "elsewhere": torch.ones(3)}))
    assert received.keys() == {"pictures", "points"}
    for name, tensor in received.items():
        torch.testing.assert_close(tensor, values[name], equal_nan=True)


def test_a_slot_is_used_again_when_nobody_holds_anything_of_it(memory: Slots) -> None:
    def lent() -> dict[str, torch.Tensor]:
        slot = memory.slot()
        array = slot.empty((4,), np.uint8)
        array[...] = 1
        return memory.received(slot.lend({"array": torch.from_numpy(array)}))

    held = [lent() for _ in range(SLOTS)]
    assert lent() == {}  # none is free: the array has memory of its own
    part = held.pop()["array"][1:3]
    assert lent() == {}  # a view of a tensor holds it, too
    del part
    assert lent().keys() == {"array"}
    assert len({tensors["array"].data_ptr() for tensors in held}) == SLOTS - 1


def test_what_does_not_fit_has_memory_of_its_own(memory: Slots) -> None:
    slot = memory.slot()
    small, large = slot.empty((900,), np.uint8), slot.empty((200,), np.uint8)
    lent = slot.lend({"small": torch.from_numpy(small), "large": torch.from_numpy(large)})
    assert lent.tensors.keys() == {"small"}
