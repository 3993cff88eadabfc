"""How much the language should count when words are read: accuracy on held-back training words by its weights.

    python -m train.tune_language WEIGHTS LMDB... [--unseen RENDERED...]

WEIGHTS is what ``export`` or training wrote, or ``shipped``. Every 16th word of the LMDBs is read, those that the
trainings hold back; never give it a test set. Prints word accuracy in percent (36 characters) for a grid of the
weights of ``recognizer.language.WEIGHING``, which holds the choice, and with that the expected calibration error of the
confidences by temperature. Then, of each set, accuracy by the probability from which the first look decides
(``recognizer.recognizer.DECIDED``), and how many words are looked at again. Sets after ``--unseen``, rendered with
fonts that no training sees (``synth --split unseen``), are read whole, for that alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data.loader import find_lmdbs
from data.reader import LmdbReader
from recognizer.language import WEIGHING, Choice, Weighing
from recognizer.networks import load_language
from recognizer.pipeline import Pipeline
from recognizer.recognizer import ATTENTION, CERTAIN, DECIDED, LEGIBLE, Recognizer
from train.calibration import expected_calibration_error
from train.crops import HOLD_OUT, held_back
from train.metrics import normalize, percent
from train.output import number, table

LANGUAGE = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
LETTER = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5)
HEARD = (0.0, 1.0, 2.0)
TEMPERATURES = (0.8, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0)
DECIDING = (0.0, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 1.0)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", metavar="WEIGHTS")
    parser.add_argument("lmdb", nargs="+", metavar="LMDB", help="datasets to train on, or folders of them")
    parser.add_argument("--unseen", nargs="+", default=[], metavar="LMDB", help="sets that no training sees")
    options = parser.parse_args(argv)
    weights = None if options.weights == "shipped" else options.weights
    try:
        reads = _Reads(weights)
        words = [word for folder in find_lmdbs(options.lmdb) for word in reads.words(folder, HOLD_OUT)]
        if not words:
            raise ValueError("no words were held back in these datasets")
        unseen = [(str(path), list(reads.words(path, 1))) for path in find_lmdbs(options.unseen)]
    except (ValueError, OSError) as error:
        parser.error(str(error))
    _print_weighings(words)
    for name, those in [("held back", words), *unseen]:
        _print_deciding(name, those)


def _print_weighings(words: list[Word]) -> None:
    def accuracy(weighing: Weighing) -> str:
        return number(percent([word.answer(weighing)[1] for word in words]), 2)

    def calibration(temperature: float) -> str:
        answers = [word.answer(replace(WEIGHING, temperature=temperature)) for word in words]
        return f"{expected_calibration_error(*zip(*answers, strict=True)):.4f}"

    weighed = sum(bool(word.choices) for word in words)
    print(f"{len(words)} words, {weighed} of them weighed; language down, letter across")
    for heard in HEARD:
        rows = [[f"{a:g}", *(accuracy(Weighing(a, b, heard)) for b in LETTER)] for a in LANGUAGE]
        print(f"\nheard {heard:g}:\n\n{table(['', *(f'{letter:g}' for letter in LETTER)], rows)}")
    errors = [[f"{temperature:g}", calibration(temperature)] for temperature in TEMPERATURES]
    print(f"\n{table(['temperature', 'calibration error'], errors)}")


def _print_deciding(name: str, words: list[Word]) -> None:
    rows = []
    for decided in DECIDING:
        accuracy = percent([word.answer(WEIGHING, decided)[1] for word in words])
        again = percent([word.is_looked_at_again(decided) for word in words])
        rows.append([f"{decided:g}", number(accuracy, 2), number(again, 2)])
    print(f"\n{table([f'{name}, decided from', 'accuracy %', 'looked at again %'], rows)}")


@dataclass(frozen=True)
class Word:
    """A held-back word."""

    choices: list[tuple[Choice, list[bool]]]
    """What it may read, and which of that is right: by the first look, then by all."""
    read: tuple[float, bool] = (0.0, False)
    """How sure it is read without a language, and whether right, where it is not weighed."""

    def answer(self, weighing: Weighing, decided: float = DECIDED) -> tuple[float, bool]:
        """How sure the reading is, and whether it is right, if the first look decides from a probability on."""
        answer = self.read
        for choice, rights in self.choices:
            index, confidence = choice.best(weighing)
            answer = confidence, rights[index]
            if confidence >= decided:
                break
        return answer

    def is_looked_at_again(self, decided: float) -> bool:
        """Whether the first look does not decide, if it does from a probability on."""
        alone = len(self.choices) == 1  # nothing was legible at the first look
        return alone or (bool(self.choices) and self.choices[0][0].best(WEIGHING)[1] < decided)


class _Reads:
    """What words may read, by each head and the language."""

    def __init__(self, weights: str | None) -> None:
        self._pipeline, self._attention = Pipeline(weights, decoder="ctc"), Recognizer(weights, decoder=ATTENTION)
        self._language = load_language(weights)

    def words(self, folder: Path, every: int) -> Iterator[Word]:
        """Each ``every``-th one of an LMDB."""
        recognizer = self._pipeline.recognizer
        for crop in held_back(LmdbReader(folder), every):
            assert crop.image is not None
            first = self._pipeline.read(crop.image)
            flat = first.crop[None]
            surest = max(first, self._attention.read(flat)[0], key=lambda one: one.confidence)
            if first.confidence >= CERTAIN or surest.confidence < LEGIBLE:
                reading = first if first.confidence >= CERTAIN else surest
                yield Word([], (reading.confidence, normalize(reading.text) == crop.label))
                continue
            looks = recognizer.looks(flat)
            heard, at_first = (tuple(recognizer.charset.encode(one.text)) for one in (surest, first))
            choices = self._language.choices(looks[:1], [at_first]) if first.confidence >= LEGIBLE else []
            choices += self._language.choices(looks, [heard], choices)
            texts = [[recognizer.charset.decode(text) for text in choice.texts] for choice in choices]
            rights = [[normalize(text) == crop.label for text in those] for those in texts]
            yield Word(list(zip(choices, rights, strict=True)))


if __name__ == "__main__":
    main()
