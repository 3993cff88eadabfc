"""`rectify-ocr splice`: new words out of the pieces of photographed ones, into an LMDB."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from data.loader import SampleSet, Source
from data.splice import CutWord, Splicer, cut_words
from data.synth.words import ENGLISH, WordSource
from data.writer import LmdbWriter
from recognizer.pipeline import Pipeline
from rectify.arguments import not_negative, positive

EXAMPLES = """examples:
  rectify-ocr splice photos.lmdb spliced.lmdb --count 100000 --seed 1
  rectify-ocr splice photos.lmdb more.lmdb --count 100000 --seed 1 --start 100000       (goes on where the first ended)
  rectify-ocr splice photos.lmdb spliced.lmdb --count 50000 --weights runs/mine --words names.txt

and then, to train on: sources.spliced.paths=[spliced.lmdb] sources.spliced.share=0.5 sources.spliced.augment=true
"""
BATCH = 64
QUALITY = 95


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        splice(arguments)
    except (ValueError, OSError) as error:
        print(f"rectify-ocr: {error}", file=sys.stderr)
        return 2
    return 0


def splice(arguments: argparse.Namespace) -> None:
    """Write samples start … start + count - 1 into a new LMDB."""
    cv2.setNumThreads(1)
    pipeline = Pipeline(arguments.weights, decoder="ctc", batch_size=BATCH)
    charset = pipeline.recognizer.charset.characters
    vocabulary = WordSource("all", arguments.words, arguments.language, charset)
    samples = SampleSet(Source(tuple(map(str, arguments.photos)), hold_out=arguments.hold_out))
    with LmdbWriter(arguments.out) as writer:
        words = list(_cut(samples, pipeline))
        print(f"rectify-ocr: {len(words)} of {len(samples)} words can be cut at their letters", file=sys.stderr)
        splicer = Splicer(words, vocabulary)
        for index in tqdm(range(arguments.start, arguments.start + arguments.count), unit="word", disable=None):
            image, label = splicer(np.random.default_rng([arguments.seed, index]))
            encoded = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
            writer.add(encoded.tobytes(), label)


def _cut(samples: SampleSet, pipeline: Pipeline) -> Iterator[CutWord]:
    """All photographed words that can be cut."""
    indices = iter(tqdm(range(len(samples)), desc="cut", unit="word", disable=None))
    while batch := list(islice(indices, BATCH)):
        usable = [sample for sample in map(samples.usable, batch) if sample is not None]
        yield from cut_words([sample.image for sample in usable], [sample.label for sample in usable], pipeline)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rectify-ocr splice",
        description="Make new words out of photographed ones: they are straightened, cut between letters where the "
        "recogniser finds these, and joined anew, to words of a vocabulary and to any others. A recogniser soon knows "
        "a few thousand photographs by heart; of their pieces it sees ever new words. Sample i depends on the "
        "photographs, the weights, the seed and i alone.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("photos", nargs="+", type=Path, metavar="LMDB", help="photographed words with their labels")
    add("out", type=Path, metavar="OUT", help="LMDB folder to write; must not exist yet")
    add("--count", type=positive, required=True, help="number of words")
    add("--seed", type=not_negative, default=0, help="seed of the whole set (default 0)")
    add("--start", type=not_negative, default=0, help="index of the first word (default 0)")
    add(
        "--hold-out",
        type=int,
        default=16,
        metavar="N",
        help="every N-th photograph is left out, as trainings with hold_out=N keep it for validation; 0 leaves out "
        "none (default 16)",
    )
    add("--weights", metavar="FILE|DIR", help="what finds words and letters (default: the shipped weights)")
    words = parser.add_mutually_exclusive_group()
    words.add_argument("--words", type=Path, metavar="FILE", help="word list, one a line, frequent words first")
    words.add_argument("--language", default=ENGLISH, metavar="CODE", help="of wordfreq's word lists (default en)")
    return parser
