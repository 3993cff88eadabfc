"""Other recognisers behind one protocol, each loaded only when it is named.

An engine is any callable that takes RGB crops and returns a text and a confidence for each. ``load_engine`` makes one
of those that have an adapter here; a callable of one's own does as well wherever an engine is taken.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, Protocol

from rectify.framing import Framing
from rectify.images import Image
from rectify.shape import resize
from rectify.stream import BatchError

Answer = tuple[str, float]
"""What an engine makes of a crop: a text and its confidence, 0..1."""


class Engine(Protocol):
    """Anything that reads crops of one word each.

    Given RGB images (H, W, 3) uint8 of any sizes, it returns one answer for each, in their order.
    """

    def __call__(self, crops: Sequence[Image], /) -> Sequence[Answer]: ...


MOST_ELONGATED = 64
"""Times the shorter side that the longer one of a crop for an engine has at most."""

ENGINES = {
    "rapidocr": "recognizer.engines.rapidocr_engine",
    "tesseract": "recognizer.engines.tesseract_engine",
    "easyocr": "recognizer.engines.easyocr_engine",
}
"""Name of an engine, which is also the name of the extra that installs it, to the module whose ``load`` makes it."""

NONE = "none"
"""Name of the engine that reads nothing, for whoever wants the straightened crops alone."""

UNKNOWN = Framing(margin=(0.05, 0.30), sharp=True)
"""How words are cut out for other engines: they were trained on crops of detectors, which leave more space above and
below a word than this project's recogniser wants, and bicubic sampling harms fewer."""

FRAMINGS = {
    NONE: Framing(),
    "rapidocr": UNKNOWN,
    "tesseract": Framing((0.05, 0.30), least_bend=6.0, least_height=64),
    "easyocr": Framing((0.10, 0.40), least_bend=16.0, least_height=64),
}
"""The same for engines of which ``python -m train.tune_harmless`` measured it; for none as ``Rectifier`` does it."""


def framing_for(engine: object, margin: Sequence[float] | None = None) -> Framing:
    """What suits an engine, given its name or anything else for an engine that nothing is known of.

    Args:
        margin: taken instead of the one that suits.

    Raises:
        ValueError: a margin that leaves nothing of the text.
    """
    suited = FRAMINGS.get(engine, UNKNOWN) if isinstance(engine, str) else UNKNOWN
    return replace(suited, margin=(margin[0], margin[1])) if margin else suited


def load_engine(name: str, threads: int = 1) -> Engine:
    """Loads an engine by its name, a key of ``ENGINES`` or ``NONE``.

    Args:
        threads: crops that it may read at the same time.

    Raises:
        ValueError: no engine of that name.
        ModuleNotFoundError, FileNotFoundError: a package, a program or weights are missing; the message says what to
            install.
    """
    if name == NONE:
        return read_nothing
    if name not in ENGINES:
        raise ValueError(f"no engine {name!r}; there are {', '.join([*ENGINES, NONE])}, or give a callable")
    engine: Engine = importlib.import_module(ENGINES[name]).load(threads)
    return engine


def read_nothing(crops: Sequence[Image]) -> list[Answer]:
    """An empty text for each crop, of confidence 0."""
    return [("", 0.0)] * len(crops)


def ask(engine: Engine, crops: Sequence[Image]) -> list[Answer]:
    """The engine's answers to crops; it is not called for none.

    Crops that no word fills, longer than ``MOST_ELONGATED`` times their other side, are squeezed to that: engines that
    bring all crops to one height would ask for any amount of memory.

    Raises:
        BatchError: the engine failed, or answered something else than (text, confidence).
        ValueError: it did not answer once to each crop.
    """
    try:
        answers = list(engine([_squeezed(crop) for crop in crops])) if crops else []
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BatchError(f"the engine failed: {reason}") from error
    if len(answers) != len(crops):
        raise ValueError(
            f"the engine returned {len(answers)} answers for {len(crops)} crops, it must return one for each"
        )
    return [_checked(answer) for answer in answers]


def _squeezed(crop: Image) -> Image:
    height, width = crop.shape[:2]
    size = min(width, MOST_ELONGATED * height), min(height, MOST_ELONGATED * width)
    return crop if size == (width, height) else resize(crop, size)


def _checked(answer: Any) -> Answer:
    # A text of two letters would also unpack into two.
    if not isinstance(answer, str):
        try:
            text, confidence = answer
            if isinstance(text, str):
                return text, float(confidence)
        except (TypeError, ValueError):
            pass
    raise BatchError(f"an engine answers (text, confidence) to each crop, not {answer!r}")


def require(package: str, engine: str) -> ModuleType:
    """Imports a package that an engine needs.

    Raises:
        ModuleNotFoundError: it is not installed; the message says how to.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        message = f'the engine {engine} needs the Python package {error.name}: pip install "rectify-ocr[{engine}]"'
        raise ModuleNotFoundError(message, name=error.name) from None
