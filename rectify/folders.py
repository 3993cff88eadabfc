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

    Hidden ones are left out. Links to folders are followed last, and to each folder once.

    Args:
        skip: whether a folder below is left out.
        on_error: told of folders that cannot be listed.
    """
    seen: set[str] = set()
    places = [folder]
    for place in places:  # which grows by the links
        for parent, folders, files in os.walk(place, onerror=on_error):
            real = os.path.realpath(parent)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            below = sorted(name for name in folders if not name.startswith(".") and not skip(Path(parent, name)))
            folders[:] = [name for name in below if not os.path.islink(Path(parent, name))]
            places += [Path(parent, name) for name in below if name not in folders]
            paths = (Path(parent, name) for name in sorted(files))
            yield from (path for path in paths if is_picture(path) and not path.is_fifo())


def is_picture(path: Path) -> bool:
    """Whether a file of a folder is one by its name; hidden files are none."""
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")


def no_pictures(folder: Path) -> str:
    """What to say of a folder without pictures."""
    if (folder / "data.mdb").exists():
        return "an LMDB dataset, no folder of pictures; `eval` reads those, and `lmdb export` makes pictures of them"
    return "no pictures in this folder"
