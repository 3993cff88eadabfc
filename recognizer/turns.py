"""By how many quarter turns a crop is turned: what the network for it says and how well the word reads that way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rectify.images import Image
from rectify.orientation import is_tall
from rectify.rectifier import Rectifier

SIDES = (0, 1, 3)
"""Quarter turns to the left that a tall crop may be turned by, where crops are not turned by any angle."""

SURE = 0.97
"""Probability from which the network for quarter turns is taken at its word, where crops are turned by any angle."""
PROBABLE = 0.02
"""Probability from which a quarter turn is glanced at, there."""
WEIGHT = 0.2
"""Of the logarithm of that network's probability, beside that of the confidence of a glance."""
STACKED = 0.3
"""Confidence that a tall crop's upright way counts with at least: a glance reads nothing of letters set one above the
other. All four are chosen on held-back photographed words and rendered ones of unseen fonts, turned and stacked
(``python -m train.check_orientation``)."""
LEAST = 1e-4
"""Probability that is taken for none."""


class Ways(NamedTuple):
    """The quarter turns by which crops may be turned: one or more of each crop, in the order of the crops."""

    owners: NDArray[np.int64]
    """(N,) indices of the crops."""
    turns: NDArray[np.int64]
    """(N,) quarter turns to the left, 0..3."""
    scores: NDArray[np.float64]
    """(N,) weighted logarithms of the probabilities; the highest is the best."""
    floors: NDArray[np.float64]
    """(N,) confidences that the ways count with at least, whatever is read."""

    def without_floors(self) -> Ways:
        """The same for a reader that reads no letters set one above the other either."""
        return self._replace(floors=np.zeros_like(self.floors))

    def doubtful(self) -> NDArray[np.int64]:
        """Which ways belong to crops that have several."""
        counts = np.bincount(self.owners)
        return np.flatnonzero(counts[self.owners] > 1)

    def best(self, confidences: NDArray[np.float64]) -> NDArray[np.int64]:
        """The best way of each crop, in their order.

        Args:
            confidences: (N,) of what is read each way, 0..1; they decide between the ways of one crop.
        """
        scores = self.scores + np.log(np.maximum(confidences, self.floors) + LEAST)
        order = np.lexsort((-scores, self.owners))
        return order[np.unique(self.owners[order], return_index=True)[1]]


def find_ways(images: Sequence[Image], rectifier: Rectifier) -> Ways:
    """The ways up that crops may be read: all that the network for quarter turns holds for possible where crops are
    turned by any angle; else upright, and of tall crops along either side, too."""
    any_rotation = rectifier.any_rotation
    tall = np.array([is_tall(image) for image in images], bool)
    asked = np.flatnonzero(tall | bool(any_rotation)).tolist()
    probabilities = np.zeros((len(images), 4))
    probabilities[:, 0] = 1
    possible = probabilities > 0
    if asked:
        probabilities[asked] = _probabilities([images[index] for index in asked], rectifier)
        if any_rotation:
            likeliest = probabilities.max(1, keepdims=True)
            possible = probabilities >= np.where(likeliest >= SURE, likeliest, PROBABLE)
        else:
            possible[np.ix_(asked, SIDES)] = True
    owners, turns = np.nonzero(possible)
    scores = WEIGHT * np.log(probabilities[owners, turns] + LEAST)
    return Ways(owners, turns, scores, STACKED * (tall[owners] & (turns == 0)))


def _probabilities(images: Sequence[Image], rectifier: Rectifier) -> NDArray[np.float32]:
    if rectifier.orientation is None:
        return np.full((len(images), 4), 0.25, np.float32)
    return rectifier.orientation.probabilities(images)
