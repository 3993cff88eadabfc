"""How often quarter turns are told right, on held-back training words turned by known angles.

    python -m train.check_orientation LMDB... [--rendered LMDB...] [--weights W] [--seed S]

Every 16th word, which no training has seen, if it lies down and has three letters or more, is turned by each quarter
and a random angle beyond. Prints what is turned upright, by how far the word is off a quarter turn, and how many
upright words are turned away: by the network alone for each certainty (``rectify.orientation.SURE``), and by the
network and the recogniser's glances together, as ``Pipeline`` does it. With ``--rendered`` a second table says it of
tall crops where words are not turned by any angle and another engine reads: rendered words that run up, that run down,
and that are set letter above letter, which are to stay as they are. Never give it a test set.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from data.reader import LmdbReader, find_lmdbs
from data.synth.geometry import WordGeometry
from recognizer.pipeline import Pipeline
from rectify.images import Image
from rectify.orientation import SURE, Orientation, is_tall
from train.crops import held_back, read_crop, rotated, spread
from train.orientation import stacked
from train.output import number, table

LETTERS = 3
BEYOND = ((0, 0), (0, 15), (15, 30), (30, 40), (40, 45))
"""Degrees (from, to) off a quarter turn."""
CERTAINTIES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.97)
MOST = 2000
"""Rendered words of each set."""
Tall = dict[str, tuple[int, list[Image]]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", metavar="LMDB", help="datasets to train on")
    parser.add_argument("--rendered", nargs="+", default=[], metavar="LMDB", help="words by synth, for tall crops")
    parser.add_argument("--weights", metavar="W", help="without it the shipped ones")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    words = list(lying_words(options.photos))
    if not words:
        parser.error(f"no held-back word that lies down and has {LETTERS} letters")
    orientation, pipeline = Orientation(options.weights), Pipeline(options.weights, decoder="ctc", any_rotation=True)
    rng = np.random.default_rng(options.seed)
    turned = {beyond: turn_all(words, beyond, rng) for beyond in BEYOND}
    found = {
        beyond: np.stack([orientation.probabilities(crops) for crops in turns]) for beyond, turns in turned.items()
    }
    glanced = {beyond: np.stack([pipeline.turns(crops) for crops in turns]) for beyond, turns in turned.items()}
    print(f"{len(words)} words, each turned by 0, 90, 180 and 270 degrees and within the range beyond, % right\n")
    header = ["certainty", *(f"{low}-{high}°" for low, high in BEYOND), "90°", "180°", "270°", "upright turned away %"]
    rows = [
        [f"{sure:g}", *_row({beyond: decide(seen, sure) for beyond, seen in found.items()})] for sure in CERTAINTIES
    ]
    print(table(header, [*rows, ["with glances", *_row(glanced)]]))
    if options.rendered:
        tall = tall_crops(options.rendered)
        if not any(crops for _, crops in tall.values()):
            parser.error(f"no rendered word of {LETTERS} letters in {', '.join(options.rendered)}")
        print("\n" + tall_table(tall, orientation, Pipeline(options.weights, engine="none")))
    return 0


def lying_words(paths: Sequence[str]) -> Iterator[Image]:
    """The words to turn: held-back ones that lie down."""
    for folder in find_lmdbs(paths):
        for crop in held_back(LmdbReader(folder)):
            if crop.image is not None and len(crop.label) >= LETTERS and crop.image.shape[1] > crop.image.shape[0]:
                yield crop.image


def turn_all(words: Sequence[Image], beyond: tuple[int, int], rng: np.random.Generator) -> list[list[Image]]:
    """Words by how many quarters they are turned to the left, and by a random angle beyond."""
    low, high = beyond
    turned = []
    for turn in range(4):
        angles = rng.uniform(low, high, len(words)) * rng.choice([-1, 1], len(words))
        turned.append([rotated(image, 90 * turn + angle) for image, angle in zip(words, angles, strict=True)])
    return turned


def decide(probabilities: NDArray[np.float32], sure: float) -> NDArray[np.int64]:
    """Quarter turns (4, N) by their probabilities (4, N, 4); 0 where the network is not ``sure``."""
    return np.where(probabilities.max(2) >= sure, probabilities.argmax(2), 0)


def right(turns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether words come to lie upright (4, N), by what is told of words turned by 0, 1, 2 and 3 quarters."""
    return np.asarray(turns == np.arange(4)[:, None])


def tall_crops(paths: Sequence[str]) -> Tall:
    """Tall crops by how their words run, with the quarter turns to the left by which they are turned: of each set up to
    ``MOST`` rendered words, spread evenly."""
    kinds: Tall = {"running up": (1, []), "running down": (3, []), "stacked": (0, [])}
    for folder in find_lmdbs(paths):
        reader = LmdbReader(folder)
        for index in spread(len(reader), MOST):
            geometry = WordGeometry.of(reader.geometry(index))
            if geometry and len(geometry.characters) >= LETTERS:
                word = read_crop(reader, index + 1)
                for turn, crops in kinds.values():
                    crops.append(np.rot90(word, turn) if turn else stacked(word, geometry))
    return {name: (turn, [crop for crop in crops if is_tall(crop)]) for name, (turn, crops) in kinds.items()}


def tall_table(tall: Tall, orientation: Orientation, pipeline: Pipeline) -> str:
    """The table of tall crops: rows by who tells the turn, columns by how the words run, % right."""
    tellers = {f"certainty {SURE:g}": orientation.turns, "with glances": pipeline.turns}
    rows = [
        [teller, *(number(100 * float((tell(crops) == turn).mean()), 1) for turn, crops in tall.values())]
        for teller, tell in tellers.items()
    ]
    return table(["tall crops, % right", *(f"{name} ({len(crops)})" for name, (_, crops) in tall.items())], rows)


def _row(told: Mapping[tuple[int, int], NDArray[np.int64]]) -> list[str]:
    by_beyond = [right(turns).mean() for turns in told.values()]
    by_turn = right(told[BEYOND[0]]).mean(1)
    return [number(100 * share, 1) for share in (*by_beyond, *by_turn[1:])] + [number(100 * (1 - by_turn[0]), 2)]


if __name__ == "__main__":
    sys.exit(main())
