"""Builds an LMDB dataset from rows of (image, label), whatever ``data.sources`` read them from."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from data.sources.rows import BadRow, Item, Note, Row, place
from data.writer import LmdbWriter
from rectify.images import read_image


@dataclass(frozen=True)
class BuildResult:
    """How many rows were written, how many were bad, and how many notes there are."""

    samples: int
    bad: int
    notes: int = 0


def build(
    items: Iterable[Item],
    folder: Path,
    report: Callable[[BadRow | Note], None],
    source: Path = Path("input"),
    keep_duplicates: bool = False,
) -> BuildResult:
    """Write all good rows to a new dataset, in their order and with their images' bytes as they are.

    Memory stays constant, whatever the number of rows.

    Args:
        items: from a row source such as ``listing.read_gt``.
        folder: the dataset to make.
        report: called at once with each row that was not written, and with each note.
        source: what the rows come from, to name the first of two equal ones.
        keep_duplicates: write an image that comes a second time, too, instead of calling its row bad.

    Raises:
        FileExistsError: ``folder`` exists already.
        ValueError: no row was good; nothing is written then.
    """
    bad = notes = 0
    with LmdbWriter(folder) as writer, Seen() as seen:
        for item in items:
            if isinstance(item, Row):
                problem = None if keep_duplicates else _repeated(seen, item, source)
                item = problem or _add(writer, item) or item
            if isinstance(item, Row):
                continue
            report(item)
            bad += isinstance(item, BadRow)
            notes += isinstance(item, Note)
        if not len(writer):
            raise ValueError(f"{folder} was not written: none of the {bad} rows of {source} is usable")
    return BuildResult(len(writer), bad, notes)


class Seen:
    """Remembers texts and a note on each, on disk where they are many, so that memory stays constant."""

    def __enter__(self) -> Seen:
        # An empty name is a temporary file of SQLite's own, written only when its cache is full.
        self._table = sqlite3.connect("", isolation_level=None)
        self._table.execute("PRAGMA journal_mode=OFF")
        self._table.execute("CREATE TABLE seen (text BLOB PRIMARY KEY, note BLOB) WITHOUT ROWID")
        self._table.execute("BEGIN")
        return self

    def __exit__(self, *_: object) -> None:
        self._table.close()

    def first(self, text: str | bytes, note: str) -> str | None:
        """The note that came with the same text before; None, and the note is kept, where there was none."""
        values = [v.encode("utf-8", "surrogatepass") if isinstance(v, str) else v for v in (text, note)]
        if self._table.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", values).rowcount:
            return None
        (found,) = self._table.execute("SELECT note FROM seen WHERE text = ?", values[:1]).fetchone()
        return str(found, "utf-8", "surrogatepass")


def _repeated(seen: Seen, row: Row, source: Path) -> BadRow | None:
    """The row as a bad one if its image was there before."""
    if isinstance(row.image, bytes) and not row.identity:
        return None
    identity = row.identity or os.path.normpath(os.path.abspath(os.fspath(row.image)))
    first = seen.first(identity, f"{place(row, source)}\t{row.label}")
    if first is None:
        return None
    where, _, label = first.partition("\t")
    name = f"{row.image.name}: " if isinstance(row.image, Path) else ""
    if label == row.label:
        return BadRow(row.line, f"{name}duplicate of {where}", row.file)
    return BadRow(row.line, f"{name}duplicate of {where}, where its label is {label!r} and not {row.label!r}", row.file)


def _add(writer: LmdbWriter, row: Row) -> BadRow | None:
    """Write one row, or say why not."""
    name = "image" if isinstance(row.image, bytes) else str(row.image)
    try:
        image = row.image if isinstance(row.image, bytes) else row.image.read_bytes()
        read_image(image, name)
        row.label.encode("utf-8")
    except OSError as error:
        return BadRow(row.line, f"{name}: {error.strerror}", row.file)
    except UnicodeEncodeError:
        return BadRow(row.line, f"{name}: its label is not Unicode text", row.file)
    except ValueError as error:  # an ImageError, or a path that no file can have
        return BadRow(row.line, str(error), row.file)
    writer.add(image, row.label, row.extra)
    return None
