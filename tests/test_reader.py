"""The dataset reader: records, errors that name folder and key, and every way into another process."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lmdb
import pytest

from data import LmdbReader, LmdbWriter

ROOT = Path(__file__).parents[1]
START_METHODS = [method for method in ("fork", "spawn") if method in multiprocessing.get_all_start_methods()]


@pytest.fixture
def folder(tmp_path):
    """Fifty samples; the second has a geometry."""
    with LmdbWriter(tmp_path / "words") as writer:
        for number in range(1, 51):
            geometry = {"geometry": b'{"size": [10, 20]}'} if number == 2 else None
            writer.add(f"image {number}".encode(), f"wört {number}", geometry)
    return tmp_path / "words"


def raw_dataset(folder: Path, items: dict[bytes, bytes]) -> Path:
    """An environment with exactly these keys."""
    with lmdb.open(str(folder), lock=False) as env, env.begin(write=True) as transaction:
        for key, value in items.items():
            transaction.put(key, value)
    return folder


def test_records(folder):
    reader = LmdbReader(folder)
    assert len(reader) == 50
    first, second = reader[0], reader[1]
    assert (first.number, first.image, first.label, first.geometry) == (1, b"image 1", "wört 1", None)
    assert (second.number, second.geometry) == (2, {"size": [10, 20]})
    assert [record.number for record in reader] == list(range(1, 51))
    assert reader.value("num-samples") == b"50"
    assert reader.value("lexicon-000000001") is None
    assert sorted(reader.all_keys())[0] == "geometry-000000002"


@pytest.mark.parametrize("index", [50, -1])
def test_index_outside(folder, index):
    with pytest.raises(IndexError, match=r"words: index .* 50 samples"):
        LmdbReader(folder)[index]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ({b"image-000000001": b"x"}, "words: key num-samples is missing"),
        ({b"num-samples": b"many"}, "words: num-samples is b'many', not a number"),
        ({b"num-samples": b"1", b"label-000000001": b"x"}, "words: key image-000000001 is missing"),
        ({b"num-samples": b"1", b"image-000000001": b"x"}, "words: key label-000000001 is missing"),
        (
            {b"num-samples": b"1", b"image-000000001": b"x", b"label-000000001": b"\xff"},
            "words: label-000000001 is not UTF-8",
        ),
        (
            {b"num-samples": b"1", b"image-000000001": b"x", b"label-000000001": b"x", b"geometry-000000001": b"{"},
            "words: geometry-000000001 is not JSON",
        ),
        (
            {b"num-samples": b"1", b"image-000000001": b"x", b"label-000000001": b"x", b"geometry-000000001": b"[]"},
            "words: geometry-000000001 is not a JSON object",
        ),
    ],
)
def test_what_is_wrong_inside_is_named(tmp_path, items, message):
    reader = LmdbReader(raw_dataset(tmp_path / "words", items))
    with pytest.raises(ValueError, match=message):
        reader[0]


def test_folder_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        LmdbReader(tmp_path / "nowhere")


def test_folder_of_datasets_names_them(folder):
    with pytest.raises(FileNotFoundError, match=r"no data\.mdb; these folders in it are: words$"):
        LmdbReader(folder.parent)


def test_folder_without_any(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is not an LMDB dataset, it holds no data\.mdb$"):
        LmdbReader(tmp_path)


def test_file_instead_of_folder(folder):
    with pytest.raises(FileNotFoundError, match="give the folder"):
        LmdbReader(folder / "data.mdb")


@pytest.mark.parametrize("content", [b"", b"not an environment" * 1000])
def test_file_that_is_no_environment(tmp_path, content):
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(ValueError, match=r"data\.mdb is not a readable LMDB file"):
        len(LmdbReader(tmp_path))


def test_truncated_file_is_an_error_and_no_crash(tmp_path):
    with LmdbWriter(tmp_path / "words") as writer:
        for _ in range(50):
            writer.add(os.urandom(5000), "word")
    data = tmp_path / "words" / "data.mdb"
    os.truncate(data, data.stat().st_size // 2)
    with pytest.raises(ValueError, match=r"words: data\.mdb is cut off at \d+ of \d+ bytes"):
        len(LmdbReader(tmp_path / "words"))


def test_readers_of_one_folder_share_it(folder):
    readers = [LmdbReader(folder), LmdbReader(f"{folder}/"), LmdbReader(folder)]
    assert [reader.label(2) for reader in readers] == ["wört 3"] * 3
    del readers[0]
    assert readers[0].label(3) == "wört 4"


def test_folder_is_free_after_its_readers(folder):
    reader = LmdbReader(folder)
    assert len(reader) == 50
    del reader
    with lmdb.open(str(folder), readonly=True, lock=False) as env:
        assert env.stat()["entries"] == 102


def test_dataset_rebuilt_under_a_reader(folder):
    old = LmdbReader(folder)
    assert len(old) == 50
    folder.rename(folder.with_name("old"))
    with LmdbWriter(folder) as writer:
        writer.add(b"new", "new")
    assert LmdbReader(folder).label(0) == "new"
    assert old.label(0) == "wört 1"


@pytest.mark.parametrize("opened", [False, True])
def test_pickle(folder, opened):
    reader = LmdbReader(folder)
    if opened:
        assert len(reader) == 50
    copy = pickle.loads(pickle.dumps(reader))
    assert (len(copy), copy.label(49)) == (50, "wört 50")


def test_threads_that_open_at_once(folder):
    reader, barrier = LmdbReader(folder), threading.Barrier(8)

    def read(index: int) -> str:
        barrier.wait()
        return reader.label(index)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(8))) == [f"wört {number}" for number in range(1, 9)]


def _read_part(reader: LmdbReader, indices: list[int]) -> list[tuple[int, bytes, str]]:
    return [(record.number, record.image, record.label) for record in (reader[index] for index in indices)]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("method", START_METHODS)
def test_workers(folder, method, opened):
    reader = LmdbReader(folder)
    expected = [(number, f"image {number}".encode(), f"wört {number}") for number in range(1, 51)]
    if opened:
        assert reader[0].number == 1
    with multiprocessing.get_context(method).Pool(3) as pool:
        parts = pool.starmap(_read_part, [(reader, list(range(start, start + 10))) for start in range(0, 50, 10)])
    assert [record for part in parts for record in part] == expected
    assert reader[49].number == 50  # the parent's own environment is untouched


INHERITED = """
import multiprocessing, sys
from data import LmdbReader
first, second = LmdbReader(sys.argv[1]), LmdbReader(sys.argv[1])
assert first.label(0) == second.label(0)
parents = first._environment()

