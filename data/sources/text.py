"""Text files in whatever encoding people saved them: the lines, and which of them are no text."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from data.sources.rows import BadRow, Note

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte-order marks and encodings; the one of UTF-32 begins with the one of UTF-16, so it comes first."""

_UNDECODED = re.compile("[\udc80-\udcff]")
"""What Python's surrogateescape makes of bytes that are not UTF-8."""
_CONTROL = re.compile("[\x7f-\x9f]")


def read_lines(path: Path, encoding: str | None = None) -> Iterator[tuple[int, str] | BadRow | Note]:
    """The lines (number from 1, text without its line end) of a text file.

    A byte-order mark tells UTF-8, UTF-16 and UTF-32; UTF-16 without one is told by its zeros. Other files are UTF-8.
    Lines of theirs that are not are read as Latin-1, with a note on each, unless other lines have proper UTF-8 beyond
    ASCII: then they are damaged, and bad.

    Args:
        encoding: a Python name of the encoding, to be believed; None finds it out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no such encoding.
    """
    require_file(path)
    found = check_encoding(encoding) if encoding else find_encoding(path)
    fallback = encoding is None and found == "utf-8" and not _has_wide_utf8(path)
    errors = "surrogateescape" if found in ("utf-8", "utf-8-sig") else "replace"
    # Python's own "utf-8-sig" loses a file that is nothing but the first byte of the mark.
    with path.open(encoding="utf-8" if found == "utf-8-sig" else found, errors=errors, newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            line = line.removeprefix("\ufeff") if number == 1 else line
            yield from _checked(number, line.rstrip("\r\n"), found, fallback)


def count_lines(path: Path) -> int:
    """How many lines a text file has."""
    require_file(path)
    encoding = find_encoding(path)
    if encoding.startswith("utf-8"):
        with path.open("rb") as file:
            return sum(1 for _ in file)
    with path.open(encoding=encoding, errors="replace", newline="\n") as lines:
        return sum(1 for _ in lines)


def find_encoding(path: Path) -> str:
    """The encoding that the first bytes of a file tell."""
    with path.open("rb") as file:
        start = file.read(4096)
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return encoding
    even, odd = start[::2].count(0), start[1::2].count(0)
    if max(even, odd) > len(start) // 8 and min(even, odd) < max(even, odd) // 8:
        return "utf-16-be" if even > odd else "utf-16-le"
    return "utf-8"


def check_encoding(name: str) -> str:
    """Raises a ValueError for an encoding that Python does not know."""
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise ValueError(f"no encoding {name!r}; known are utf-8, utf-16, latin-1, cp1252, shift_jis, …") from None


def require_file(path: Path) -> None:
    """Raises a FileNotFoundError where there is no such file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")


def _checked(number: int, text: str, encoding: str, fallback: bool) -> Iterator[tuple[int, str] | BadRow | Note]:
    if "\ufffd" in text and encoding not in ("utf-8", "utf-8-sig"):
        yield BadRow(number, f"not {encoding.upper()} text")
    elif wrong := _UNDECODED.search(text):
        column = len(text[: wrong.start()].encode()) + 1
        raw = text.encode("utf-8", "surrogateescape").decode("latin-1")
        if not fallback:
            yield BadRow(number, f"not UTF-8 text (byte {column} of the line)")
        elif _CONTROL.search(raw):
            yield BadRow(number, f"neither UTF-8 nor Latin-1 text (byte {column} of the line); try --encoding")
        else:
            yield Note(number, f"not UTF-8, read as Latin-1 (byte {column} of the line)")
            yield number, raw
    else:
        yield number, text


def _has_wide_utf8(path: Path) -> bool:
    """Whether any line of the file is UTF-8 and more than ASCII."""
    with path.open("rb") as lines:
        for line in lines:
            if not line.isascii():
                try:
                    line.decode("utf-8")
                    return True
                except UnicodeDecodeError:
                    pass
    return False
