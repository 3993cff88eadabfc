"""`rectify-ocr lmdb` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from data import LmdbReader, LmdbWriter

ROOT = Path(__file__).parents[1]
WORDS = ["one", "two", "three", "four", "five"]


def picture(text: str) -> bytes:
    image = np.full((32, 100, 3), 240, np.uint8)
    cv2.putText(image, text, (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (20, 20, 20), 2)
    return cv2.imencode(".png", image)[1].tobytes()


def lmdb_command(*args: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "rectify.cli", "lmdb", *map(str, args)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8")


@pytest.fixture
def gt(tmp_path):
    for word in WORDS:
        (tmp_path / f"{word}.png").write_bytes(picture(word))
    (tmp_path / "gt.txt").write_text("".join(f"{word}.png\t{word}\n" for word in WORDS))
    return tmp_path / "gt.txt"


@pytest.fixture
def words(tmp_path):
    with LmdbWriter(tmp_path / "words") as writer:
        for word in WORDS:
            writer.add(picture(word), word)
    return tmp_path / "words"


def test_build(gt):
    run = lmdb_command("build", gt, gt.parent / "out")
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{gt.parent / 'out'}: 5 samples\n", "")
    assert [record.label for record in LmdbReader(gt.parent / "out")] == WORDS


def test_build_with_bad_rows(gt):
    with gt.open("a") as file:
        file.write("none.png\tword\nalone\n")
    run = lmdb_command("build", gt, gt.parent / "out")
    assert (run.returncode, run.stdout) == (1, f"{gt.parent / 'out'}: 5 samples\n")
    first, second, summary = run.stderr.splitlines()
    assert first == f"{gt}:6: {gt.parent / 'none.png'}: No such file or directory"
    assert second == f"{gt}:7: no separator; expected path<TAB>label"
    assert summary == f"rectify-ocr: 2 rows of {gt} are bad and were left out"
    assert len(LmdbReader(gt.parent / "out")) == 5


def test_build_refuses_an_existing_target(gt):
    (gt.parent / "out").mkdir()
    run = lmdb_command("build", gt, gt.parent / "out")
    assert (run.returncode, run.stdout) == (2, "")
    message = f"rectify-ocr: {gt.parent / 'out'} exists already; remove it or choose another folder\n"
    assert run.stderr == message


def test_build_without_gt(tmp_path):
    run = lmdb_command("build", tmp_path / "gt.txt", tmp_path / "out")
    assert (run.returncode, run.stderr) == (1, f"rectify-ocr: {tmp_path / 'gt.txt'}: no such file\n")
    assert not any(tmp_path.iterdir())


def test_inspect(words):
    run = lmdb_command("inspect", words, "--json", words.parent / "words.json")
    assert (run.returncode, run.stderr) == (0, "")
    assert "samples       5\n" in run.stdout
    found = json.loads((words.parent / "words.json").read_text(encoding="utf-8"))
    assert (found["samples"], found["heights"], found["bad"]) == (5, {"32": 5}, [])
    assert sorted(path.name for path in words.parent.iterdir()) == ["words", "words.json"]


def test_inspect_a_bad_one(tmp_path):
    with LmdbWriter(tmp_path / "bad") as writer:
        writer.add(b"no picture", "word")
    run = lmdb_command("inspect", tmp_path / "bad", "--json", tmp_path / "bad.json")
    assert run.returncode == 1
    (bad,) = json.loads((tmp_path / "bad.json").read_text(encoding="utf-8"))["bad"]
    assert bad["number"] == 1 and bad["reason"].startswith("image-000000001: ")


def test_inspect_what_is_no_dataset(words):
    run = lmdb_command("inspect", words.parent)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith(f"rectify-ocr: {words.parent} is not an LMDB dataset")
    assert run.stderr.count("\n") == 1


def test_show(words):
    out = words.parent / "sheet.png"
    run = lmdb_command("show", words, "-o", out, "--count", 4, "--columns", 2, "--seed", 1)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{out}\n", "")
    sheet = cv2.imread(str(out))
    assert sheet is not None and sheet.shape[0] < sheet.shape[1]
    assert sorted(path.name for path in words.parent.iterdir()) == ["sheet.png", "words"]


def test_show_names_its_own_output(words):
    run = lmdb_command("show", words, "--start", 5, cwd=words.parent)
    assert (run.returncode, run.stdout) == (0, "words.png\n")
    assert cv2.imread(str(words.parent / "words.png")) is not None


def test_show_writes_a_png_and_nothing_else(words):
    run = lmdb_command("show", words, "-o", words.parent / "sheet.jpg")
    assert run.returncode == 2 and "sheet.jpg is no PNG by its name" in run.stderr
    assert sorted(path.name for path in words.parent.iterdir()) == ["words"]


def test_show_beyond_the_end(words):
    run = lmdb_command("show", words, "--start", 6, cwd=words.parent)
    assert (run.returncode, run.stderr) == (1, "rectify-ocr: there is no sample 6; the dataset has 5\n")


@pytest.mark.parametrize(
    "args", [(), ("pack",), ("show", "x", "--count", "0"), ("show", "x", "--start", "1", "--seed", "1")]
)
def test_wrong_usage(args):
    run = lmdb_command(*args)
    assert (run.returncode, run.stdout) == (2, "")
    assert "usage: rectify-ocr lmdb" in run.stderr


@pytest.mark.parametrize("args", [("--help",), ("build", "--help"), ("inspect", "--help"), ("show", "--help")])
def test_help_has_examples(args):
    run = lmdb_command(*args)
    assert run.returncode == 0
    assert "examples:\n  rectify-ocr lmdb " in run.stdout


def test_build_from_names_and_merge_filter_export(gt, tmp_path):
    folder, out = tmp_path / "crops", tmp_path / "sets"
    folder.mkdir()
    for word in WORDS:
        (gt.parent / f"{word}.png").rename(folder / f"{word}.png")
    run = lmdb_command("build", folder, out / "names")
    assert (run.returncode, run.stdout) == (0, f"{out / 'names'}: 5 samples\n")
    assert run.stderr == f"{folder}: note: names are read as LABEL; --names says it otherwise\n"
    run = lmdb_command("merge", out / "names", out / "names", out / "twice")
    assert (run.returncode, run.stdout) == (0, f"{out / 'twice'}: 10 samples\n")
    run = lmdb_command("inspect", out / "twice", "--strict")
    assert run.returncode == 1 and "suspicious    5\n" in run.stdout
    run = lmdb_command("filter", out / "twice", out / "short", "--max-length", 3)
    assert (run.returncode, run.stdout) == (0, f"{out / 'short'}: 4 samples, 6 left out by length\n")
    run = lmdb_command("export", out / "short", tmp_path / "files", "--format", "csv")
    assert (run.returncode, run.stdout) == (0, f"{tmp_path / 'files'}: 4 samples\n")
    assert (tmp_path / "files" / "labels.csv").read_text() == (
        "image,label\n000000/000000001.png,one\n000000/000000002.png,two\n"
        "000000/000000003.png,one\n000000/000000004.png,two\n"
    )


def test_filter_by_a_file_of_characters(words):
    (words.parent / "charset.txt").write_text("o n e\nt w\n")
    run = lmdb_command("filter", words, words.parent / "out", "--charset-file", words.parent / "charset.txt")
    assert (run.returncode, run.stdout) == (0, f"{words.parent / 'out'}: 2 samples, 3 left out by charset\n")


def test_build_says_what_it_read_as_latin_1(gt):
    (gt.parent / "six.png").write_bytes(picture("six"))
    with gt.open("ab") as file:
        file.write(b"six.png\tcaf\xe9\n")
    run = lmdb_command("build", gt, gt.parent / "out")
    assert run.returncode == 0
    assert run.stderr == f"{gt}:6: note: not UTF-8, read as Latin-1 (byte 12 of the line)\n"
    assert LmdbReader(gt.parent / "out").label(5) == "café"
