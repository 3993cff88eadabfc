"""How much the language should count when words are read: accuracy on held-back training words by its weights.

    python -m train.tune_language WEIGHTS LMDB...

WEIGHTS is what ``export`` or training wrote, or ``shipped``. Every 16th word of the LMDBs is read, those that the
trainings hold back; never give it a test set. Prints word accuracy in percent (36 characters) for a grid of the
weights of ``recognizer.language.WEIGHING``, which holds the choice, and with that the expected calibration error of the
confidences by temperature.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from data.loader import find_lmdbs
from data.reader import LmdbReader
from recognizer.language import WEIGHING, Choice, LanguageModel, Weighing
from recognizer.networks import load_language
from recognizer.pipeline import Pipeline
from recognizer.recognizer import BOTH, SURE
from train.calibration import expected_calibration_error
from train.crops import held_back
from train.metrics import normalize
from train.output import table

LANGUAGE = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
LETTER = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5)
HEARD = (0.0, 1.0, 2.0)
TEMPERATURES = (0.8, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", metavar="WEIGHTS")
    parser.add_argument("lmdb", nargs="+", metavar="LMDB", help="datasets to train on, or folders of them")
    options = parser.parse_args(argv)
    weights = None if options.weights == "shipped" else options.weights
    try:
        pipeline, language = Pipeline(weights, decoder=BOTH), load_language(weights)
        words = [word for folder in find_lmdbs(options.lmdb) for word in _words(LmdbReader(folder), pipeline, language)]
        if not words:
            raise ValueError("no words were held back in these datasets")
    except (ValueError, OSError) as error:
        parser.error(str(error))

    def accuracy(weighing: Weighing) -> str:
        right = [word.answer(weighing)[1] for word in words]
        return f"{100 * sum(right) / len(right):.2f}"

    def calibration(temperature: float) -> str:
        answers = [word.answer(replace(WEIGHING, temperature=temperature)) for word in words]
        return f"{expected_calibration_error(*zip(*answers, strict=True)):.4f}"

    unsure = sum(word.choice is not None for word in words)
    print(f"{len(words)} words, {unsure} of them weighed; language down, letter across")
    for heard in HEARD:
        rows = [[f"{a:g}", *(accuracy(Weighing(a, b, heard)) for b in LETTER)] for a in LANGUAGE]
        print(f"\nheard {heard:g}:\n\n{table(['', *(f'{letter:g}' for letter in LETTER)], rows)}")
    errors = [[f"{temperature:g}", calibration(temperature)] for temperature in TEMPERATURES]
    print(f"\n{table(['temperature', 'calibration error'], errors)}")


@dataclass(frozen=True)
class Word:
    """A held-back word."""

    choice: Choice | None
    """What it may read; None where it is read for sure."""
    rights: list[bool]
    """Which of that is right."""
    confidence: float
    """Of what is read for sure."""

    def answer(self, weighing: Weighing) -> tuple[float, bool]:
        """How sure the reading is, and whether it is right."""
        index, confidence = self.choice.best(weighing) if self.choice else (0, self.confidence)
        return confidence, self.rights[index]


def _words(reader: LmdbReader, pipeline: Pipeline, language: LanguageModel) -> Iterator[Word]:
    recognizer = pipeline.recognizer
    for crop in held_back(reader):
        assert crop.image is not None
        reading = pipeline.read(crop.image)
        if reading.confidence >= SURE:
            yield Word(None, [normalize(reading.text) == crop.label], reading.confidence)
            continue
        heard = tuple(recognizer.charset.encode(reading.text))
        (choice,) = language.choices(recognizer.looks(reading.crop[None]), [heard])
        rights = [normalize(recognizer.charset.decode(text)) == crop.label for text in choice.texts]
        yield Word(choice, rights, reading.confidence)


if __name__ == "__main__":
    main()
