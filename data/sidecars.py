"""Files of texts beside a dataset: its labels with case and punctuation, and the words that each crop can be."""

from __future__ import annotations

from pathlib import Path

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
