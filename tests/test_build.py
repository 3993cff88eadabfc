"""Building a dataset: every form of a row, every reason for a bad one, bytes stored as they are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import LmdbReader
from data.build import BadRow, BuildResult, Row, build, count_lines, read_gt


def picture(text: str, extension: str = ".png") -> bytes:
    image = np.full((32, 100, 3), 240, np.uint8)
    cv2.putText(image, text, (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (20, 20, 20), 2)
    return cv2.imencode(extension, image)[1].tobytes()


@pytest.fixture
def folder(tmp_path):
    """A folder with one.png, two.jpg and sub/a b,c.png."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "one.png").write_bytes(picture("one"))
    (tmp_path / "two.jpg").write_bytes(picture("two", ".jpg"))
    (tmp_path / "sub" / "a b,c.png").write_bytes(picture("abc"))
    return tmp_path


def rows(folder: Path, content: str | bytes) -> list[Row | BadRow]:
    gt = folder / "gt.txt"
    gt.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_gt(gt))


def run(folder: Path, source: list[Row | BadRow]) -> tuple[BuildResult, list[BadRow]]:
    bad: list[BadRow] = []
    return build(source, folder / "out", bad.append), bad


@pytest.mark.parametrize(
    ("line", "image", "label"),
    [
        ("one.png\tword", "one.png", "word"),
        ("one.png\tHello, big world", "one.png", "Hello, big world"),
        ("one.png \t word \r", "one.png", "word"),
        ("one.png,word", "one.png", "word"),
        ("one.png, word", "one.png", "word"),
        ("one.png ,word", "one.png", "word"),
        ("one.png,a, b", "one.png", "a, b"),
        ("one.png word", "one.png", "word"),
        ("one.png    Hello, big world", "one.png", "Hello, big world"),
        ("sub/a b,c.png\tword", "sub/a b,c.png", "word"),
        ("sub/a b,c.png,word", "sub/a b,c.png", "word"),
        ("sub/a b,c.png two words", "sub/a b,c.png", "two words"),
        ("one.png\t日本", "one.png", "日本"),
    ],
)
def test_separators(folder, line, image, label):
    assert rows(folder, line + "\n") == [Row(1, folder / image, label)]


def test_byte_order_mark_and_missing_last_newline(folder):
    expected = [Row(1, folder / "one.png", "a"), Row(2, folder / "two.jpg", "b")]
    assert rows(folder, b"\xef\xbb\xbfone.png\ta\r\ntwo.jpg\tb") == expected


def test_empty_lines_are_no_rows_but_count(folder):
    assert rows(folder, "\n  \none.png\ta\n\n") == [Row(3, folder / "one.png", "a")]
    assert count_lines(folder / "gt.txt") == 4


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"one.png\t", "one.png: empty label"),
        (b"one.png\t  ", "one.png: empty label"),
        (b"one.png,", "one.png: empty label"),
        (b"one.png", "1 columns, expected path<TAB>label"),
        (b",", "1 columns, expected path<TAB>label"),
        (b"one.png\ta\tb", "3 columns, expected path<TAB>label"),
        (b"one.png\tcaf\xe9", "not UTF-8 text (byte 12 of the line)"),
    ],
)
def test_bad_lines(folder, line, reason):
    assert rows(folder, b"two.jpg\tok\n" + line + b"\n") == [Row(1, folder / "two.jpg", "ok"), BadRow(2, reason)]


def test_gt_that_cannot_be_read(folder):
    with pytest.raises(FileNotFoundError, match=r"none\.txt: no such file"):
        list(read_gt(folder / "none.txt"))
    with pytest.raises(FileNotFoundError, match=r"sub: no such file"):
        count_lines(folder / "sub")
    with pytest.raises(ValueError, match="UTF-16 text; save it as UTF-8"):
        rows(folder, "one.png\ta\n".encode("utf-16"))


def test_bytes_are_stored_as_they_are(folder):
    result, bad = run(folder, rows(folder, "two.jpg\ttwo\none.png\tone\n"))
    assert (result, bad) == (BuildResult(2, 0), [])
    records = list(LmdbReader(folder / "out"))
    assert [record.label for record in records] == ["two", "one"]
    assert [record.image for record in records] == [(folder / name).read_bytes() for name in ("two.jpg", "one.png")]


def test_bad_rows_are_named_and_the_rest_is_written(folder):
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no picture")
    (folder / "cut.png").write_bytes(picture("cut")[:-30])
    (folder / "cut.jpg").write_bytes(picture("cut", ".jpg")[:-30])
    names = ["none.png", "one.png", "empty.png", "text.png", "cut.png", "cut.jpg", "sub", "nul\0.png", "two.jpg"]
    result, bad = run(folder, rows(folder, "".join(f"{name}\tword\n" for name in names) + "one.png\t\n"))
    assert result == BuildResult(2, 8)
    assert [row.line for row in bad] == [1, 3, 4, 5, 6, 7, 8, 10]
    expected = [
        "No such file",
        "empty",
        "not an image",
        "truncated",
        "truncated",
        "Is a directory",
        "null",
        "empty label",
    ]
    for row, reason in zip(bad, expected, strict=True):
        assert reason in row.reason
        assert "\n" not in row.reason
    assert all(name in row.reason for row, name in zip(bad, ["none.png", *names[2:7]], strict=False))
    assert [record.image for record in LmdbReader(folder / "out")] == [picture("one"), picture("two", ".jpg")]


def test_other_sources_may_give_bytes_and_further_values(tmp_path):
    source = [Row(1, picture("a"), "a", {"geometry": b'{"size": [100, 32]}'}), Row(2, b"no picture", "b")]
    result, bad = run(tmp_path, source)
    assert result == BuildResult(1, 1)
    assert [row.line for row in bad] == [2]
    assert LmdbReader(tmp_path / "out")[0].geometry == {"size": [100, 32]}


@pytest.mark.parametrize("source", [[], [BadRow(1, "spoiled")]])
def test_nothing_usable_writes_nothing(tmp_path, source):
    with pytest.raises(ValueError, match=f"out was not written: none of the {len(source)} rows is usable"):
        run(tmp_path, source)
    assert not any(tmp_path.iterdir())


@given(st.binary(max_size=200))
def test_every_line_is_a_row_or_a_bad_row(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("gt")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        content = b"x" + content
    found = rows(folder, content)
    filled = [n for n, line in enumerate(content.split(b"\n"), 1) if _has_text(line)]
    assert [row.line for row in found] == filled


def _has_text(line: bytes) -> bool:
    return bool(line.decode("utf-8", "replace").removeprefix("\ufeff").strip())
