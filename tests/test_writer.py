"""The dataset writer: layout, map growth, and all or nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from data import LmdbReader, LmdbWriter

ROOT = Path(__file__).parents[1]


def stored(folder: Path) -> dict[bytes, bytes]:
    """Everything in a dataset, read without the project's own reader."""
    with lmdb.open(str(folder), readonly=True, lock=False) as env, env.begin() as transaction:
        return dict(transaction.cursor())


def test_layout_is_the_fields(tmp_path):
    with LmdbWriter(tmp_path / "words") as writer:
        assert writer.add(b"first", "one") == 1
        assert writer.add(b"second", "zwölf", {"geometry": b"{}"}) == 2
        assert len(writer) == 2
    assert stored(tmp_path / "words") == {
        b"num-samples": b"2",
        b"image-000000001": b"first",
        b"label-000000001": b"one",
        b"image-000000002": b"second",
        b"label-000000002": "zwölf".encode(),
        b"geometry-000000002": b"{}",
    }


def test_a_label_that_is_no_text_is_not_counted(tmp_path):
    with LmdbWriter(tmp_path / "words") as writer:
        with pytest.raises(UnicodeEncodeError):
            writer.add(b"first", "\udcff")
        assert writer.add(b"second", "two") == 1
    assert LmdbReader(tmp_path / "words")[0].label == "two"


def test_nothing_but_the_data_file_is_left(tmp_path):
    with LmdbWriter(tmp_path / "words") as writer:
        writer.add(b"x", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["words"]
    assert [path.name for path in (tmp_path / "words").iterdir()] == ["data.mdb"]


def test_parents_are_made(tmp_path):
    with LmdbWriter(tmp_path / "a" / "b"):
        pass
    assert stored(tmp_path / "a" / "b") == {b"num-samples": b"0"}


@pytest.mark.parametrize("commit_every", [1, 7, 1000])
def test_map_grows_as_needed(tmp_path, commit_every):
    images = [os.urandom(1000 * number) for number in range(1, 60)]
    with LmdbWriter(tmp_path / "words", map_size=1 << 16, commit_every=commit_every) as writer:
        for number, image in enumerate(images):
            writer.add(image, str(number))
    assert (tmp_path / "words" / "data.mdb").stat().st_size > 20 * (1 << 16)
    assert [record.image for record in LmdbReader(tmp_path / "words")] == images


def test_one_sample_larger_than_the_map(tmp_path):
    image = os.urandom(5 << 20)
    with LmdbWriter(tmp_path / "words", map_size=1 << 16) as writer:
        writer.add(image, "large")
    assert LmdbReader(tmp_path / "words").image_bytes(0) == image


def test_large_samples_do_not_wait_in_memory(tmp_path):
    with LmdbWriter(tmp_path / "words") as writer:
        for _ in range(20):
            writer.add(bytes(1 << 20), "x")
            assert sum(len(value) for _, value in writer._pending) < 9 << 20


@pytest.mark.parametrize("kind", ["folder", "file", "broken link"])
def test_existing_target_is_refused(tmp_path, kind):
    target = tmp_path / "words"
    {"folder": target.mkdir, "file": target.touch, "broken link": lambda: target.symlink_to("nowhere")}[kind]()
    with pytest.raises(FileExistsError, match="words exists already; remove it"):
        LmdbWriter(target)
    assert [path.name for path in tmp_path.iterdir()] == ["words"]


def test_target_that_appears_meanwhile_is_kept(tmp_path):
    with pytest.raises(FileExistsError), LmdbWriter(tmp_path / "words") as writer:
        writer.add(b"x", "x")
        (tmp_path / "words").mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["words"]
    assert not any((tmp_path / "words").iterdir())


def test_an_exception_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), LmdbWriter(tmp_path / "words", commit_every=1) as writer:
        writer.add(b"x", "x")
        raise KeyboardInterrupt
    assert not any(tmp_path.iterdir())


def test_add_outside_the_block_is_an_error(tmp_path):
    writer = LmdbWriter(tmp_path / "words")
    with pytest.raises(RuntimeError, match="with LmdbWriter"):
        writer.add(b"x", "x")


def test_two_writers_of_one_process(tmp_path):
    with LmdbWriter(tmp_path / "a") as a, LmdbWriter(tmp_path / "b") as b:
        a.add(b"a", "a")
        b.add(b"b", "b")
    assert LmdbReader(tmp_path / "a").label(0) == "a"
    assert LmdbReader(tmp_path / "b").label(0) == "b"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_build_leaves_nothing_that_opens(tmp_path):
    target = tmp_path / "words"
    script = f"""
import itertools
from data import LmdbWriter
with LmdbWriter({str(target)!r}, commit_every=10) as writer:
    for number in itertools.count():
        writer.add(bytes(1000), "word")
        if number == 500:
            print("started", flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not target.exists()
    (leftover,) = tmp_path.iterdir()
    assert leftover.name.startswith(f".words.partial-{process.pid}-")
    assert any(path.stat().st_size > 0 for path in leftover.iterdir())  # it was killed while it wrote
    with pytest.raises(lmdb.Error):
        lmdb.open(str(leftover), readonly=True, lock=False)
    with LmdbWriter(target) as writer:  # and it does not stand in the way of the next build
        writer.add(b"x", "x")
    assert len(LmdbReader(target)) == 1
