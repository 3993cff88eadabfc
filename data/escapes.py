"""Characters that cannot be shown, as Python escapes."""

from __future__ import annotations

from collections.abc import Callable


def escaped(text: str, shown: Callable[[str], bool] = str.isprintable) -> str:
    """The text with an escape, such as ``\\n``, for each character that is not ``shown``."""
    return "".join(c if shown(c) else ascii(c)[1:-1] for c in text)
