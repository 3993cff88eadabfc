"""Rectify, then read: from crops as they come to texts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognizer.engines import Engine, ask, load_engine, margin_for
from recognizer.lexicon import Lexicon
from recognizer.recognizer import AUTO, Reading, Recognizer
from rectify.conventions import MARGIN, canonical_points, to_pixels
from rectify.images import Image, check_image
from rectify.orientation import TURNS, is_tall
from rectify.rectifier import Rectified, Rectifier
from rectify.shape import text_shape
from rectify.stream import load_image, stream
from rectify.warp import warp
from rectify.weights_io import find_weights

SIDES = (0, 1, 3)
"""Quarter turns to the left after which a tall crop is read: three readings tell more than its shape alone."""


Place = tuple[int, NDArray[np.float32]]
"""Where a word may lie: the index of the image, and control points (rows·cols, 2) in its pixels."""


@dataclass(frozen=True, eq=False)
class CropReading(Reading):
    """What a crop reads, and how it was flattened."""

    rectified: bool
    """False where the crop was read as it is."""
    control_points: NDArray[np.float32] = field(repr=False)
    """(rows·cols, 2) in pixels of the source: where the word was found, or the crop's corners without a rectifier."""
    rows: int
    cols: int
    size: tuple[int, int]
    """(width, height) of the source."""
    crop: Image = field(repr=False)
    """(H, W, 3) uint8, the flat word as the recogniser or engine saw it."""


