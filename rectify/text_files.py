"""Text files that users write, in UTF-8."""

from __future__ import annotations

import os
from pathlib import Path


def read_utf8(path: str | os.PathLike[str]) -> str:
    """The text of a file, without a byte order mark.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is not UTF-8; the message names it.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text, at byte {error.start}; save it in that encoding") from None
