"""Any number of inputs in constant memory: loaded ahead by threads, processed in batches, in their order."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition
from typing import TYPE_CHECKING, Generic, TypeVar

from rectify.images import Image, read_image

if TYPE_CHECKING:
    from concurrent.futures import Future

BATCH = 256
"""Most pictures that are processed together: enough for the widths of words to form groups of their own."""
BATCH_BYTES = 64_000_000
"""Bytes of pixels beyond which a batch, and what is loaded ahead of it, takes no more pictures."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Streamed(Generic[Item, Result]):
    """What became of one input."""

    item: Item
    image: Image | None = field(default=None, repr=False)
    """(H, W) or (H, W, C) uint8; None where it could not be loaded."""
    result: Result | None = None
    error: Exception | None = None
    """Why it could not be loaded, or, of one that was, processed."""


class BatchError(ValueError):
    """Raised by what processes a batch where one of its pictures may be to blame."""


def load_image(item: Image | str | os.PathLike[str] | bytes) -> Image:
    """An array as it is, a path or the bytes of a file as ``images.read_image`` reads them."""
    if isinstance(item, bytes):
        return read_image(item)
    return read_image(Path(item)) if isinstance(item, str | os.PathLike) else item


def stream(
    items: Iterable[Item],
    load: Callable[[Item], Image],
    process: Callable[[Sequence[Image]], Sequence[Result]],
    threads: int = 1,
    batch: int = BATCH,
    batch_bytes: int = BATCH_BYTES,
) -> Iterator[Streamed[Item, Result]]:
    """Loads and processes inputs one after the other; a single thread of this process does the processing.

    Args:
        items: read only as far as is loaded ahead.
        load: makes the picture of an item, in another thread; a ValueError or OSError of its is the item's error.
        process: from a batch of pictures to a result for each. After a ``BatchError`` it gets the pictures of the batch
            one by one, and the errors are those of the pictures that it fails on again.
        threads: that load ahead while a batch is processed; 0 loads in between.
        batch, batch_bytes: bounds of a batch, and again of what is loaded ahead.
    """
    loaded: Iterator[Streamed[Item, Result]] = _load_ahead(items, load, threads, batch, batch_bytes)
    for group in _batches(loaded, batch, batch_bytes):
        images = [entry.image for entry in group if entry.image is not None]
        results = iter(_processed(process, images) if images else ())
        for entry in group:
            if entry.image is None:
                yield entry
                continue
            result = next(results)
            if isinstance(result, BatchError):
                yield Streamed(entry.item, entry.image, error=result)
            else:
                yield Streamed(entry.item, entry.image, result)


def _processed(
    process: Callable[[Sequence[Image]], Sequence[Result]], images: Sequence[Image]
) -> Sequence[Result | BatchError]:
    """A result for each picture, or the error that it causes."""
    try:
        return process(images)
    except BatchError as error:
        if len(images) == 1:
            return [error]
    return [result for image in images for result in _processed(process, [image])]


def _try(load: Callable[[Item], Image], item: Item) -> Streamed[Item, Result]:
    try:
        return Streamed(item, load(item))
    except (ValueError, OSError) as error:
        return Streamed(item, error=error)


def _load_ahead(
    items: Iterable[Item], load: Callable[[Item], Image], threads: int, most: int, most_bytes: int
) -> Iterator[Streamed[Item, Result]]:
    """The loaded items in order; besides the next one ``most`` are under way or waiting, fewer where they are large."""
    if threads < 1:
        yield from (_try(load, item) for item in items)
        return
    from concurrent.futures import ThreadPoolExecutor

    room = _Room(most_bytes)

    def work(number: int, item: Item) -> Streamed[Item, Result]:
        room.wait(number)
        entry: Streamed[Item, Result] = _try(load, item)
        room.take(_bytes(entry))
        return entry

    def first() -> Streamed[Item, Result]:
        entry = waiting.popleft().result()
        room.give(_bytes(entry))
        return entry

    waiting: deque[Future[Streamed[Item, Result]]] = deque()
    pool = ThreadPoolExecutor(threads, "load")
    try:
        for number, item in enumerate(items):
            waiting.append(pool.submit(work, number, item))
            if len(waiting) > most:
                yield first()
        while waiting:
            yield first()
    finally:
        room.open()
        pool.shutdown(cancel_futures=True)


class _Room:
    """Lets loading go on while what waits to be processed has few enough bytes. The next one in turn is always let in,
    so that nobody waits for it in vain."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._held = 0
        self._turn = 0.0
        self._changed = Condition()

    def wait(self, number: int) -> None:
        """Return when picture ``number`` may be loaded."""
        with self._changed:
            self._changed.wait_for(lambda: self._held < self._most or number <= self._turn)

    def take(self, size: int) -> None:
        """A picture of so many bytes is loaded."""
        with self._changed:
            self._held += size

    def give(self, size: int) -> None:
        """The picture whose turn it was is taken away."""
        with self._changed:
            self._held -= size
            self._turn += 1
            self._changed.notify_all()

    def open(self) -> None:
        """Let everybody in."""
        with self._changed:
            self._turn = math.inf
            self._changed.notify_all()


def _bytes(entry: Streamed[Item, Result]) -> int:
    return 0 if entry.image is None else entry.image.nbytes


def _batches(
    entries: Iterable[Streamed[Item, Result]], most: int, most_bytes: int
) -> Iterator[list[Streamed[Item, Result]]]:
    """At most ``most`` together, or as many as it takes to pass ``most_bytes``."""
    batch: list[Streamed[Item, Result]] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += _bytes(entry)
        if len(batch) == most or size > most_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
