"""Fits the temperature of a head's confidences on held-back training words and stores it in the weights.

    python -m train.calibrate WEIGHTS LMDB... [--decoder attention] [--dry-run]

WEIGHTS is what ``export`` or training wrote, or ``shipped``. Every 16th word of the LMDBs is read, those that the
trainings hold back (``hold_out: 16``); never give it a test set. Prints the expected calibration error on these words
before and after, and that of each half with the temperature fitted on the other half.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data.loader import find_lmdbs
from data.reader import LmdbReader
from recognizer.pipeline import Pipeline
from recognizer.recognizer import TEMPERATURE as KEY
from rectify.weights_io import METADATA_KEY, WeightFile, find_weights, read_weight_file
from train.calibration import expected_calibration_error, fit_temperature
from train.crops import held_back
from train.metrics import normalize

KINDS = {"ctc": ("recognizer",), "attention": ("attention", "spelling")}
"""Which weights hold the temperature of a decoder; of several, all that are there."""

Verdicts = list[tuple[float, bool]]
"""Confidence of each reading and whether it is right."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", metavar="WEIGHTS")
    parser.add_argument("lmdb", nargs="+", metavar="LMDB", help="datasets to train on, or folders of them")
    parser.add_argument("--decoder", choices=list(KINDS), default="ctc", help="whose confidences (default %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="print only")
    options = parser.parse_args(argv)
    try:
        files = _files(options.weights, KINDS[options.decoder])
        weights = None if options.weights == "shipped" else options.weights
        pipeline = Pipeline(weights, decoder=options.decoder)
        verdicts = [v for folder in find_lmdbs(options.lmdb) for v in _read(LmdbReader(folder), pipeline)]
        if len(verdicts) < 2:
            raise ValueError("no words were held back in these datasets")
    except (ValueError, OSError) as error:
        parser.error(str(error))
    stored = float(files[0].config.get(KEY, 1.0))
    # Undo the temperature that the weights already have.
    raw = [(confidence**stored, right) for confidence, right in verdicts]
    temperature = _fit(raw)
    print(f"{len(raw)} words, {100 * np.mean([right for _, right in raw]):.1f} % right")
    print(f"expected calibration error: {_error(raw, stored):.4f} before (temperature {stored:.3f})")
    print(f"{_error(raw, temperature):.4f} after (temperature {temperature:.3f})")
    print(f"{_crossed(raw):.4f} with the temperature of the other half")
    if not options.dry_run:
        for file in files:
            store(file, temperature)
    return 0


def _read(reader: LmdbReader, pipeline: Pipeline) -> Iterator[tuple[float, bool]]:
    for crop in held_back(reader):
        assert crop.image is not None
        reading = pipeline.read(crop.image)
        yield reading.confidence, normalize(reading.text) == crop.label


def _fit(verdicts: Verdicts) -> float:
    return fit_temperature(*zip(*verdicts, strict=True))


def _error(verdicts: Verdicts, temperature: float) -> float:
    confidences, right = zip(*verdicts, strict=True)
    return expected_calibration_error([confidence ** (1 / temperature) for confidence in confidences], right)


def _crossed(verdicts: Verdicts) -> float:
    """The error with words of even and of odd places fitted on each other."""
    halves = verdicts[::2], verdicts[1::2]
    cured = []
    for half, other in (halves, halves[::-1]):
        temperature = _fit(other)
        cured += [(confidence ** (1 / temperature), right) for confidence, right in half]
    return _error(cured, 1.0)


def _files(weights: str, kinds: Sequence[str]) -> list[WeightFile]:
    """Every file of these kinds in a folder, or the one named; at least one of the first kind, which comes first."""
    place = Path(__file__).parents[1] / "recognizer" / "weights" if weights == "shipped" else Path(weights)
    find_weights(place)  # a clear error for what holds none
    paths = [*sorted(place.glob("*.onnx")), *sorted(place.glob("*.safetensors"))] if place.is_dir() else [place]
    files = [file for file in map(read_weight_file, paths) if file.kind in kinds]
    files.sort(key=lambda file: kinds.index(file.kind))
    if not files or files[0].kind != kinds[0]:
        raise ValueError(f"{weights}: holds no {kinds[0]}")
    return files


def store(file: WeightFile, temperature: float) -> None:
    """Write the temperature into what a weight file says of itself; its weights stay as they are, bit for bit."""
    text = json.dumps({**file.config, KEY: round(temperature, 4)})
    beside = file.path.with_name(f".{file.path.name}.{os.getpid()}")
    try:
        if file.onnx:
            _write_onnx(file.path, beside, text)
        else:
            _write_safetensors(file.path, beside, text)
        beside.chmod(0o644)
        os.replace(beside, file.path)
    finally:
        beside.unlink(missing_ok=True)


def _write_onnx(source: Path, target: Path, text: str) -> None:
    import onnx

    model = onnx.load(source)
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            entry.value = text
    onnx.save(model, target)


def _write_safetensors(source: Path, target: Path, text: str) -> None:
    """The header of the file is JSON, its length before it; tensors are found from the header's end."""
    data = source.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"][METADATA_KEY] = text
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)  # tensors stay aligned
    target.write_bytes(len(encoded).to_bytes(8, "little") + encoded + data[8 + length :])


if __name__ == "__main__":
    sys.exit(main())
