"""Reads an LMDB dataset in the field's layout, in any number of processes and threads."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import lmdb
import numpy as np
from numpy.typing import NDArray

from data.synth.ink import INK, decode_ink

RENEWED = 4096
"""Reads after which a reader opens its dataset anew, unless told otherwise: the pages that it has read count as memory
of the process until then, in the end the whole file."""

_KINDS = (b"image", b"label", b"geometry")
"""First parts of a sample's keys."""


class Record(NamedTuple):
    """One sample as it is stored.

    Attributes:
        number: its number in the dataset, from 1.
        image: the encoded image file.
        label: its text.
        geometry: how a synthetic word was bent, None for a real one.
    """

    number: int
    image: bytes
    label: str
    geometry: dict[str, Any] | None


class LmdbReader:
    """A dataset folder as a sequence of records, indexed from 0.

    The environment is opened at the first access and once in each process, so a reader may be pickled, handed to
    spawned workers or inherited by forked ones, before and after its first use. Several readers of one folder share it.

    Args:
        folder: holds data.mdb.
        renewed: reads after which the dataset is opened anew. More suit who reads here and there in it: each time, all
            pages that are touched again have to be mapped again.

    Raises:
        FileNotFoundError: there is no such folder, or no dataset in it.
        ValueError: at the first access, the dataset is damaged or has no usable num-samples.
    """

    def __init__(self, folder: str | os.PathLike[str], renewed: int = RENEWED) -> None:
        self.folder = Path(folder)
        self._renewed = renewed
        _require_dataset(self.folder)
        self._env: lmdb.Environment | None = None
        self._process = 0
        self._reads = 0
        self._length: int | None = None

    def __reduce__(self) -> tuple[type[LmdbReader], tuple[Path, int]]:
        return type(self), (self.folder, self._renewed)

    def __repr__(self) -> str:
        return f"LmdbReader({str(self.folder)!r})"

    def __len__(self) -> int:
        """What num-samples says."""
        if self._length is None:
            self._length = self._read_length()
        return self._length

    def __getitem__(self, index: int) -> Record:
        """Sample ``index`` from 0.

        Raises:
            IndexError: outside 0 .. len - 1.
            ValueError: a key is missing, or its value is not what it should be.
        """
        number = self._number(index)
        image, label, geometry = self._values([b"%s-%09d" % (kind, number) for kind in _KINDS])
        return Record(number, self._image(number, image), self._label(number, label), self._geometry(number, geometry))

    def without_geometry(self, index: int) -> Record:
        """``reader[index]`` with None for its geometry, which takes longer to read than the rest."""
        number = self._number(index)
        image, label = self._values([b"%s-%09d" % (kind, number) for kind in _KINDS[:2]])
        return Record(number, self._image(number, image), self._label(number, label), None)

    def __iter__(self) -> Iterator[Record]:
        return (self[index] for index in range(len(self)))

    def image_bytes(self, index: int) -> bytes:
        """The encoded image of sample ``index``, from 0; raises as ``reader[index]`` does."""
        number = self._number(index)
        return self._image(number, self.value(f"image-{number:09d}"))

    def label(self, index: int) -> str:
        """The text of sample ``index``, from 0; raises as ``reader[index]`` does."""
        number = self._number(index)
        return self._label(number, self.value(f"label-{number:09d}"))

    def geometry(self, index: int) -> dict[str, Any] | None:
        """The geometry stored with sample ``index``, from 0, None without; raises as ``reader[index]`` does."""
        number = self._number(index)
        return self._geometry(number, self.value(f"geometry-{number:09d}"))

    def ink(self, index: int) -> NDArray[np.bool_] | None:
        """Where the flat word of sample ``index`` from 0 has ink, over its ink box; None without.

        Raises:
            IndexError, ValueError: as ``reader[index]``.
        """
        number = self._number(index)
        value = self.value(f"{INK}-{number:09d}")
        try:
            return None if value is None else decode_ink(value)
        except ValueError as error:
            raise ValueError(f"{self.folder}: {INK}-{number:09d} is {error}") from None

    def _image(self, number: int, value: bytes | None) -> bytes:
        if value is None:
            raise self._missing(f"image-{number:09d}")
        return value

    def _label(self, number: int, value: bytes | None) -> str:
        if value is None:
            raise self._missing(f"label-{number:09d}")
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.folder}: label-{number:09d} is not UTF-8 text") from error

    def _geometry(self, number: int, value: bytes | None) -> dict[str, Any] | None:
        if value is None:
            return None
        try:
            geometry = json.loads(value)
        except ValueError as error:
            raise ValueError(f"{self.folder}: geometry-{number:09d} is not JSON") from error
        if not isinstance(geometry, dict):
            raise ValueError(f"{self.folder}: geometry-{number:09d} is not a JSON object")
        return geometry

    def _missing(self, key: str) -> ValueError:
        return ValueError(f"{self.folder}: key {key} is missing")

    def value(self, key: str) -> bytes | None:
        """The value stored under any key of the dataset, None without."""
        return self._values([key.encode("utf-8")])[0]

    def all_keys(self) -> Iterator[str]:
        """All keys of the dataset, in byte order."""
        with self._environment().begin() as transaction:
            for key in transaction.cursor().iternext(keys=True, values=False):
                yield key.decode("utf-8", "backslashreplace")

    def _number(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.folder}: index {index} is outside its {len(self)} samples")
        return index + 1

    def _read_length(self) -> int:
        value = self.value("num-samples")
        if value is None:
            raise ValueError(f"{self._missing('num-samples')}; the dataset is incomplete or has another layout")
        if not value.isdigit():
            raise ValueError(f"{self.folder}: num-samples is {value[:40]!r}, not a number")
        return int(value)

    def _values(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with _environments_lock:  # nobody else may hold the environment while it is renewed
            self._reads += 1
            if self._reads % self._renewed == 0:
                self._env = None
            with self._environment().begin() as transaction:
                return [transaction.get(key) for key in keys]

    def _environment(self) -> lmdb.Environment:
        if self._env is None or self._process != os.getpid():
            self._env = _shared_environment(self.folder)
            self._process = os.getpid()
        return self._env


def find_lmdbs(paths: Sequence[str | Path]) -> list[Path]:
    """LMDB folders among the paths and directly below them, in order of name.

    Raises:
        FileNotFoundError: a path that neither is one nor holds one.
    """
    found = []
    for path in map(Path, paths):
        inside = [path] if (path / "data.mdb").exists() else sorted(p.parent for p in path.glob("*/data.mdb"))
        if not inside:
            raise FileNotFoundError(f"{path}: neither an LMDB folder nor a folder of LMDB folders")
        found += inside
    return found


# LMDB must not be open twice in a process (lmdb 3 refuses it), so readers of the same file share its environment.
_environments: WeakValueDictionary[tuple[int, int], lmdb.Environment] = WeakValueDictionary()
_environments_lock = threading.RLock()


def _shared_environment(folder: Path) -> lmdb.Environment:
    """This process's environment of a dataset, opened if no reader holds it yet."""
    _require_dataset(folder)
    status = (folder / "data.mdb").stat()
    with _environments_lock:
        env = _environments.get((status.st_dev, status.st_ino))
        if env is None:
            env = _open(folder, status.st_size)
            _environments[status.st_dev, status.st_ino] = env
    return env


def _open(folder: Path, file_size: int) -> lmdb.Environment:
    try:
        env = lmdb.open(str(folder), readonly=True, lock=False, readahead=False, meminit=False, create=False)
    except lmdb.Error as error:
        raise ValueError(f"{folder}: data.mdb is not a readable LMDB file ({error})") from error
    # Reading pages that a truncated file lacks ends the process by SIGBUS, so it is found out here.
    needed = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
    if file_size < needed:
        env.close()
        raise ValueError(f"{folder}: data.mdb is cut off at {file_size} of {needed} bytes; copy it again")
    return env


def _close_inherited() -> None:
    """After a fork: LMDB forbids the use of the parent's environments, and lmdb a second opening while they live."""
    global _environments_lock
    _environments_lock = threading.RLock()
    for env in list(_environments.values()):
        env.close()
    _environments.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)


def _require_dataset(folder: Path) -> None:
    """Raise a FileNotFoundError that says what ``folder`` is instead of a dataset."""
    if (folder / "data.mdb").is_file():
        return
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: no such folder")
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; give the folder that holds data.mdb")
    inside = sorted(path.parent.name for path in folder.glob("*/data.mdb"))
    hint = f"; these folders in it are: {', '.join(inside)}" if inside else ""
    raise FileNotFoundError(f"{folder} is not an LMDB dataset, it holds no data.mdb{hint}")
