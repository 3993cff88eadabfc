"""What an evaluation tells beside its figures: accuracy by length, calibration, causes of errors, confusions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from train.calibration import CalibrationError
from train.causes import CAUSES, Confusions, count_causes
from train.evaluate import Outcome
from train.metrics import normalize
from train.output import number

LONG = 12
"""Words of this many characters and more are counted together."""
LENGTHS = [*map(str, range(1, LONG)), f"{LONG}+"]

Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""Title, header, rows."""


class Details:
    """Collects the details of a set, or of several.

    Args:
        protocol: the characters that count, see ``train.metrics``.
    """

    def __init__(self, protocol: str = "36") -> None:
        self.protocol = protocol
        self.calibration = CalibrationError()
        self.confusions = Confusions()
        self._samples: Counter[str] = Counter()
        self._right: Counter[str] = Counter()
        self._causes: Counter[str] = Counter()

    def update(self, outcome: Outcome) -> None:
        """Count a crop; a wrong one needs its cause."""
        length = LENGTHS[min(LONG, max(1, len(normalize(outcome.label, self.protocol)))) - 1]
        self._samples[length] += 1
        self._right[length] += outcome.right
        self.calibration.update(outcome.confidence, outcome.right)
        if not outcome.right and outcome.cause is not None:
            self._causes[outcome.cause] += 1
            self.confusions.update(outcome.label, outcome.text, self.protocol)

    def merge(self, other: Details) -> None:
        """Count everything that ``other`` counted, too."""
        self.calibration.merge(other.calibration)
        self.confusions.merge(other.confusions)
        for mine, others in (
            (self._samples, other._samples),
            (self._right, other._right),
            (self._causes, other._causes),
        ):
            mine.update(others)

    def accuracy(self, length: str) -> float | None:
        """Word accuracy in percent at a length out of ``LENGTHS``; None without such words."""
        samples = self._samples[length]
        return 100 * self._right[length] / samples if samples else None

    @property
    def causes(self) -> dict[str, int]:
        """How many wrong crops each cause has."""
        return count_causes(self._causes.elements())

    def as_json(self) -> dict[str, Any]:
        """The details as ``eval --json --details`` writes them."""
        return {
            "expected_calibration_error": round(self.calibration.summary(), 6),
            "by_length": {
                length: {"samples": self._samples[length], "word_accuracy": round(self.accuracy(length) or 0.0, 4)}
                for length in LENGTHS
                if self._samples[length]
            },
            "causes": self.causes,
            "confusions": [list(pair) for pair in self.confusions.most_frequent()],
        }


def tables(sets: Mapping[str, Details], total: Details) -> list[Table]:
    """The details of all sets as tables for people; ``total`` is over all."""
    rows = [*sets.items(), ("all", total)]
    causes = [cause for cause in CAUSES if cause in total.causes]
    return [
        ("expected calibration error", ["set", "ECE"], [[n, number(d.calibration.summary(), 4)] for n, d in rows]),
        (
            "accuracy % by length",
            ["set", *LENGTHS],
            [[name, *(number(details.accuracy(length), 1) for length in LENGTHS)] for name, details in rows],
        ),
        (
            "wrong crops by cause",
            ["set", *causes],
            [[name, *(str(details.causes.get(cause, 0)) for cause in causes)] for name, details in rows],
        ),
        (
            "characters most often taken for others, all sets",
            ["label", "read", "times"],
            [[wanted, read, str(times)] for wanted, read, times in total.confusions.most_frequent()],
        ),
    ]
