"""Trains the language network, which tells words from strings of letters.

    python -m train.language OUT [--language CODE... | --words FILE] [--charset-file FILE] [--real LMDB...] [--steps N]

It learns texts alone: those that ``rectify-ocr synth`` writes, words by their frequency in running text, and with
``--real`` the labels of photographed words, of which every 16th is held back as in the other trainings. OUT receives
the weights, and may be the folder of a recogniser's run; ``rectify-ocr export OUT DIR`` makes the ONNX files.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from unicodedata import normalize

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from data.loader import find_lmdbs
from data.reader import LmdbReader
from data.synth.words import ENGLISH, WordSource
from recognizer.charset import ASCII94, Charset, read_charset
from recognizer.language import END
from recognizer.language_network import LanguageConfig, LanguageNetwork
from train.crops import HOLD_OUT
from train.losses import padded
from train.weights import SUFFIX, save_network

SHARES = (0.45, 0.35, 0.2)
"""Of the texts of synthetic words, of words by their frequency in running text, and of real labels, in a batch."""
LONGEST = 25
AT_ONCE = 512
"""Texts that are measured together."""


class Texts:
    """Batches of texts, a function of the seed alone.

    Args:
        sources: of words, equally often; each by falling frequency.
        real: labels; none leaves their share to the others.
    """

    def __init__(
        self, sources: Sequence[WordSource], real: Sequence[str], charset: Charset, batch_size: int, seed: int
    ) -> None:
        self._sources, self._real, self._charset = sources, real, charset
        self._batch_size, self._seed = batch_size, seed
        # Zipf: the n-th word is about as frequent as 1 / n; a little flatter, for signs name more than they say.
        weights = [1.0 / (20 + np.arange(len(source.words))) for source in sources]
        self._ends = [np.cumsum(own / own.sum()) for own in weights]

    def __call__(self, step: int) -> Tensor:
        """(N, L) classes, filled up with ``END``."""
        rng = np.random.default_rng([self._seed, step])
        kinds = np.searchsorted(np.cumsum(SHARES), rng.random(self._batch_size))
        texts = [self._charset.keep(self._draw(kind, rng))[:LONGEST] for kind in kinds.tolist()]
        return padded([self._charset.encode(text) for text in texts], END)

    def _draw(self, kind: int, rng: np.random.Generator) -> str:
        if kind == 2 and self._real:
            return self._real[int(rng.integers(len(self._real)))]
        which = int(rng.integers(len(self._sources)))
        source, ends = self._sources[which], self._ends[which]
        if kind == 1:
            place = int(np.searchsorted(ends, rng.random()))
            return source.dress(source.words[min(place, len(ends) - 1)], rng)
        return source.draw(rng)


def real_labels(folders: Sequence[str | Path], held_out: bool) -> list[str]:
    """The labels of photographed words, every ``HOLD_OUT``-th of a dataset or the others."""
    readers = [LmdbReader(path) for path in find_lmdbs(list(folders))]
    return [normalize("NFC", r.label(i)) for r in readers for i in range(len(r)) if (i % HOLD_OUT == 0) == held_out]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = _parser()
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    try:
        written = read_charset(args.charset_file) if args.charset_file else None
        charset = Charset(written or ASCII94)
        sources = [WordSource("all", args.words, language, written) for language in args.language]
        learned, held_out = (
            [kept for kept in map(charset.keep, real_labels(args.real, held)) if kept] for held in (False, True)
        )
        args.out.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    network = LanguageNetwork(LanguageConfig(charset.characters, units=args.units))
    train(network, Texts(sources, learned, charset, args.batch_size, args.seed), args.steps)
    description = {"format": 1, "kind": "language", **asdict(network.config)}
    save_network(args.out / f"language{SUFFIX}", network.eval(), description, torch.float32)
    if held_out:
        print(f"held-back labels: {bits(network, [charset.encode(text) for text in held_out]):.3f} bits a letter")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("out", type=Path, metavar="OUT")
    vocabulary = parser.add_mutually_exclusive_group()
    vocabulary.add_argument(
        "--language", nargs="+", default=[ENGLISH], metavar="CODE", help=f"of wordfreq's lists (default {ENGLISH})"
    )
    vocabulary.add_argument("--words", type=Path, metavar="FILE", help="word list, one a line, frequent words first")
    add("--charset-file", type=Path, metavar="FILE", help="characters (default: printable ASCII)")
    add("--real", nargs="*", default=[], metavar="LMDB", help="photographed words, for their labels")
    add("--steps", type=int, default=8000, help="batches (default %(default)s)")
    add("--batch-size", type=int, default=512, help="texts in a batch (default %(default)s)")
    add("--units", type=int, default=LanguageConfig.units, help="of the LSTM (default %(default)s)")
    add("--threads", type=int, default=2, help="of torch (default %(default)s)")
    add("--seed", type=int, default=1, help="of weights and texts (default %(default)s)")
    return parser


@torch.inference_mode()
def bits(network: LanguageNetwork, texts: Sequence[Sequence[int]]) -> float:
    """Cross-entropy of texts in bits a letter, ends counted as letters."""
    parts = (texts[start : start + AT_ONCE] for start in range(0, len(texts), AT_ONCE))
    nats = -sum(float(network(padded(part, END)).sum()) for part in parts)
    return nats / sum(len(text) + 1 for text in texts) / math.log(2)


def train(network: LanguageNetwork, texts: Texts, steps: int, rate: float = 4e-3) -> None:
    """Adam, with a cosine to zero."""
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    bar = tqdm(range(steps), unit="step", disable=None)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 100) * (1 + math.cos(math.pi * step / steps)) / 2
        batch = texts(step)
        loss = -network(batch).sum() / ((batch != END).sum() + len(batch))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}")


if __name__ == "__main__":
    main()
