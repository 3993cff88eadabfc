"""What the measuring commands write: aligned tables on stdout, files that appear only when complete."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns: the first to the left, figures to the right; no final line end."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    rule = ["-" * max(widths[0], 3), *("-" * (max(width, 3) - 1) + ":" for width in widths[1:])]
    widths = [max(width, 3) for width in widths]

    def line(cells: Sequence[str]) -> str:
        aligned = [cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))]
        return "| " + " | ".join(aligned) + " |"

    return "\n".join(map(line, (header, rule, *rows)))


def number(value: float | None, digits: int) -> str:
    """A figure of a table; a dash for one that was not measured."""
    return "–" if value is None else f"{value:.{digits}f}"


def write_text(path: Path, text: str) -> None:
    """Write beside the target and move into place, so that a killed run leaves the old file whole.

    The target of a link is written, and what is no file, such as a pipe, is written to directly. So is standard output,
    by whatever name, even where it is a file: what else is printed belongs there as well.
    """
    if _is_standard_output(path):
        print(text, end="", flush=True)
        return
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _is_standard_output(path: Path) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError, AttributeError):  # no such file yet, or standard output closed or replaced
        return False


def write_json(path: Path, value: Any) -> None:
    """``write_text`` of indented JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def progress(name: str, total: int, unit: str = "crop") -> tqdm:
    """A progress bar over crops, or what the unit says, on stderr; nothing unless that is a terminal."""
    return tqdm(total=total, desc=name, unit=unit, disable=None, file=sys.stderr)


def complain(message: object) -> None:
    """One line of log on stderr, above any progress bar."""
    tqdm.write(f"rectify-ocr: {message}", file=sys.stderr)
