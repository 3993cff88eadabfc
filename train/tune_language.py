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
from recognizer.recognizer import BOTH, CERTAIN, DECIDED, LEGIBLE, Recognizer
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
        pipeline, ctc, language = (
            Pipeline(weights, decoder=BOTH),
            Recognizer(weights, decoder="ctc"),
            load_language(weights),
        )
        readers = map(LmdbReader, find_lmdbs(options.lmdb))
        words = [word for reader in readers for word in _words(reader, pipeline, ctc, language)]
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

    weighed = sum(bool(word.choices) for word in words)
    print(f"{len(words)} words, {weighed} of them weighed; language down, letter across")
    for heard in HEARD:
        rows = [[f"{a:g}", *(accuracy(Weighing(a, b, heard)) for b in LETTER)] for a in LANGUAGE]
        print(f"\nheard {heard:g}:\n\n{table(['', *(f'{letter:g}' for letter in LETTER)], rows)}")
    errors = [[f"{temperature:g}", calibration(temperature)] for temperature in TEMPERATURES]
    print(f"\n{table(['temperature', 'calibration error'], errors)}")


@dataclass(frozen=True)
class Word:
    """A held-back word."""

    choices: list[tuple[Choice, list[bool]]]
    """What it may read, and which of that is right: by the first look, then by all."""
    read: tuple[float, bool] = (0.0, False)
    """How sure it is read without a language, and whether right, where it is not weighed."""

    def answer(self, weighing: Weighing) -> tuple[float, bool]:
        """How sure the reading is, and whether it is right."""
        answer = self.read
        for choice, rights in self.choices:
            index, confidence = choice.best(weighing)
            answer = confidence, rights[index]
            if confidence >= DECIDED:
                break
        return answer


def _words(reader: LmdbReader, pipeline: Pipeline, ctc: Recognizer, language: LanguageModel) -> Iterator[Word]:
    recognizer = pipeline.recognizer
    for crop in held_back(reader):
        assert crop.image is not None
        reading = pipeline.read(crop.image)
        flat = reading.crop[None]
        first = ctc.read(flat)[0]
        if first.confidence >= CERTAIN or reading.confidence < LEGIBLE:
            yield Word([], (reading.confidence, normalize(reading.text) == crop.label))
            continue
        looks = recognizer.looks(flat)
        heard, at_first = (tuple(recognizer.charset.encode(one.text)) for one in (reading, first))
        choices = language.choices(looks[:1], [at_first]) if first.confidence >= LEGIBLE else []
        choices += language.choices(looks, [heard], choices)
        yield Word(
            [
                (choice, [normalize(recognizer.charset.decode(text)) == crop.label for text in choice.texts])
                for choice in choices
            ]
        )


if __name__ == "__main__":
    main()