class Pipeline:
    """Reads crops of one word each, with this project's recogniser or with another engine.

    An engine other than the built-in one sees each crop once, straightened at the resolution of its source:

        Pipeline(engine="tesseract").read(image).text
        Pipeline(engine=lambda crops: [(my_ocr(crop), 1.0) for crop in crops])

    Args:
        weights: a weight file or folder; None takes the shipped ones. Weights without a rectifier switch
            rectification off, weights without a recogniser are completed by the shipped one.
        rectify: False reads the crops as they are.
        threads: of each network.
        batch_size: words in one call of the recogniser or engine.
        decoder: of the built-in recogniser, see ``Recognizer``.
        lexicon: words that a text can be, for the built-in recogniser.
        any_rotation: True for crops that may be turned by any angle, upside down included, see ``Rectifier``. Without
            it only tall crops are taken for turned ones; the built-in recogniser reads those upright and along either
            side, and keeps the surest text.
        engine: who reads, instead of the built-in recogniser: a name in ``engines.ENGINES``, or any callable that
            takes RGB crops (H, W, 3) uint8 and returns a (text, confidence) for each.
        margin: space around the word in what another engine gets, see ``Rectifier``. None takes what suits the engine,
            see ``engines.margin_for``.

    Raises:
        FileNotFoundError, ValueError: no weights there, no such decoder or engine, or a lexicon for another engine.
        ModuleNotFoundError: the engine's package is not installed.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = None,
        rectify: bool = True,
        threads: int = 1,
        batch_size: int = 32,
        decoder: str = AUTO,
        engine: str | Engine | None = None,
        margin: tuple[float, float] | None = None,
        lexicon: Lexicon | None = None,
        any_rotation: bool = False,
    ) -> None:
        held = {"rectifier", "recognizer"} if weights is None else find_weights(weights).keys()
        self._engine = load_engine(engine, threads) if isinstance(engine, str) else engine
        builtin = self._engine is None
        if lexicon is not None and not builtin:
            raise ValueError("a lexicon is for the built-in recogniser, other engines know no lexicon")
        own = weights if "recognizer" in held else None
        self._recognizer = Recognizer(own, threads, decoder, lexicon) if builtin else None
        if self._recognizer and self._recognizer.preparation:
            self._engine = self._recognizer.answer  # it prepares crops itself, as another engine does
        usable = rectify and "rectifier" in held
        self.rectifier: Rectifier | None = None
        if usable:
            turned = any_rotation or (False if self._engine is None else None)
            suited = MARGIN if builtin else margin or margin_for(engine)
            self.rectifier = Rectifier(weights, threads, suited, any_rotation=turned)
        self.batch_size = batch_size

    @property
    def recognizer(self) -> Recognizer:
        """The built-in recogniser.

        Raises:
            AttributeError: another engine reads.
        """
        if self._recognizer is None:
            raise AttributeError("this pipeline has no recognizer of its own, another engine reads")
        return self._recognizer

    def read(self, image: Image) -> CropReading:
        """Reads one crop: uint8 RGB (H, W, 3), or grey (H, W) or (H, W, 1).

        Raises:
            TypeError, ValueError: not such an image (see ``rectify.images.check_image``).
        """
        return self([image])[0]

    def __call__(self, images: Sequence[Image], lexicons: Sequence[Lexicon] | None = None) -> list[CropReading]:
        """Reads many crops (see ``read``), in their order.

        Args:
            lexicons: for each crop the words that it can be, instead of the pipeline's own lexicon.
        """
        for image in images:
            check_image(image)
        if self._engine is None:
            return self._read_builtin(images, lexicons)
        return self._read_by(self._engine, images, lexicons)

    def stream(
        self,
        items: Iterable[Image | str | os.PathLike[str] | bytes],
        threads: int = 1,
        on_error: Callable[[Any, Exception], object] | None = None,
    ) -> Iterator[CropReading | None]:
        """Reads any number of crops in constant memory, in their order.

            for path, reading in zip(paths, pipeline.stream(paths, on_error=print)):
                ...

        Args:
            items: crops (see ``read``), paths of picture files, or the bytes of such files. They are taken, read and
                decoded a few hundred ahead of the networks.
            threads: that read and decode ahead.
            on_error: told of an item that cannot be read, and why; the item's reading is then None.

        Raises:
            TypeError: an item is none of these.
            ValueError: an item cannot be read and there is no ``on_error``; its message names a file.
        """

        def load(item: Image | str | os.PathLike[str] | bytes) -> Image:
            image = load_image(item)
            check_image(image)
            return image

        for entry in stream(items, load, self, threads):
            if entry.error is not None:
                if on_error is None:
                    raise entry.error
                on_error(entry.item, entry.error)
            yield entry.result

    def _read_by(
        self, engine: Engine, images: Sequence[Image], lexicons: Sequence[Lexicon] | None
    ) -> list[CropReading]:
        """Lets another engine read; each crop reaches it once."""
        readings = []
        for start in range(0, len(images), self.batch_size):
            batch = images[start : start + self.batch_size]
            if lexicons is not None:
                engine = partial(self.recognizer.answer, lexicons=lexicons[start : start + self.batch_size])
            flats = self.rectifier(batch) if self.rectifier else [_untouched(image) for image in batch]
            crops = [_rgb(flat.image) for flat in flats]
            for image, flat, crop, (text, confidence) in zip(batch, flats, crops, ask(engine, crops), strict=True):
                place = flat.rectified, flat.control_points, flat.rows, flat.cols
                readings.append(CropReading(text, confidence, *place, image.shape[1::-1], crop))
        return readings

    def _read_builtin(self, images: Sequence[Image], lexicons: Sequence[Lexicon] | None) -> list[CropReading]:
        places, rows, cols = self._locate(images)
        crops = self._sample(images, places, rows, cols)
        best: dict[int, CropReading] = {}
        known = None if lexicons is None else [lexicons[owner] for owner, _ in places]
        for (owner, points), crop, r in zip(places, crops, self._recognize(crops, known), strict=True):
            if owner not in best or _preferred(r, best[owner]):
                size = images[owner].shape[1::-1]
                rectified = self.rectifier is not None
                best[owner] = CropReading(r.text, r.confidence, rectified, points, rows, cols, size, crop)
        return [best[owner] for owner in range(len(images))]

    def _locate(self, images: Sequence[Image]) -> tuple[list[Place], int, int]:
        """Where words may lie, and the grid's rows and columns.

        A tall crop has three such places, upright and along either side, unless the rectifier knows which.
        """
        if self.rectifier is None:
            corners = canonical_points(2, 2)
            return [(owner, _pixels(corners, image)) for owner, image in enumerate(images)], 2, 2
        knows = self.rectifier.any_rotation
        turns = [
            (owner, turn)
            for owner, image in enumerate(images)
            for turn in (SIDES if is_tall(image) and not knows else (0,))
        ]
        located = self.rectifier.locate([np.rot90(images[owner], turn) for owner, turn in turns])
        places = [
            (owner, _pixels(points @ TURNS[turn], images[owner]))
            for (owner, turn), points in zip(turns, located, strict=True)
        ]
        return places, self.rectifier.rows, self.rectifier.cols

    def _sample(self, images: Sequence[Image], places: Sequence[Place], rows: int, cols: int) -> list[Image]:
        """The flat words (height, W, 3) that the recogniser reads, each straight from its source's pixels."""
        if not places:
            return []
        shapes = zip(*text_shape(np.stack([points for _, points in places]), rows, cols), strict=True)
        sizes = [(self.recognizer.width(*shape), self.recognizer.height) for shape in shapes]
        return [
            _rgb(warp(images[owner], points, rows, cols, size, keep=True))
            for (owner, points), size in zip(places, sizes, strict=True)
        ]

    def _recognize(self, crops: Sequence[Image], lexicons: Sequence[Lexicon] | None) -> list[Reading]:
        """Reads flat words in batches of one width, so that nothing is padded."""
        by_width: dict[int, list[int]] = {}
        for index, crop in enumerate(crops):
            by_width.setdefault(crop.shape[1], []).append(index)
        readings: dict[int, Reading] = {}
        for indices in by_width.values():
            for start in range(0, len(indices), self.batch_size):
                batch = indices[start : start + self.batch_size]
                known = None if lexicons is None else [lexicons[i] for i in batch]
                read = self.recognizer.read(np.stack([crops[i] for i in batch]), known)
                readings.update(zip(batch, read, strict=True))
        return [readings[i] for i in range(len(crops))]


def _untouched(image: Image) -> Rectified:
    """A crop as it is; the control points are its corners."""
    return Rectified(image, _pixels(canonical_points(2, 2), image), 2, 2, rectified=False)


def _rgb(image: Image) -> Image:
    """(H, W, 3) from (H, W), (H, W, 1) or (H, W, 3)."""
    image = image.reshape(*image.shape[:2], -1)
    return image if image.shape[2] == 3 else np.repeat(image, 3, axis=2)


def _preferred(reading: Reading, other: Reading) -> bool:
    """Whether the first is the better reading of one crop; any text is better than none."""
    return (bool(reading.text), reading.confidence) > (bool(other.text), other.confidence)


def _pixels(points: NDArray[np.floating], image: Image) -> NDArray[np.float32]:
    """Normalised points in pixels of the image."""
    return to_pixels(points, image.shape[1::-1]).astype(np.float32)
