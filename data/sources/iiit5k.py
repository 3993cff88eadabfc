"""The label file of the IIIT 5K-word dataset, a MATLAB file of structures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.sources.rows import BadRow, Item, Row
from data.sources.text import require_file

LABELS = ("GroundTruth", "chars")
"""Fields with the text: of testdata.mat and traindata.mat, and of the files with the characters' bounds."""


def read_mat(path: Path, images: Path | None = None) -> Iterator[Item]:
    """Rows of a .mat file, ``line`` being the number of the structure; a row source for ``data.build``.

    Image names are relative to ``images``, or to the file's folder.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not such a file.
        ModuleNotFoundError: scipy is not installed.
    """
    require_file(path)
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        values = loadmat(path, squeeze_me=True)
    except (MatReadError, NotImplementedError, ValueError, TypeError, OSError) as error:
        raise ValueError(f"{path}: not a MATLAB file of version 5 to 7: {error}") from error
    tables = [value for value in values.values() if _label_field(value)]
    if len(tables) != 1:
        raise ValueError(f"{path}: holds no structures with ImgName and {' or '.join(LABELS)}")
    return _rows(tables[0], images or path.parent)


def _label_field(table: Any) -> str | None:
    names = getattr(getattr(table, "dtype", None), "names", None) or ()
    return next((name for name in LABELS if name in names), None) if "ImgName" in names else None


def _rows(table: Any, root: Path) -> Iterator[Item]:
    field = _label_field(table)
    for number, entry in enumerate(table.reshape(-1), start=1):
        # An empty text is an empty array of numbers in MATLAB's files.
        image, label = (str(entry[key]).strip() if isinstance(entry[key], str) else "" for key in ("ImgName", field))
        if image and label:
            yield Row(number, root / image, label)
        else:
            yield BadRow(number, f"{image}: empty label" if image else "empty path")
