"""Building a dataset: every form of a row, every reason for a bad one, bytes stored as they are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data import LmdbReader
from data.build import BuildResult, Seen, build
from data.sources.listing import read_gt
from data.sources.rows import BadRow, Note, Row
from data.sources.text import count_lines


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


def rows_file(folder: Path, content: str | bytes) -> Path:
    gt = folder / "gt.txt"
    gt.write_bytes(content.encode() if isinstance(content, str) else content)
    return gt


def rows(folder: Path, content: str | bytes) -> list[Row | BadRow | Note]:
    return list(read_gt(rows_file(folder, content)))


def run(folder: Path, source: list[Row | BadRow | Note]) -> tuple[BuildResult, list[BadRow | Note]]:
    bad: list[BadRow | Note] = []
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
        (b"one.png", "no separator; expected path<TAB>label"),
        (b",", "no separator; expected path<TAB>label"),
        (b"one.png\ta\tb", "3 columns, expected path<TAB>label"),
        (b"\tword", "empty path"),
        (b"one.png\tcaf\x80", "neither UTF-8 nor Latin-1 text (byte 12 of the line); try --encoding"),
    ],
)
def test_bad_lines(folder, line, reason):
    assert rows(folder, b"two.jpg\tok\n" + line + b"\n") == [Row(1, folder / "two.jpg", "ok"), BadRow(2, reason)]


def test_gt_that_cannot_be_read(folder):
    with pytest.raises(FileNotFoundError, match=r"none\.txt: no such file"):
        list(read_gt(folder / "none.txt"))
    with pytest.raises(FileNotFoundError, match=r"sub: no such file"):
        count_lines(folder / "sub")
    with pytest.raises(ValueError, match="no encoding 'klingon'"):
        list(read_gt(rows_file(folder, "one.png\ta\n"), encoding="klingon"))


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
    with pytest.raises(ValueError, match=f"out was not written: none of the {len(source)} rows of input is usable"):
        run(tmp_path, source)
    assert not any(tmp_path.iterdir())


@example(content=b"\xef")
@settings(deadline=None)
@given(st.binary(max_size=200))
def test_every_line_is_a_row_or_a_bad_row(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("gt")
    found = list(read_gt(rows_file(folder, content), encoding="utf-8"))
    filled = [n for n, line in enumerate(content.split(b"\n"), 1) if _has_text(line)]
    assert [row.line for row in found] == filled


def _has_text(line: bytes) -> bool:
    return bool(line.decode("utf-8", "replace").removeprefix("\ufeff").strip())


def test_duplicates_are_named_with_the_first_of_them(folder):
    source = rows(folder, "one.png\ta\ntwo.jpg\tb\n./one.png\ta\nsub/../two.jpg\tc\none.png\td\n")
    result, bad = run(folder, source)
    assert result == BuildResult(2, 3)
    assert [(row.line, row.reason) for row in bad] == [
        (3, "one.png: duplicate of input:1"),
        (4, "two.jpg: duplicate of input:2, where its label is 'b' and not 'c'"),
        (5, "one.png: duplicate of input:1, where its label is 'a' and not 'd'"),
    ]
    again = build(source, folder / "again", bad.append, keep_duplicates=True)
    assert again == BuildResult(5, 0)


def test_a_bad_row_is_no_first_of_duplicates_only_when_it_was_never_an_image(folder):
    """The image that cannot be read is named for that, and its repetition as one."""
    result, bad = run(folder, rows(folder, "none.png\ta\nnone.png\ta\none.png\tb\n"))
    assert result == BuildResult(1, 2)
    assert "No such file" in bad[0].reason and "duplicate of input:1" in bad[1].reason


def test_seen_remembers_many_in_little_memory():
    with Seen() as seen:
        assert all(seen.first(f"path {n}", str(n)) is None for n in range(20000))
        assert seen.first("path 7", "again") == "7"
        assert seen.first("path 7", "and again") == "7"
        assert seen.first(b"\xff", "bytes") is None and seen.first(b"\xff", "x") == "bytes"


def test_a_thousand_crops_with_a_spoiled_list(tmp_path):
    """Everything good arrives, in its order, and every bad row is named."""
    lines = [f"{n}.png\tword{n}" for n in range(1000)]
    image = picture("word")
    for n in range(1000):
        (tmp_path / f"{n}.png").write_bytes(image)
    (tmp_path / "100.png").unlink()
    (tmp_path / "200.png").write_bytes(b"no picture")
    lines[300] = "300.png\t"
    lines[400] = "400.png"
    lines[500] = "499.png\tword499"
    lines[600] = "599.png\tother"
    content = "\n".join(lines).encode().replace(b"word700", b"caf\xe9").replace(b"word800", "å".encode())
    result, bad = run(tmp_path, rows(tmp_path, content))
    assert [row.line for row in bad] == [101, 201, 301, 401, 501, 601, 701]
    assert result == BuildResult(993, 7)
    expected = [f"word{n}" for n in range(1000) if n not in (100, 200, 300, 400, 500, 600, 700)]
    expected[expected.index("word800")] = "å"
    assert [record.label for record in LmdbReader(tmp_path / "out")] == expected
