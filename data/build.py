"""Builds an LMDB dataset from rows of (image, label); each input format is one function that yields rows."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from data.writer import LmdbWriter
from rectify.images import read_image


@dataclass(frozen=True)
class Row:
    """One sample of the input.

    Attributes:
        line: where it stands in the input, from 1.
        image: an image file, or the bytes of one.
        label: its text.
        extra: further values to store with it, as ``LmdbWriter.add`` takes them.
    """

    line: int
    image: Path | bytes
    label: str
    extra: Mapping[str, bytes] | None = None


@dataclass(frozen=True)
class BadRow:
    """A row of the input that gives no sample, and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class BuildResult:
    """How many rows were written and how many were bad."""

    samples: int
    bad: int


def build(rows: Iterable[Row | BadRow], folder: Path, on_bad: Callable[[BadRow], None]) -> BuildResult:
    """Write all good rows to a new dataset, in their order and with their images' bytes as they are.

    Args:
        rows: from a row source such as ``read_gt``.
        folder: the dataset to make.
        on_bad: called at once with each row that was not written.

    Raises:
        FileExistsError: ``folder`` exists already.
        ValueError: no row was good; nothing is written then.
    """
    bad = 0
    with LmdbWriter(folder) as writer:
        for row in rows:
            problem = row if isinstance(row, BadRow) else _add(writer, row)
            if problem is not None:
                bad += 1
                on_bad(problem)
        if not len(writer):
            raise ValueError(f"{folder} was not written: none of the {bad} rows is usable")
    return BuildResult(len(writer), bad)


def read_gt(path: Path) -> Iterator[Row | BadRow]:
    """Rows of a text file with one ``path<TAB>label`` a line; a row source for ``build``.

    Image paths are relative to the file's folder. A line without a tab may have a comma or spaces instead: it is cut
    at the first of them that leaves the path of an existing file before it. Space around the label does not belong to
    it, empty lines are no rows, and a UTF-8 byte-order mark is skipped.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is UTF-16.
    """
    _check_gt(path)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                yield BadRow(number, f"not UTF-8 text (byte {error.start + 1} of the line)")
                continue
            if text.strip():
                yield _parse(number, text, path.parent)


def count_lines(path: Path) -> int:
    """Lines of a text file, the most rows that ``read_gt`` can give; raises as it does."""
    _check_gt(path)
    with path.open("rb") as lines:
        return sum(1 for _ in lines)


def _check_gt(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise ValueError(f"{path} is UTF-16 text; save it as UTF-8")


def _parse(number: int, text: str, root: Path) -> Row | BadRow:
    columns = text.split("\t") if "\t" in text else _split(text.strip(), root)
    if len(columns) != 2:
        return BadRow(number, f"{len(columns)} columns, expected path<TAB>label")
    image, label = (column.strip() for column in columns)
    if not label:
        return BadRow(number, f"{image}: empty label")
    return Row(number, root / image, label)


def _split(text: str, root: Path) -> list[str]:
    """A line without a tab as [path, label]; paths and labels may themselves hold commas and spaces."""
    splits = [[text[: gap.start()], text[gap.end() :]] for gap in re.finditer(r"\s*,\s*|\s+", text)]
    splits = [split for split in splits if split[0]]
    return next((split for split in splits if (root / split[0]).is_file()), splits[0] if splits else [text])


def _add(writer: LmdbWriter, row: Row) -> BadRow | None:
    """Write one row, or say why not."""
    name = "image" if isinstance(row.image, bytes) else str(row.image)
    try:
        image = row.image if isinstance(row.image, bytes) else row.image.read_bytes()
        read_image(image, name)
    except OSError as error:
        return BadRow(row.line, f"{name}: {error.strerror}")
    except ValueError as error:  # an ImageError, or a path that no file can have
        return BadRow(row.line, str(error))
    writer.add(image, row.label, row.extra)
    return None
