"""Why crops were read wrong: one cause for each, and the characters taken for each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import editdistance
import numpy as np

from rectify.conventions import Points
from rectify.orientation import TALL
from train.metrics import LETTERS, normalize

UNREADABLE = "unreadable"
CASE = "case or punctuation"
VERTICAL = "vertical"
CUT_OFF = "cut off"
GEOMETRY = "wrong geometry"
LOW_RESOLUTION = "low resolution"
CONFUSION = "confusion"
OTHER = "other"

CAUSES = {
    UNREADABLE: "the sample is no image",
    CASE: "right but for case and punctuation",
    VERTICAL: "the crop is at least 1.5 times as high as wide",
    CUT_OFF: "the text is the label without its first or last letters, and at least half of it",
    GEOMETRY: "the spline folds over, or the crop is read right, or with half of the edits or fewer, unrectified",
    LOW_RESOLUTION: "the text is less than 10 pixels high in the crop",
    CONFUSION: "at most a third of the label's characters, or one, were taken for others, added or left out",
    OTHER: "none of these",
}
"""Every cause and when it applies. A crop gets the first that does."""

LEAST_HEIGHT = 10.0
"""Pixels."""


@dataclass(frozen=True)
class Circumstances:
    """What is known of a crop beside its label and text."""

    size: tuple[int, int]
    """(width, height) in pixels."""
    text_height: float
    """Pixels of the crop."""
    folded: bool = False
    """The spline turns over somewhere."""
    raw_text: str | None = None
    """Read from the untouched crop; None where rectification was off."""


def find_cause(label: str, text: str, known: Circumstances | None, protocol: str = "36") -> str:
    """The cause, a key of ``CAUSES``, of a wrong reading.

    Args:
        label, text: as annotated and as read.
        known: None for a sample that is no image.
        protocol: the characters that count, see ``train.metrics``.
    """
    if known is None:
        return UNREADABLE
    if normalize(label, LETTERS) == normalize(text, LETTERS) != "":
        return CASE
    width, height = known.size
    if height >= TALL * width:
        return VERTICAL
    wanted, read = normalize(label, protocol), normalize(text, protocol)
    if read and read in wanted and 2 * len(read) >= len(wanted):
        return CUT_OFF
    edits = editdistance.eval(wanted, read)
    if known.folded or _reads_better(wanted, known.raw_text, edits, protocol):
        return GEOMETRY
    if known.text_height < LEAST_HEIGHT:
        return LOW_RESOLUTION
    return CONFUSION if edits <= max(1, len(wanted) // 3) else OTHER


def _reads_better(wanted: str, raw_text: str | None, edits: int, protocol: str) -> bool:
    return raw_text is not None and 2 * editdistance.eval(wanted, normalize(raw_text, protocol)) <= edits


def substitutions(label: str, text: str) -> list[tuple[str, str]]:
    """Characters of the label and what each was taken for, by the fewest edits (Levenshtein) of one into the other.

    Of several such ways, one that substitutes latest in the word.
    """
    costs = np.zeros((len(label) + 1, len(text) + 1), int)
    costs[:, 0], costs[0] = np.arange(len(label) + 1), np.arange(len(text) + 1)
    for i, wanted in enumerate(label, start=1):
        for j, read in enumerate(text, start=1):
            substituted = costs[i - 1, j - 1] + (wanted != read)
            costs[i, j] = min(substituted, costs[i - 1, j] + 1, costs[i, j - 1] + 1)
    found = []
    i, j = len(label), len(text)
    while i and j:
        if costs[i, j] == costs[i - 1, j - 1] + (label[i - 1] != text[j - 1]):
            i, j = i - 1, j - 1
            if label[i] != text[j]:
                found.append((label[i], text[j]))
        elif costs[i, j] == costs[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return found[::-1]


class Confusions:
    """Counts how often a character was taken for another, in wrong readings that are near their label."""

    def __init__(self) -> None:
        self._pairs: Counter[tuple[str, str]] = Counter()

    def update(self, label: str, text: str, protocol: str = "36") -> None:
        """Count a wrong reading; one further from its label than ``CONFUSION`` allows says nothing."""
        label, text = normalize(label, protocol), normalize(text, protocol)
        if editdistance.eval(label, text) <= max(1, len(label) // 3):
            self._pairs.update(substitutions(label, text))

    def merge(self, other: Confusions) -> None:
        """Count what ``other`` counted, too."""
        self._pairs.update(other._pairs)

    def most_frequent(self, count: int = 20) -> list[tuple[str, str, int]]:
        """(character of the label, what it was taken for, how often), the most frequent first."""
        pairs = sorted(self._pairs.items(), key=lambda item: (-item[1], item[0]))
        return [(wanted, read, times) for (wanted, read), times in pairs[:count]]


def text_height(points: Points, rows: int, cols: int) -> float:
    """Height in pixels of the text that control points (rows·cols, 2) in pixels describe."""
    from rectify.shape import text_shape

    return float(text_shape(np.asarray(points, np.float64), rows, cols)[1])


def count_causes(causes: Iterable[str]) -> dict[str, int]:
    """How often each cause occurs, in the order of ``CAUSES``, those that do not left out."""
    counts = Counter(causes)
    return {cause: counts[cause] for cause in CAUSES if counts[cause]}
