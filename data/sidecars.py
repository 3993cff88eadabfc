"""Files beside a dataset: its labels with case and punctuation, the words that each crop can be, its quadrilaterals."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from data.quads import QUADS

CASED = "cased.tsv"
"""Beside data.mdb, ``NUMBER<TAB>TEXT`` a line: labels with case and punctuation as seen, where the official ones have
none."""
LEXICON50 = "lexicon50.tsv"
"""Beside data.mdb, ``NUMBER<TAB>WORD,WORD,...`` a line: the lexicon of each crop, 50 words by the field's protocol."""


def read_texts(path: Path) -> dict[int, str]:
    """The text of each sample by its number from 1.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line is not ``NUMBER<TAB>TEXT`` in UTF-8; the message names file and line.
    """
    texts: dict[int, str] = {}
    for line_number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            number, text = line.decode("utf-8").split("\t", 1)
            texts[int(number)] = text
        except ValueError:
            raise ValueError(f"{path}: line {line_number} is not NUMBER<TAB>TEXT in UTF-8") from None
    return texts


def read_cased(folder: Path) -> dict[int, str]:
    """Labels with case and punctuation by sample number; none where the dataset has no such file.

    Raises:
        ValueError: see ``read_texts``.
    """
    path = folder / CASED
    return read_texts(path) if path.is_file() else {}


def read_word_lists(folder: Path) -> dict[int, tuple[str, ...]]:
    """The lexicon of each crop by sample number.

    Raises:
        FileNotFoundError: the dataset has none.
        ValueError: see ``read_texts``, or a lexicon without words.
    """
    path = folder / LEXICON50
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; it holds the lexicon of each crop, NUMBER<TAB>WORD,WORD,...")
    lists = {number: tuple(filter(None, text.split(","))) for number, text in read_texts(path).items()}
    for number, words in lists.items():
        if not words:
            raise ValueError(f"{path}: sample {number} has no words")
    return lists


def take_along(folder: Path, numbers: Sequence[int], beside: Callable[[str], Path]) -> None:
    """Append the lines of a dataset's files to those of another one that its samples were copied to.

    Args:
        numbers: of each sample of the dataset in the other one, from 1; 0 leaves it out.
        beside: where a file of that name beside the other one is.

    Raises:
        ValueError: a line does not begin with its sample's number; the message names file and line.
    """
    for name in (CASED, LEXICON50, QUADS):
        if not (folder / name).is_file():
            continue
        renumbered = _quad_renumbered if name == QUADS else _text_renumbered
        with (folder / name).open("rb") as lines, beside(name).open("a", encoding="utf-8", newline="") as out:
            for line_number, line in enumerate(lines, start=1):
                try:
                    out.write(renumbered(line.decode("utf-8").rstrip("\r\n"), numbers))
                except (ValueError, KeyError, IndexError, TypeError):
                    raise ValueError(f"{folder / name}: line {line_number} does not tell a sample's number") from None


def _renumbered(number: int, numbers: Sequence[int]) -> int:
    if number < 1:
        raise IndexError(number)
    return numbers[number - 1]


def _text_renumbered(line: str, numbers: Sequence[int]) -> str:
    old, text = line.split("\t", 1)
    new = _renumbered(int(old), numbers)
    return f"{new}\t{text}\n" if new else ""


def _quad_renumbered(line: str, numbers: Sequence[int]) -> str:
    if not line.strip():
        return ""
    values = json.loads(line)
    new = _renumbered(values["index"], numbers)
    return json.dumps({**values, "index": new}, ensure_ascii=False) + "\n" if new else ""
