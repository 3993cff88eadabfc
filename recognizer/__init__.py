"""Read crops of text: ``Pipeline`` rectifies and reads, ``Recognizer`` reads flat words of the right size.

Each name is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recognizer.charset import Charset
    from recognizer.lexicon import Lexicon
    from recognizer.pipeline import CropReading, Pipeline
    from recognizer.recognizer import Reading, Recognizer

__all__ = ["Charset", "CropReading", "Lexicon", "Pipeline", "Reading", "Recognizer"]

_HOMES = {
    "Charset": "recognizer.charset",
    "CropReading": "recognizer.pipeline",
    "Lexicon": "recognizer.lexicon",
    "Pipeline": "recognizer.pipeline",
    "Reading": "recognizer.recognizer",
    "Recognizer": "recognizer.recognizer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
