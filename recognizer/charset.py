"""The characters a recogniser can write, and their class indices."""

from __future__ import annotations

import os
import string
from collections.abc import Iterable

from rectify.text_files import read_utf8

ASCII94 = string.digits + string.ascii_letters + string.punctuation
"""The 94 printable ASCII characters without the space; the default."""


class Charset:
    """Characters and their class indices: class 0 is the CTC blank, class 1 + i is ``characters[i]``.

    Args:
        characters: each once, in the order of the classes.

    Raises:
        ValueError: no characters, or one of them twice.
    """

    def __init__(self, characters: str = ASCII94) -> None:
        if not characters:
            raise ValueError("a charset needs characters")
        repeated = sorted({c for c in characters if characters.count(c) > 1})
        if repeated:
            raise ValueError(f"a charset needs each character once, repeated: {''.join(repeated)!r}")
        self.characters = characters
        self._index = {c: i for i, c in enumerate(characters, start=1)}

    def __len__(self) -> int:
        return len(self.characters)

    def __contains__(self, character: str) -> bool:
        return character in self._index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Charset) and other.characters == self.characters

    def __hash__(self) -> int:
        return hash(self.characters)

    def __repr__(self) -> str:
        return f"Charset({self.characters!r})"

    def encode(self, text: str) -> list[int]:
        """Class indices of a text, each from 1.

        Raises:
            ValueError: characters that are not in the charset, named.
        """
        unknown = sorted(set(text) - self._index.keys())
        if unknown:
            raise ValueError(f"not in the charset: {' '.join(map(repr, unknown))} of {text!r}")
        return [self._index[c] for c in text]

    def decode(self, indices: Iterable[int]) -> str:
        """The text of class indices from 1 (no blanks among them)."""
        return "".join(self.characters[i - 1] for i in indices)

    def keep(self, text: str) -> str:
        """The text without the characters that are not in the charset.

        A letter that it has in the other case only is taken in that: a charset without capitals reads them as small.
        """
        if self._index.keys() >= set(text):
            return text
        forms = ((c, c.swapcase()) for c in text)
        return "".join(next((form for form in pair if form in self._index), "") for pair in forms)


def read_charset(path: str | os.PathLike[str]) -> str:
    """The characters of a text file, in their order; white space between them does not count.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not UTF-8, no characters, or one of them twice.
    """
    characters = "".join(read_utf8(path).split())
    try:
        return Charset(characters).characters
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
