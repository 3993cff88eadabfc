"""Tells in which form labelled pictures come, and opens them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data.sources.folder import read_names
from data.sources.iiit5k import read_mat
from data.sources.jsonl import read_jsonl
from data.sources.listing import read_csv, read_gt, read_quoted
from data.sources.regions import find_pairs, read_regions
from data.sources.rows import Item
from data.sources.text import count_lines, read_lines

LABEL_FILES = ("gt.txt", "labels.txt", "labels.csv", "labels.jsonl", "gt.csv", "gt.jsonl", "metadata.jsonl")
"""What the file of labels is called that a folder may hold."""

SAMPLE = 50
"""Lines that a text file's form is told from."""


@dataclass(frozen=True)
class Options:
    """How to read the input; what is None or empty is found out."""

    format: str = "auto"
    """One of ``FORMATS``."""
    images: Path | None = None
    """Folder that paths are relative to, and where full images are."""
    encoding: str | None = None
    names: str | None = None
    """Regular expression for the names of pictures, with one group, the label."""
    image_column: str | None = None
    label_column: str | None = None


@dataclass(frozen=True)
class Source:
    """Labelled pictures, opened."""

    path: Path
    format: str
    items: Iterator[Item]
    total: int | None
    """About how many items, for a progress bar; None where that is not known before the end."""


def _table(read: Callable[..., Iterator[Item]]) -> Callable[[Path, Options], Iterator[Item]]:
    return lambda path, o: read(path, o.images, o.encoding, o.image_column, o.label_column)


FORMATS: dict[str, Callable[[Path, Options], Iterator[Item]]] = {
    "gt": lambda path, o: read_gt(path, o.images, o.encoding),
    "icdar": lambda path, o: read_quoted(path, o.images, o.encoding),
    "csv": _table(read_csv),
    "jsonl": _table(read_jsonl),
    "iiit5k": lambda path, o: read_mat(path, o.images),
    "names": lambda path, o: read_names(path, o.names),
    "regions": lambda path, o: read_regions(path, o.images, o.encoding),
}
"""Forms of the input by name, and what reads each."""

_FOLDERS = ("names", "regions")
_SUFFIXES = {".mat": "iiit5k", ".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}
_QUOTED = re.compile(r'[^",\t]+[,\t ]\s*".*"\s*')


def open_source(path: Path, options: Options = Options()) -> Source:
    """Labelled pictures in a file or folder.

    Raises:
        FileNotFoundError: no such file or folder.
        ValueError: not in the form that the options say.
    """
    form, path = (options.format, path) if options.format != "auto" else _tell(path, options)
    if form in _FOLDERS and path.is_file():
        raise ValueError(f"{path} is a file; --format {form} reads a folder")
    total = None if form in (*_FOLDERS, "iiit5k") else count_lines(path)
    return Source(path, form, FORMATS[form](path, options), total)


def _tell(path: Path, options: Options) -> tuple[str, Path]:
    """The form of the input, and the file to read where a folder holds one."""
    if path.is_dir():
        if options.names:
            return "names", path
        inside = next((path / name for name in LABEL_FILES if (path / name).is_file()), None)
        if inside is None:
            return ("regions" if find_pairs(path, options.images) else "names"), path
        path = inside
    elif not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    return _SUFFIXES.get(path.suffix.lower()) or _tell_text(path, options.encoding), path


def _tell_text(path: Path, encoding: str | None) -> str:
    """The form of most of the first lines."""
    lines = (item[1].strip() for item in read_lines(path, encoding) if isinstance(item, tuple))
    some = list(itertools.islice(filter(None, lines), SAMPLE))
    # What stands in quotes after a tab is a label with quotes, such as `lmdb export` writes.
    forms: dict[str, Callable[[str], object]] = {
        "jsonl": lambda text: text.startswith("{"),
        "icdar": lambda text: "\t" not in text and _QUOTED.fullmatch(text),
    }
    for form, is_one in forms.items():
        if 2 * sum(bool(is_one(text)) for text in some) > len(some):
            return form
    return "gt"
