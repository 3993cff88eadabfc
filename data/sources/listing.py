"""Lists of pictures and labels, one a line: gt.txt with a tab, a comma or a space, ICDAR's quoted form, and CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from data.sources.rows import BadRow, Item, Row
from data.sources.text import read_lines

IMAGE_COLUMNS = (
    "image",
    "path",
    "file",
    "filename",
    "file_name",
    "image_path",
    "img",
    "img_path",
    "image_name",
    "name",
)
LABEL_COLUMNS = ("label", "text", "word", "words", "transcription", "gt", "ground_truth", "groundtruth", "value")
"""Names of columns and keys, in any case, in the order of preference."""

_QUOTED = re.compile(r'(?P<image>[^"]*?)\s*[,\t ]\s*"(?P<label>.*)"')


def read_gt(path: Path, images: Path | None = None, encoding: str | None = None) -> Iterator[Item]:
    """Rows of a text file with one ``path<TAB>label`` a line; a row source for ``data.build``.

    Image paths are relative to ``images``, or to the file's folder. A line without a tab may have a comma or spaces
    instead: it is cut at the first of them that leaves the path of an existing file before it. Space around the label
    does not belong to it, and empty lines are no rows.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no such encoding.
    """
    root = images or path.parent
    return _rows(path, encoding, lambda number, text: _parse(number, text, root))


def read_quoted(path: Path, images: Path | None = None, encoding: str | None = None) -> Iterator[Item]:
    """Rows of ICDAR's form, ``path, "label"`` a line, a quote in the label written as ``\\"``; see ``read_gt``."""
    root = images or path.parent

    def parse(number: int, text: str) -> Item:
        match = _QUOTED.fullmatch(text.strip())
        if match is None:
            return BadRow(number, 'expected path, "label"')
        return _row(number, root, match["image"], unquote(match["label"]))

    return _rows(path, encoding, parse)


def unquote(label: str) -> str:
    """What stands between ICDAR's quotes, its escapes undone."""
    return re.sub(r'\\(["\\])|""', lambda match: match[1] or '"', label)


def read_csv(
    path: Path,
    images: Path | None = None,
    encoding: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
) -> Iterator[Item]:
    """Rows of a CSV file with commas, semicolons or tabs; see ``read_gt``.

    Args:
        image_column, label_column: names of the columns; None finds them among ``IMAGE_COLUMNS`` and
            ``LABEL_COLUMNS``. A file of two columns may do without a header.

    Raises:
        ValueError: also where a column is not found.
    """
    header: list[str] | None = None
    for item in read_lines(path, encoding):
        if not isinstance(item, tuple):
            yield item
            continue
        number, text = item
        if not text.strip():
            continue
        if header is None:
            delimiter = max(",;\t", key=text.count)
            try:
                header = next(csv.reader([text], delimiter=delimiter))
            except csv.Error as error:
                raise ValueError(f"{path}: line {number} is not CSV ({error})") from None
            named = _columns(path, header, image_column, label_column)
            columns = named or (0, 1)
            if named is not None:
                continue
        yield _record(number, text, delimiter, len(header), columns, images or path.parent)


def find_column(names: Sequence[str], wanted: str | None, known: Sequence[str]) -> str | None:
    """The name of a column or key: the wanted one, or the first known one in any case; None without."""
    if wanted is not None:
        return wanted if wanted in names else None
    by_case = {name.strip().lower(): name for name in reversed(names)}
    return next((by_case[name] for name in known if name in by_case), None)


def _rows(path: Path, encoding: str | None, parse: Callable[[int, str], Item]) -> Iterator[Item]:
    for item in read_lines(path, encoding):
        if not isinstance(item, tuple):
            yield item
        elif item[1].strip():
            yield parse(*item)


def _parse(number: int, text: str, root: Path) -> Item:
    columns = text.split("\t") if "\t" in text else _split(text.strip(), root)
    if len(columns) == 1:
        return BadRow(number, "no separator; expected path<TAB>label")
    if len(columns) > 2:
        return BadRow(number, f"{len(columns)} columns, expected path<TAB>label")
    return _row(number, root, *columns)


def _row(number: int, root: Path, image: str, label: str) -> Item:
    image, label = image.strip(), label.strip()
    if not image:
        return BadRow(number, "empty path")
    if not label:
        return BadRow(number, f"{image}: empty label")
    return Row(number, root / image, label)


def _split(text: str, root: Path) -> list[str]:
    """A line without a tab as [path, label]; paths and labels may themselves hold commas and spaces."""
    splits = [[text[: gap.start()], text[gap.end() :]] for gap in re.finditer(r"\s*,\s*|\s+", text)]
    splits = [split for split in splits if split[0]]
    return next((split for split in splits if _is_file(root / split[0])), splits[0] if splits else [text])


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (ValueError, OSError):  # no path that a file can have
        return False


def _columns(path: Path, header: list[str], image: str | None, label: str | None) -> tuple[int, int] | None:
    """Places of the image's and the label's column; None where the first row is no header but a sample."""
    found = [find_column(header, image, IMAGE_COLUMNS), find_column(header, label, LABEL_COLUMNS)]
    if found[0] is not None and found[1] is not None:
        return header.index(found[0]), header.index(found[1])
    if len(header) == 2 and image is None and label is None and found == [None, None]:
        return None
    raise ValueError(
        f"{path}: cannot tell which of the columns {', '.join(header)} hold the path and the label; "
        "name them with --image-column and --label-column"
    )


def _record(number: int, text: str, delimiter: str, width: int, columns: tuple[int, int], root: Path) -> Item:
    # One line at a time: a quote that is never closed must not swallow the lines after it.
    try:
        record = next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        return BadRow(number, f"not a line of CSV: {error}")
    if len(record) != width:
        return BadRow(number, f"{len(record)} columns, expected {width}")
    return _row(number, root, record[columns[0]], record[columns[1]])
