"""Tesseract, English, each crop taken for a single word."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from recognizer.engines import Answer, Engine, require
from rectify.images import Image
from rectify.process_wide import ProcessWide

LANGUAGE = "eng"
_LIMIT = "OMP_THREAD_LIMIT"
SINGLE_WORD = "--psm 8"

_WORD_LEVEL = "5"
"""In Tesseract's table, the rows that hold a text."""


def load(threads: int = 1) -> Engine:
    """See ``engines.load_engine``."""
    return TesseractEngine(threads)


class TesseractEngine:
    """Reads crops in as few processes as there are threads, since each start of the program loads its weights anew."""

    def __init__(self, threads: int = 1) -> None:
        self._package = require("pytesseract", "tesseract")
        self._threads = threads
        try:
            languages = self._package.get_languages()
        except self._package.TesseractNotFoundError:
            raise FileNotFoundError(
                "the engine tesseract needs the program tesseract: apt-get install tesseract-ocr"
            ) from None
        if LANGUAGE not in languages:
            raise FileNotFoundError(
                "the engine tesseract needs Tesseract's English weights: apt-get install tesseract-ocr-eng"
            )

    def __call__(self, crops: Sequence[Image], /) -> list[Answer]:
        """See ``Engine``."""
        if not crops:
            return []
        share = -(-len(crops) // self._threads)
        parts = [crops[start : start + share] for start in range(0, len(crops), share)]
        with _one_thread_each, ThreadPoolExecutor(self._threads) as pool:
            return [answer for answers in pool.map(self._read, parts) for answer in answers]

    def _read(self, crops: Sequence[Image]) -> list[Answer]:
        """Reads crops with one start of the program: given a text file, it takes each line for a picture's path."""
        with tempfile.TemporaryDirectory(prefix="rectify-ocr-") as folder:
            paths = [os.path.join(folder, f"{number}.ppm") for number in range(len(crops))]
            for path, crop in zip(paths, crops, strict=True):
                cv2.imwrite(path, np.ascontiguousarray(crop[:, :, ::-1]))
            names = Path(folder, "crops.txt")
            names.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
            try:
                table: str = self._package.image_to_data(str(names), lang=LANGUAGE, config=SINGLE_WORD)
            except self._package.TesseractError as error:
                raise OSError(f"tesseract failed: {error}") from None
        return parse_table(table, len(crops))


def parse_table(table: str, pages: int) -> list[Answer]:
    """The texts and confidences in Tesseract's tab-separated table of so many pages; a page without words reads
    nothing. Several words of a page are joined by blanks, and their confidences averaged."""
    words: list[list[tuple[str, float]]] = [[] for _ in range(pages)]
    for line in table.split("\n")[1:]:
        cells = line.split("\t")
        if cells[0] == _WORD_LEVEL and len(cells) == 12 and cells[11].strip():
            words[int(cells[1]) - 1].append((cells[11].strip(), float(cells[10]) / 100))
    return [
        (" ".join(text for text, _ in page), sum(sure for _, sure in page) / len(page)) if page else ("", 0.0)
        for page in words
    ]


def _limit_threads() -> str | None:
    before = os.environ.get(_LIMIT)
    os.environ[_LIMIT] = "1"
    return before


def _restore_limit(before: str | None) -> None:
    if before is None:
        del os.environ[_LIMIT]
    else:
        os.environ[_LIMIT] = before


_one_thread_each = ProcessWide(_limit_threads, _restore_limit)
"""Inside, a started Tesseract uses one thread; its four would only wait for each other on a single word."""
