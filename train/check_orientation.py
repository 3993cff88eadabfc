"""How often the network for any rotation is right, on held-back training words turned by known angles.

    python -m train.check_orientation LMDB... [--weights W] [--seed S]

Every 16th word, which no training has seen, if it lies down and has three letters or more, is turned by each quarter
and a random angle beyond. Prints for each certainty (``rectify.orientation.SURE``) what is turned upright, by how far
the word is off a quarter turn, and how many upright words are turned away. Never give it a test set.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from data.reader import LmdbReader, find_lmdbs
from rectify.images import Image
from rectify.orientation import Orientation
from train.crops import held_back, rotated
from train.output import number, table

LETTERS = 3
BEYOND = ((0, 0), (0, 15), (15, 30), (30, 40), (40, 45))
"""Degrees (from, to) off a quarter turn."""
CERTAINTIES = (0.0, 0.5, 0.7, 0.9, 0.97)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", metavar="LMDB", help="datasets to train on")
    parser.add_argument("--weights", metavar="W", help="without it the shipped ones")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    words = list(lying_words(options.photos))
    if not words:
        parser.error(f"no held-back word that lies down and has {LETTERS} letters")
    orientation, rng = Orientation(options.weights), np.random.default_rng(options.seed)
    found = {beyond: turn_all(orientation, words, beyond, rng) for beyond in BEYOND}
    print(f"{len(words)} words, each turned by 0, 90, 180 and 270 degrees and within the range beyond, % right\n")
    header = ["certainty", *(f"{low}-{high}°" for low, high in BEYOND), "90°", "180°", "270°", "upright turned away %"]
    print(table(header, [[f"{sure:g}", *_row(found, sure)] for sure in CERTAINTIES]))
    return 0


def lying_words(paths: Sequence[str]) -> Iterator[Image]:
    """The words to turn: held-back ones that lie down."""
    for folder in find_lmdbs(paths):
        for crop in held_back(LmdbReader(folder)):
            if crop.image is not None and len(crop.label) >= LETTERS and crop.image.shape[1] > crop.image.shape[0]:
                yield crop.image


def turn_all(
    orientation: Orientation, words: Sequence[Image], beyond: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Probabilities (4, N, 4) of the quarter turns of N words, by how many quarters each was really turned."""
    low, high = beyond
    found = []
    for turn in range(4):
        angles = rng.uniform(low, high, len(words)) * rng.choice([-1, 1], len(words))
        crops = [rotated(image, 90 * turn + angle) for image, angle in zip(words, angles, strict=True)]
        found.append(orientation.probabilities(crops))
    return np.stack(found)


def right(probabilities: NDArray[np.float32], sure: float) -> NDArray[np.bool_]:
    """Whether words come to lie upright (4, N), taken as they are where the network is not ``sure``."""
    turns = np.where(probabilities.max(2) >= sure, probabilities.argmax(2), 0)
    return np.asarray(turns == np.arange(4)[:, None])


def _row(found: dict[tuple[int, int], NDArray[np.float32]], sure: float) -> list[str]:
    by_beyond = [right(probabilities, sure).mean() for probabilities in found.values()]
    by_turn = right(found[BEYOND[0]], sure).mean(1)
    return [number(100 * share, 1) for share in (*by_beyond, *by_turn[1:])] + [number(100 * (1 - by_turn[0]), 2)]


if __name__ == "__main__":
    sys.exit(main())
