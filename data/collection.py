"""Reading a large collection on many machines with Ray Data, into Parquet: each input once, a run that can go on."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.reader import LmdbReader
from rectify.folders import pictures_below
from rectify.images import Image, read_image
from rectify.stream import stream

if TYPE_CHECKING:
    from recognizer.pipeline import CropReading

PLAN = "collection.json"
"""What a run reads, beside its parts: a run that goes on must have the same."""


@dataclass(frozen=True)
class Shard:
    """Some inputs that are read together and become one Parquet file."""

    number: int
    source: str
    """An LMDB folder or a folder of pictures."""
    files: tuple[str, ...] = ()
    """Paths below a folder of pictures."""
    start: int = 0
    stop: int = 0
    """Of an LMDB: samples ``start`` to ``stop`` - 1, from 0."""

    def __len__(self) -> int:
        return len(self.files) or self.stop - self.start

    def items(self) -> Iterator[tuple[str, Path | int]]:
        """What each input is called, and its file or its index in the LMDB."""
        if self.files:
            yield from ((os.path.join(self.source, file), Path(self.source, file)) for file in self.files)
        else:
            yield from ((f"{self.source}:image-{i + 1:09d}", i) for i in range(self.start, self.stop))


def plan(sources: Sequence[str | Path], size: int) -> list[Shard]:
    """The inputs of LMDB folders and folders of pictures in shards of at most ``size``, in a fixed order.

    Raises:
        FileNotFoundError: a source is no folder.
        ValueError: it holds no input, or is given twice.
    """
    shards: list[Shard] = []
    names = [os.path.abspath(source) for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is given twice; each input is read once")
        if os.path.isfile(os.path.join(name, "data.mdb")):
            files: list[str] = []
            count = len(LmdbReader(name))
        else:
            files = _pictures(name)
            count = len(files)
        if not count:
            raise ValueError(f"{name}: neither samples nor pictures in it")
        for start in range(0, count, size):
            stop = min(start + size, count)
            chosen = tuple(files[start:stop])
            shards.append(Shard(len(shards), name, chosen) if files else Shard(len(shards), name, (), start, stop))
    return shards


def _pictures(folder: str) -> list[str]:
    """Paths of the pictures below a folder, relative to it, sorted; hidden ones are left out."""
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder}: no such folder")
    return sorted(str(path.relative_to(folder)) for path in pictures_below(Path(folder)))


def remaining(shards: Sequence[Shard], out: Path, settings: dict[str, Any]) -> list[Shard]:
    """The shards that ``out`` does not hold yet; the first call writes the plan there.

    Raises:
        ValueError: ``out`` holds parts of other inputs or settings, or something else.
    """
    listing = hashlib.sha256(repr(shards).encode()).hexdigest()
    wanted = {"inputs": sum(map(len, shards)), "shards": len(shards), "listing": listing, **settings}
    file = out / PLAN
    if file.is_file():
        if json.loads(file.read_text(encoding="utf-8")) != wanted:
            raise ValueError(f"{out} holds another collection's run (other inputs or settings); choose another folder")
    elif out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty and holds no run to go on with; choose another folder")
    else:
        out.mkdir(parents=True, exist_ok=True)
        _write(file, (json.dumps(wanted, indent=2) + "\n").encode())
    return [shard for shard in shards if not part(out, shard).is_file()]


def part(out: Path, shard: Shard) -> Path:
    """The Parquet file of a shard."""
    return out / f"part-{shard.number:06d}.parquet"


def errors(out: Path, shard: Shard) -> Path:
    """The list of a shard's inputs that could not be read, path<TAB>reason a line; there is none where all could."""
    return part(out, shard).with_suffix(".errors.tsv")


class ShardReader:
    """Reads shards with a pipeline that is loaded once; what a Ray actor runs, and works without Ray as well.

    Args:
        out: folder of the Parquet files.
        options: of ``Pipeline``.
    """

    def __init__(self, out: str, options: dict[str, Any]) -> None:
        from recognizer.pipeline import Pipeline

        self.out = Path(out)
        self.pipeline = Pipeline(**options)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[int]]:
        """Reads the one shard of a batch; gives its number, and how many inputs were read and how many were bad."""
        values = json.loads(batch["shard"][0])
        shard = Shard(**{**values, "files": tuple(values["files"])})
        read, bad = self.read(shard)
        return {"shard": [shard.number], "read": [read], "bad": [bad]}

    def read(self, shard: Shard) -> tuple[int, int]:
        """Write the files of a shard, each beside and moved into place, the Parquet file last; raises an OSError where
        that cannot be done. Returns how many inputs were read and how many could not be."""
        reader = None if shard.files else LmdbReader(shard.source)

        def load(item: tuple[str, Path | int]) -> Image:
            name, place = item
            if isinstance(place, Path):
                return read_image(place)
            assert reader is not None
            return read_image(reader.image_bytes(place), name)

        rows, failed = [], []
        for entry in stream(shard.items(), load, self.pipeline):
            name = entry.item[0]
            if entry.result is None:
                failed.append(f"{name}\t{str(entry.error).removeprefix(f'{name}: ')}\n")
            else:
                rows.append(_row(name, entry.result))
        if failed:
            _write(errors(self.out, shard), "".join(failed).encode(errors="surrogateescape"))
        else:
            errors(self.out, shard).unlink(missing_ok=True)  # of an earlier attempt
        _write_parquet(part(self.out, shard), rows)
        return len(rows), len(failed)


def run(shards: Sequence[Shard], out: Path, options: dict[str, Any], workers: int) -> Iterator[dict[str, int]]:
    """Read shards on the Ray cluster that this process is connected to; yields what ``ShardReader`` gives of each.

    Args:
        out: a folder that every machine sees, as the inputs are.
        options: of ``Pipeline``.
        workers: actors, one CPU each.
    """
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it tells its plan on standard error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    dataset = ray.data.from_items(
        [{"shard": json.dumps(asdict(shard))} for shard in shards], override_num_blocks=len(shards)
    )
    done = dataset.map_batches(
        ShardReader,
        fn_constructor_args=(str(out.absolute()), options),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
    )
    yield from done.iter_rows()


def _row(name: str, reading: CropReading) -> dict[str, Any]:
    return {
        "path": os.fsencode(name).decode(errors="backslashreplace"),  # Parquet knows UTF-8 only
        "text": reading.text,
        "confidence": reading.confidence,
        "rectified": reading.rectified,
        "control_points": reading.control_points.tolist(),
        "width": reading.size[0],
        "height": reading.size[1],
    }


def _write_parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("path", pa.string()),
            ("text", pa.string()),
            ("confidence", pa.float32()),
            ("rectified", pa.bool_()),
            ("control_points", pa.list_(pa.list_(pa.float32(), 2))),  # in pixels of the source, x then y
            ("width", pa.int32()),
            ("height", pa.int32()),
        ]
    )
    file = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows), schema), file, compression="zstd")
    _write(path, file.getvalue().to_pybytes())


def _write(path: Path, content: bytes) -> None:
    """Beside, then into place; the name beside is this process's own, in case two machines do one shard."""
    beside = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
