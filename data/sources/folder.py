"""A folder of pictures whose names hold their labels."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from data.sources.rows import BadRow, Item, Note, Row, files_below
from rectify.folders import is_picture, no_pictures

NAME_FORMS = {
    "NUMBER_LABEL_NUMBER": r"\d+_(.+)_\d+",
    "LABEL_NUMBER": r"(.+)_\d+",
    "NUMBER_LABEL": r"\d+_(.+)",
    "LABEL": r"(.+)",
}
"""How generators name their pictures, without the extension; the first form that all pictures have is taken."""

SAMPLE = 1000
"""Names that the form is told from."""


def read_names(folder: Path, names: str | None = None) -> Iterator[Item]:
    """Rows of a folder and the folders in it; a row source for ``data.build``.

    Args:
        names: regular expression for a whole name without its extension, with one group, the label; None finds out
            which of ``NAME_FORMS`` the pictures have.

    Raises:
        FileNotFoundError: no such folder, or no pictures in it.
        ValueError: not a regular expression with one group.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    pictures = [path.stem for path in itertools.islice(filter(is_picture, files_below(folder)), SAMPLE)]
    if not pictures:
        raise FileNotFoundError(f"{folder}: {no_pictures(folder)}")
    return _rows(folder, compile_names(names) if names else _find_form(pictures), names)


def compile_names(names: str) -> re.Pattern[str]:
    """The regular expression of ``--names``; raises a ValueError that says what is wrong with it."""
    try:
        pattern = re.compile(names)
    except re.error as error:
        raise ValueError(f"{names!r} is no regular expression: {error}") from None
    if pattern.groups != 1:
        raise ValueError(f"{names!r} has {pattern.groups} groups; it needs one, ( ) around the label")
    return pattern


def _find_form(pictures: list[str]) -> re.Pattern[str]:
    patterns = map(re.compile, NAME_FORMS.values())
    return next(pattern for pattern in patterns if all(map(pattern.fullmatch, pictures)))


def _rows(folder: Path, pattern: re.Pattern[str], given: str | None) -> Iterator[Item]:
    form = next((name for name, text in NAME_FORMS.items() if text == pattern.pattern), pattern.pattern)
    if given is None:
        yield Note(0, f"names are read as {form}; --names says it otherwise", folder)
    for path in files_below(folder):
        if not is_picture(path):
            yield Note(0, "left out, its name is not a picture's", path)
            continue
        match = pattern.fullmatch(path.stem)
        if match is None or match[1] is None:
            yield BadRow(0, f"its name has not the form {form}", path)
        elif not match[1].strip():
            yield BadRow(0, "empty label", path)
        else:
            yield Row(0, path, match[1].strip(), file=path)
