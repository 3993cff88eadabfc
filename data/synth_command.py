"""`rectify-ocr synth`: render words with known geometry into an LMDB."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Generator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from data.synth.render import Renderer, SyntheticWord
from data.synth.words import ENGLISH, SPLITS
from data.writer import LmdbWriter
from recognizer.charset import read_charset
from rectify.arguments import not_negative, positive

EXAMPLES = """examples:
  rectify-ocr synth words.lmdb --count 100000 --seed 1 --fonts ~/fonts
  rectify-ocr synth signs.lmdb --count 100000 --seed 1 --signs 1 --fonts ~/fonts        (nearly straight, as most words)
  rectify-ocr synth more.lmdb --count 100000 --seed 1 --start 100000 --fonts ~/fonts    (goes on where the first ended)
  rectify-ocr synth greek.lmdb --count 100000 --seed 1 --language el --charset-file greek.txt --fonts ~/fonts
  rectify-ocr synth test.lmdb --count 2000 --seed 2 --split unseen --fonts ~/fonts      (words and fonts kept for tests)

fonts: any folders with .ttf or .otf files. The Google fonts are on the npm registry, for instance
  npm install --ignore-scripts @expo-google-fonts/roboto @expo-google-fonts/lobster
and then --fonts node_modules
"""

_BLOCK = 64
"""Samples that a process renders and hands over together."""


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        synthesize(args)
    except (ValueError, OSError) as error:
        print(f"rectify-ocr: {error}", file=sys.stderr)
        return 2
    return 0


def synthesize(args: argparse.Namespace) -> None:
    """Render samples start … start + count - 1 into a new LMDB."""
    from tqdm import tqdm

    charset = read_charset(args.charset_file) if args.charset_file else args.charset
    settings = (args.fonts, args.seed, args.split, args.words, args.language, charset, args.signs)
    # A wrong setting is told here, once, and not by every process.
    renderer = Renderer(*settings)
    if renderer.words.left_out:
        print(
            f"rectify-ocr: {renderer.words.left_out} words have spaces or other characters and are left out",
            file=sys.stderr,
        )
    if renderer.fonts.left_out:
        print(f"rectify-ocr: {renderer.fonts.left_out} fonts lack letters and are left out", file=sys.stderr)
    indices = range(args.start, args.start + args.count)
    with LmdbWriter(args.out) as writer:
        for sample in tqdm(_render(settings, indices, args.processes), total=args.count, unit="word", disable=None):
            writer.add(sample.image, sample.label, sample.extra())


def _render(settings: tuple, indices: range, processes: int) -> Generator[SyntheticWord, None, None]:
    """Samples in the order of their indices, whatever the number of processes.

    The processes render blocks of samples in turn, each into a pipe of its own: one that waits for its turn is stopped
    by its full pipe, and one that dies closes it.
    """
    if processes == 1:
        yield from map(Renderer(*settings), indices)
        return
    blocks = [indices[start : start + _BLOCK] for start in range(0, len(indices), _BLOCK)]
    workers = [_start(settings, blocks[number::processes]) for number in range(min(processes, len(blocks)))]
    try:
        for number in range(len(blocks)):
            yield from _received(workers[number % processes].samples)
    finally:
        for worker in workers:
            worker.process.terminate()
            worker.process.join()
            worker.samples.close()


class _Worker(NamedTuple):
    """A process that renders, and the end of the pipe that its samples come from."""

    process: BaseProcess
    samples: Connection


def _start(settings: tuple, blocks: list[range]) -> _Worker:
    context = get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(settings, blocks, sending), daemon=True)
    process.start()
    sending.close()  # else the pipe would stay open when the process is gone
    return _Worker(process, receiving)


def _received(pipe: Connection) -> list[SyntheticWord]:
    """The next block of samples; raises the ValueError that came in its place."""
    try:
        samples = pipe.recv()
    except (EOFError, OSError):
        raise ValueError("a process that renders was killed, or ran out of memory; try fewer --processes") from None
    if isinstance(samples, ValueError):
        raise samples
    return samples


def _work(settings: tuple, blocks: list[range], sending: Connection) -> None:
    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that gathers what these render
    try:
        renderer = Renderer(*settings)
        for block in blocks:
            sending.send([renderer(index) for index in block])
    except BrokenPipeError:  # who gathers them was killed
        return
    except (ValueError, OSError) as error:
        sending.send(ValueError(str(error)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rectify-ocr synth",
        description="Render synthetic words, flat, curved, tilted and in perspective, into an LMDB that also holds "
        "their true geometry. Sample i depends on the seed and i alone, whatever the number of processes.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="LMDB folder to write; must not exist yet")
    parser.add_argument("--count", type=positive, required=True, help="number of words")
    parser.add_argument("--seed", type=not_negative, default=0, help="seed of the whole set (default 0)")
    parser.add_argument("--start", type=not_negative, default=0, help="index of the first word (default 0)")
    parser.add_argument("--fonts", nargs="+", type=Path, required=True, metavar="DIR", help="folders with fonts")
    words = parser.add_mutually_exclusive_group()
    words.add_argument("--words", type=Path, metavar="FILE", help="word list, one a line, frequent words first")
    words.add_argument(
        "--language", default=ENGLISH, metavar="CODE", help="of wordfreq's word lists (default en); needs a charset"
    )
    charset = parser.add_mutually_exclusive_group()
    charset.add_argument(
        "--charset",
        metavar="CHARACTERS",
        help="write these only: words with others, and fonts without one of the letters, are left out",
    )
    charset.add_argument("--charset-file", type=Path, metavar="FILE", help="the same, from a text file")
    parser.add_argument(
        "--split", choices=SPLITS, default="all", help="seen and unseen share no word and no font family (default all)"
    )
    parser.add_argument(
        "--signs",
        type=_share,
        default=0.0,
        metavar="SHARE",
        help="share of words as on most signs: nearly straight, tightly cropped, some in small capitals or solid "
        "letters (default 0)",
    )
    parser.add_argument("--processes", type=positive, default=2, help="processes that render (default 2)")
    return parser


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, got {text}")
    return value
