"""Writes an LMDB dataset in the field's layout: image-%09d, label-%09d from 1, and num-samples."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import lmdb

MAP_SIZE = 16 << 20
"""Bytes of the first map; it doubles when it is full. Windows allocates the whole map on disk, so it starts small."""

PENDING_BYTES = 8 << 20
"""Samples are committed at the latest when they hold this many bytes, which bounds the memory whatever their size."""


class LmdbWriter:
    """Context manager that writes one dataset, all of it or nothing.

    The dataset grows in a folder ``.NAME.partial-PID-…`` beside the target and is moved into place when the block ends
    without an exception. A build that is killed leaves that folder, which no LMDB reader opens: its file is called
    ``data.partial`` until the last sample is in. Such a folder can be deleted.

    Use it from one thread of the process that entered the block.

    Args:
        folder: where the dataset will be; missing parents are made.
        map_size: bytes of the first memory map.
        commit_every: samples in a transaction.

    Raises:
        FileExistsError: there is something at ``folder`` already, at the start or at the end.
    """

    def __init__(self, folder: str | os.PathLike[str], map_size: int = MAP_SIZE, commit_every: int = 1000) -> None:
        self.folder = Path(folder)
        self._refuse_existing()
        self._map_size = map_size
        self._commit_every = commit_every
        self._count = 0
        self._pending: list[tuple[bytes, bytes]] = []
        self._pending_samples = 0
        self._pending_bytes = 0
        self._env: lmdb.Environment | None = None
        # The process id tells whether the build still runs; it repeats in containers, hence the random part.
        self._partial = self.folder.parent / f".{self.folder.name}.partial-{os.getpid()}-{secrets.token_hex(3)}"

    def __len__(self) -> int:
        """Samples added so far."""
        return self._count

    def __enter__(self) -> LmdbWriter:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._partial.mkdir()
        # Nobody else sees the file before it is complete: no lock file, and one sync at the end.
        self._env = lmdb.open(
            str(self._partial / "data.partial"),
            map_size=self._map_size,
            subdir=False,
            lock=False,
            sync=False,
            mode=0o644,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        env = self._environment()
        try:
            if kind is None:
                self._finish(env)
        finally:
            env.close()
            self._env = None
            shutil.rmtree(self._partial, ignore_errors=True)

    def add(self, image: bytes, label: str, extra: Mapping[str, bytes] | None = None) -> int:
        """Append a sample.

        Args:
            image: an encoded image file, stored as it is.
            label: its text.
            extra: further values of this sample; ``{"geometry": b"…"}`` is stored under ``geometry-%09d``.

        Returns:
            The sample's number, from 1.

        Raises:
            UnicodeEncodeError: a label that is no text; the sample is not added.
            OSError: the disk is full or fails.
            RuntimeError: outside the ``with`` block.
        """
        self._environment()
        values = {"image": image, "label": label.encode("utf-8"), **(extra or {})}
        self._count += 1
        for name, value in values.items():
            self._pending.append((f"{name}-{self._count:09d}".encode(), value))
            self._pending_bytes += len(value)
        self._pending_samples += 1
        if self._pending_samples >= self._commit_every or self._pending_bytes >= PENDING_BYTES:
            self._commit()
        return self._count

    def beside(self, name: str) -> Path:
        """Where a file is to be written, in the ``with`` block, that will lie beside data.mdb."""
        self._environment()
        return self._partial / name

    def _environment(self) -> lmdb.Environment:
        if self._env is None:
            raise RuntimeError(f"{self.folder}: the writer is not open; use it as `with LmdbWriter(...) as writer:`")
        return self._env

    def _refuse_existing(self) -> None:
        if os.path.lexists(self.folder):
            raise FileExistsError(f"{self.folder} exists already; remove it or choose another folder")

    def _commit(self) -> None:
        """Write what is pending in one transaction, in a larger map when it does not fit."""
        env = self._environment()
        while True:
            try:
                with env.begin(write=True) as transaction:
                    for key, value in self._pending:
                        transaction.put(key, value)
                break
            except lmdb.MapFullError:
                self._map_size *= 2
                env.set_mapsize(self._map_size)
            except lmdb.Error as error:
                raise OSError(f"{self.folder}: cannot write the dataset: {error}") from error
        self._pending.clear()
        self._pending_samples = self._pending_bytes = 0

    def _finish(self, env: lmdb.Environment) -> None:
        """Write num-samples after everything else, give the data file its name and the folder its place."""
        self._commit()
        self._pending.append((b"num-samples", str(self._count).encode()))
        self._commit()
        env.sync(True)
        env.close()
        os.replace(self._partial / "data.partial", self._partial / "data.mdb")
        self._refuse_existing()
        os.replace(self._partial, self.folder)
