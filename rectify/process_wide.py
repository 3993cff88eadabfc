"""A setting of the whole process that holds while any thread needs it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class ProcessWide(Generic[T]):
    """A context: the first thread that enters makes the setting, the last one that leaves takes it back.

    Args:
        make: makes the setting and returns what was before.
        restore: takes it back.
    """

    def __init__(self, make: Callable[[], T], restore: Callable[[T], object]) -> None:
        self._make, self._restore = make, restore
        self._lock, self._inside = threading.Lock(), 0
        self._before: list[T] = []

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = [self._make()]
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._restore(self._before.pop())
