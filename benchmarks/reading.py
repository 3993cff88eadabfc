"""CPU time of reading a decoded crop: this project (rectify and read), its parts, and recognisers that people use.

Each reads whole crops in batches as it prefers. Give it crops that the weights were not trained on: what they know is
read faster, since less is looked at again. What is not installed is left out; TRBA is a TPS-ResNet-BiLSTM-Attn
of 49.6 million parameters with random weights, built by recognizer/classic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import common
import cv2
import numpy as np

from recognizer import Pipeline
from recognizer.engines import load_engine
from recognizer.pipeline import Places
from rectify.conventions import to_pixels_of
from rectify.shape import QuickResizer


def main() -> None:
    parser = common.parser(__doc__, "python benchmarks/reading.py words.lmdb --count 64 --json reading.json")
    parser.add_argument("lmdb", nargs="+", metavar="LMDB", help="crops that were not trained on")
    parser.add_argument("--count", type=int, default=64, help="crops of each LMDB (default %(default)s)")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    images = common.crops(arguments.lmdb, arguments.count)
    pipeline = Pipeline()
    tasks: dict[str, Callable[[], object]] = {
        "rectify-ocr": lambda: pipeline(images),
        "of it rectifying": lambda: _rectified(pipeline, images),
        "rectifier alone": lambda: pipeline.rectifier and pipeline.rectifier(images),
    }
    for name in ("rapidocr", "easyocr", "tesseract"):
        try:
            tasks[name] = _asking(load_engine(name), images)
        except (ModuleNotFoundError, FileNotFoundError) as error:
            print(error)
    for name, make in (("tesserocr", _tesserocr), ("TRBA", _trba)):
        try:
            tasks[name] = make(images)
        except ModuleNotFoundError as error:
            print(error)
    seconds = common.interleaved(tasks, arguments.rounds, _cpu)
    per_crop = {name: [1e3 * s / len(images) for s in values] for name, values in seconds.items()}
    common.report(arguments, "reading", "ms CPU a crop", per_crop, crops=len(images))


def _cpu() -> float:
    """Processor seconds of this process and of the programs that it ran."""
    import os

    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _rectified(pipeline: Pipeline, images: list[Any]) -> list[Any]:
    """What comes before the recogniser: localization, basis product, remap. Tall crops are taken for upright: what
    tells their way up is reading."""
    rectifier, resizer = pipeline.rectifier, QuickResizer()
    assert rectifier is not None
    located = rectifier.locate(images, resizer, np.zeros(len(images), np.int64))
    unknown = np.zeros(len(images), bool)
    places = Places(images, to_pixels_of(located, images), unknown, rectifier.rows, rectifier.cols)
    return list(pipeline._flatten(places, resizer))


def _asking(engine: Callable[[list[Any]], object], images: list[Any]) -> Callable[[], object]:
    return lambda: engine(images)


def _tesserocr(images: list[Any]) -> Callable[[], object]:
    import tesserocr
    from PIL import Image

    api = tesserocr.PyTessBaseAPI(psm=tesserocr.PSM.SINGLE_WORD, path="/usr/share/tesseract-ocr/5/tessdata")

    def read() -> list[str]:
        texts = []
        for image in images:
            api.SetImage(Image.fromarray(image))
            texts.append(api.GetUTF8Text())
        return texts

    return read


def _trba(images: list[Any]) -> Callable[[], object]:
    import torch
    from classic import trba

    torch.set_num_threads(1)
    network = trba().eval()
    batch = np.stack([cv2.resize(image, (100, 32)) for image in images]).transpose(0, 3, 1, 2)
    pixels = torch.from_numpy(np.ascontiguousarray(batch))

    def read() -> object:
        with torch.inference_mode():
            return [network(pixels[start : start + 32]) for start in range(0, len(pixels), 32)]

    return read


if __name__ == "__main__":
    main()
