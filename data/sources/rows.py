"""What the readers of labelled pictures yield: rows, bad rows and notes, each with its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One sample of the input.

    Attributes:
        line: where it stands in its file, from 1; 0 where there are no lines.
        image: an image file, or the bytes of one.
        label: its text.
        extra: further values to store with it, as ``LmdbWriter.add`` takes them.
        file: the file that holds the line, None for the only one.
        identity: what makes two rows the same sample; the image's path where it is empty.
    """

    line: int
    image: Path | bytes
    label: str
    extra: Mapping[str, bytes] | None = None
    file: Path | None = None
    identity: str = ""


@dataclass(frozen=True)
class BadRow:
    """A row of the input that gives no sample, and why."""

    line: int
    reason: str
    file: Path | None = None


@dataclass(frozen=True)
class Note:
    """Something about the input that a user should know, though nothing is wrong with it."""

    line: int
    reason: str
    file: Path | None = None


Item = Row | BadRow | Note


def place(item: Item, source: Path) -> str:
    """Where an item stands, for a message: ``gt.txt:12``."""
    file = item.file or source
    return f"{file}:{item.line}" if item.line else str(file)


def files_below(folder: Path, within: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """All files of a folder and the folders in it, in order of name; hidden ones are left out.

    Args:
        within: real paths of folders that it lies in: what links back to these is left out.
    """
    within |= {folder.resolve()}
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    for entry in entries:
        if not entry.is_dir():
            yield entry
        elif entry.resolve() not in within:
            yield from files_below(entry, within)
