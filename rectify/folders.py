"""The pictures below a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from rectify.images import EXTENSIONS


def pictures_below(
    folder: Path,
    skip: Callable[[Path], bool] = lambda folder: False,
    on_error: Callable[[OSError], object] | None = None,
) -> Iterator[Path]:
    """Paths of the pictures below a folder, folder by folder, each sorted by name.

    Hidden ones are left out. Links to folders are followed, to each folder once.

    Args:
        skip: whether a folder below is left out.
        on_error: told of folders that cannot be listed.
    """
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, onerror=on_error, followlinks=True):
        place = os.path.realpath(parent)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not skip(Path(parent, name)))
        for name in sorted(files):
            path = Path(parent, name)
            if path.suffix.lower() in EXTENSIONS and not name.startswith(".") and not path.is_fifo():
                yield path


def no_pictures(folder: Path) -> str:
    """What to say of a folder without pictures."""
    if (folder / "data.mdb").exists():
        return "an LMDB dataset, no folder of pictures; `eval` reads those, and `lmdb export` makes pictures of them"
    return "no pictures in this folder"