def child():
    assert first._environment() is second._environment() is not parents
    assert first.label(1) == second.label(1)                  # inherited, not pickled
    assert LmdbReader(sys.argv[1]).label(2) == first.label(2)
    inner = multiprocessing.get_context("fork").Process(target=grandchild)
    inner.start(); inner.join()
    sys.exit(inner.exitcode)

def grandchild():
    assert [record.number for record in second] == list(range(1, 51))

processes = [multiprocessing.get_context("fork").Process(target=child) for _ in range(3)]
for process in processes: process.start()
for process in processes: process.join()
assert [process.exitcode for process in processes] == [0, 0, 0]
assert first.label(3) and second.label(4)
print("done")
"""


@pytest.mark.skipif("fork" not in START_METHODS, reason="needs fork")
def test_open_readers_inherited_by_forked_processes(folder):
    run = subprocess.run([sys.executable, "-c", INHERITED, str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "done\n"), run.stderr


def test_importing_the_package_imports_no_lmdb():
    script = "import sys, data; assert 'lmdb' not in sys.modules; data.LmdbReader; assert 'lmdb' in sys.modules"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_exported_names():
    import data

    assert data.__all__ == ["LmdbReader", "LmdbWriter"]
    assert set(data.__all__) <= set(dir(data))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = data.Nothing


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to tell mapped memory")
def test_what_was_read_does_not_stay_in_memory(tmp_path: Path) -> None:
    """24 MB are read; a reader that keeps its map keeps them all."""
    with LmdbWriter(tmp_path / "large") as writer:
        for index in range(600):
            writer.add(bytes([index % 256]) * 40_000, "word")
    before, most = mapped_megabytes(), 0.0
    reader = pickle.loads(pickle.dumps(LmdbReader(tmp_path / "large", renewed=50)))
    for index in range(600):
        assert reader[index].image[0] == index % 256
        most = max(most, mapped_megabytes())
    assert most - before < 8


def mapped_megabytes() -> float:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssFile"))
    return int(line.split()[1]) / 1024
