"""How well confidences tell what share of readings is right, and the one temperature that makes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BINS = 15
LEAST = 1e-12
"""Confidences are kept this far from 0 and 1 where logarithms of them are taken."""


class CalibrationError:
    """Expected calibration error of confidences 0..1, collected reading by reading.

    The mean over the readings of |share right - mean confidence| of their bin, of ``BINS`` bins of equal width. Source:
    Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 2.
    """

    def __init__(self) -> None:
        self._count, self._right, self._sum = (np.zeros(BINS) for _ in range(3))

    def update(self, confidence: float, right: bool) -> None:
        """Count a reading."""
        # Bins are open at the left: a confidence on a border belongs to the bin below it.
        place = max(0, int(np.ceil(confidence * BINS)) - 1)
        self._count[place] += 1
        self._right[place] += right
        self._sum[place] += confidence

    def merge(self, other: CalibrationError) -> None:
        """Count what ``other`` counted, too."""
        self._count += other._count
        self._right += other._right
        self._sum += other._sum

    def summary(self) -> float:
        """The error, 0..1; NaN while nothing is counted."""
        total = self._count.sum()
        return float(np.abs(self._right - self._sum).sum() / total) if total else float("nan")


def expected_calibration_error(confidences: Sequence[float], right: Sequence[bool]) -> float:
    """``CalibrationError`` of all of these."""
    error = CalibrationError()
    for confidence, verdict in zip(confidences, right, strict=True):
        error.update(confidence, verdict)
    return error.summary()


def fit_temperature(confidences: Sequence[float], right: Sequence[bool]) -> float:
    """The temperature at which ``confidence ** (1 / temperature)`` makes these verdicts most likely.

    It divides the log probability of a text as Guo et al. (section 4.2) divide logits, and keeps the order of readings.
    Found to a hundredth of a power of two, from 1/64 to 64.
    """
    temperatures = 2.0 ** np.linspace(-6, 6, 1201)
    losses = [_loss(np.asarray(confidences, float) ** (1 / t), np.asarray(right, bool)) for t in temperatures]
    return float(temperatures[int(np.argmin(losses))])


def _loss(confidences: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Negative log-likelihood of the verdicts."""
    sure = np.clip(confidences, LEAST, 1 - LEAST)
    return float(-np.where(right, np.log(sure), np.log1p(-sure)).mean())
