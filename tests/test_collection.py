"""Large collections: shards, resuming, bad inputs, and a run on a local Ray."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

pa = pytest.importorskip("pyarrow")
pytest.importorskip("lmdb")

import pyarrow.parquet as pq

from data.collection import PLAN, ShardReader, errors, part, plan, remaining
from data.collection_command import main
from data.writer import LmdbWriter
from helpers import bars, save_recognizer, save_rectifier
from rectify.conventions import canonical_points

TEXTS = ["a", "b", "ab", "ba", "aa", "bb", "aba"]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    save_recognizer(folder / "recognizer.onnx")
    save_rectifier(folder / "rectifier.onnx", canonical_points(5, 5))
    return folder


@pytest.fixture
def lmdb(tmp_path: Path) -> Path:
    """The fourth sample is no image."""
    with LmdbWriter(tmp_path / "words") as writer:
        for number, text in enumerate(TEXTS):
            encoded = cv2.imencode(".png", bars(text)[:, :, ::-1])[1].tobytes()
            writer.add(b"no image" if number == 3 else encoded, text)
    return tmp_path / "words"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("b.png", "b"), ("deep/a.png", "ab")):
        path = tmp_path / "crops" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), bars(text)[:, :, ::-1])
    (tmp_path / "crops" / "notes.txt").touch()
    (tmp_path / "crops" / "empty.png").touch()
    return tmp_path / "crops"


def rows(out: Path) -> list[dict]:
    return [row for file in sorted(out.glob("part-*.parquet")) for row in pq.read_table(file).to_pylist()]


def test_every_input_is_in_one_shard(lmdb: Path, folder: Path) -> None:
    shards = plan([lmdb, folder], 3)
    assert [len(shard) for shard in shards] == [3, 3, 1, 3]
    names = [name for shard in shards for name, _ in shard.items()]
    expected = [f"{lmdb}:image-{number:09d}" for number in range(1, 8)]
    assert names == expected + [str(folder / name) for name in ("b.png", "deep/a.png", "empty.png")]


def test_a_shard_becomes_a_file_and_names_what_is_bad(lmdb: Path, weights: Path, tmp_path: Path) -> None:
    (shard,) = plan([lmdb], 100)
    out = tmp_path / "out"
    assert remaining([shard], out, {}) == [shard]
    assert ShardReader(str(out), {"weights": str(weights)}).read(shard) == (6, 1)
    found = rows(out)
    assert [row["text"] for row in found] == [text for text in TEXTS if text != "ba"]
    assert found[0]["path"] == f"{lmdb}:image-000000001"
    assert (found[0]["width"], found[0]["height"], found[0]["rectified"]) == (200, 50, True)
    assert found[0]["control_points"][0] == [-0.5, -0.5]
    assert len(found[0]["control_points"]) == 25
    assert errors(out, shard).read_text() == f"{lmdb}:image-000000004\tnot an image, or a damaged one\n"
    assert remaining([shard], out, {}) == []


def test_another_run_is_refused(lmdb: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    remaining(plan([lmdb], 3), out, {"rectify": True})
    assert (out / PLAN).is_file()
    with pytest.raises(ValueError, match="another collection"):
        remaining(plan([lmdb], 3), out, {"rectify": False})
    with pytest.raises(ValueError, match="another collection"):
        remaining(plan([lmdb, folder], 3), out, {"rectify": True})
    with pytest.raises(ValueError, match="not empty"):
        remaining(plan([lmdb], 3), folder, {})


def test_bad_sources_are_named(lmdb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for sources, words in (([tmp_path / "none"], "no such folder"), ([lmdb, lmdb], "given twice")):
        with pytest.raises(SystemExit) as stop:
            main([*map(str, sources), "--out", str(tmp_path / "out")])
        assert stop.value.code == 2
        assert words in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_on_a_local_ray_each_input_once_and_a_run_goes_on(
    lmdb: Path, folder: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray")
    out = tmp_path / "out"
    arguments = [str(lmdb), str(folder), "--out", str(out), "--shard", "2", "--workers", "2", "--weights", str(weights)]
    assert main(arguments) == 1
    first = capsys.readouterr()
    assert first.out == "8 read, 2 bad, in 6 parts (0 were there)\n"
    assert sorted(line for line in first.err.splitlines() if line.startswith("rectify-ocr")) == [
        f"rectify-ocr: {folder}/empty.png: empty file",
        f"rectify-ocr: {lmdb}:image-000000004: not an image, or a damaged one",
    ]
    before = rows(out)
    assert sorted(row["text"] for row in before) == sorted([t for t in TEXTS if t != "ba"] + ["ab", "b"])
    kept = (out / "part-000000.parquet").stat().st_mtime_ns
    part(out, plan([lmdb, folder], 2)[2]).unlink()
    assert main(arguments) == 1
    assert capsys.readouterr().out == "8 read, 2 bad, in 6 parts (5 were there)\n"
    assert rows(out) == before
    assert (out / "part-000000.parquet").stat().st_mtime_ns == kept
