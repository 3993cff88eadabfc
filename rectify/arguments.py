"""Types of arguments that several commands take."""

from __future__ import annotations

import argparse
from pathlib import Path


def positive(text: str) -> int:
    """A whole number from 1 on.

    Raises:
        argparse.ArgumentTypeError: it is none; argparse puts the option's name before the message.
    """
    return _whole(text, 1, "is not a positive whole number")


def not_negative(text: str) -> int:
    """A whole number from 0 on, such as a seed; raises as ``positive``."""
    return _whole(text, 0, "is not a whole number from 0 on")


def output_file(argument: str) -> Path:
    """An argparse type: a file that can be written later; refused now rather than after an hour of measuring."""
    if argument == "-":
        raise argparse.ArgumentTypeError("- is no file here: /dev/stdout is standard output, ./- a file of that name")
    path = Path(argument)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{argument} is a folder, give the name of a file")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"folder {path.parent} does not exist, create it first")
    return path


def out_folder(argument: str) -> Path:
    """An argparse type: a folder, which need not exist; not the empty text of a variable that is not set."""
    if not argument:
        raise argparse.ArgumentTypeError("empty; . is the current folder")
    return Path(argument)


def _whole(text: str, least: int, otherwise: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r} {otherwise}")
    return value
