"""Rectify, then read: from crops as they come to texts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recognizer.engines import Engine, ask, framing_for, load_engine
from recognizer.lexicon import Lexicon
from recognizer.recognizer import AUTO, Reading, Recognizer
from recognizer.turns import find_ways
from rectify.conventions import canonical_points, to_pixels_of
from rectify.framing import Framing
from rectify.images import Image, check_image, check_images
from rectify.rectifier import Rectified, Rectifier
from rectify.shape import QuickResizer, Resize, text_shape
from rectify.stream import load_image, stream
from rectify.warp import warp_batch
from rectify.weights_io import find_weights

LINE = 0.3
"""Confidence from which a glance at several letters tells that they stand beside each other. One in a hundred rendered
words set letter above letter is read so."""


class Places(NamedTuple):
    """Where words lie."""

    images: list[Image]
    """N, one for each word."""
    points: NDArray[np.float32]
    """(N, rows·cols, 2) control points in pixels of those images."""
    lines: NDArray[np.bool_]
    """(N,) whether letters are known to stand beside each other there: a glance has read them."""
    rows: int
    cols: int


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
    """(H, W, 3) uint8, the flat word that the recogniser or engine was given."""


class Pipeline:
    """Reads crops of one word each, with this project's recogniser or with another engine.

    An engine other than the built-in one sees each crop once, straightened at the resolution of its source (once more
    where ``stream`` looks for the crop that it failed on):

        Pipeline(engine="tesseract").read(image).text
        Pipeline(engine=lambda crops: [(my_ocr(crop), 1.0) for crop in crops])

    Args:
        weights: a weight file or folder; None takes the shipped ones. Weights without a rectifier switch
            rectification off, weights without a recogniser are completed by the shipped one.
        rectify: False reads the crops as they are.
        threads: of each network.
        batch_size: words in one call of the recogniser or engine.
        decoder: of the built-in recogniser, see ``Recognizer``; another engine knows none.
        lexicon: words that a text can be, for the built-in recogniser.
        any_rotation: True for crops that may be turned by any angle, upside down included. Without it only tall crops
            are taken for turned ones. Where the rectifier's network for quarter turns leaves a doubt, the built-in
            recogniser glances at the word each way up with its CTC head, whoever reads it then.
        engine: who reads, instead of the built-in recogniser: a name in ``engines.ENGINES``, or any callable that
            takes RGB crops (H, W, 3) uint8 and returns a (text, confidence) for each. ``none`` reads nothing, for
            whoever only wants to ``straighten``.
        framing: how words are cut out for another engine. None takes what suits it, see ``engines.framing_for``.

    Raises:
        FileNotFoundError, ValueError: no weights there, no such decoder or engine, no batch size, or what only one
            kind of reader can use for the other: a lexicon, a decoder, a framing.
        TypeError: a lexicon that is not many words.
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
        framing: Framing | None = None,
        lexicon: Lexicon | Sequence[str] | None = None,
        any_rotation: bool = False,
    ) -> None:
        self._made_from = weights, rectify, threads, batch_size, decoder, engine, framing, lexicon, any_rotation
        for name, value in (("batch_size", batch_size), ("threads", threads)):
            if value < 1:
                raise ValueError(f"{name} is at least 1, got {value}")
        held = {"rectifier", "recognizer"} if weights is None else find_weights(weights).keys()
        if not held & {"rectifier", "recognizer"}:
            raise ValueError(f"{weights}: holds neither a rectifier nor a recogniser, but {', '.join(sorted(held))}")
        self._engine = load_engine(engine, threads) if isinstance(engine, str) else engine
        builtin = self._engine is None
        if lexicon is not None and not builtin:
            raise ValueError("a lexicon is for the built-in recogniser, other engines know no lexicon")
        if decoder != AUTO and not builtin:
            raise ValueError(f"decoder {decoder!r} is for the built-in recogniser, other engines have their own")
        if framing is not None and builtin:
            raise ValueError("a framing is for another engine, the built-in recogniser cuts words out in its own way")
        self._own_weights, self._threads = weights if "recognizer" in held else None, threads
        self._recognizer = Recognizer(self._own_weights, threads, decoder, lexicon) if builtin else None
        if self._recognizer and self._recognizer.preparation:
            self._engine = self._recognizer.answer  # it prepares crops itself, as another engine does
        usable = rectify and "rectifier" in held
        if any_rotation and not usable:
            raise ValueError("any rotation is found by the rectifier: let it rectify, with weights that hold one")
        self.rectifier: Rectifier | None = None
        self.lacks_rectifier: str | None = None
        """Why crops are read as they are though they were to be rectified: a line for the user."""
        if rectify and not usable and not (self._recognizer and self._recognizer.rectifies):
            self.lacks_rectifier = f"{weights} holds no rectifier: crops are read as they are"
        if usable:
            suited = Framing() if builtin else framing or framing_for(engine)
            self.rectifier = Rectifier(weights, threads, **asdict(suited), any_rotation=any_rotation or None)
        self.batch_size = batch_size

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled, for other processes, as what it was made from: networks and engine are loaded anew there."""
        return type(self), self._made_from

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

    def __call__(
        self, images: Sequence[Image], lexicons: Sequence[Lexicon | Sequence[str]] | None = None
    ) -> list[CropReading]:
        """Reads many crops (see ``read``), in their order.

        Args:
            lexicons: for each crop the words that it can be, instead of the pipeline's own lexicon.

        Raises:
            TypeError, ValueError: not images (see ``read``), or lexicons that are none, are not as many, or are for
                another engine.
        """
        check_images(images, "read(image)")
        if lexicons is not None and self._recognizer is None:
            raise ValueError("lexicons are for the built-in recogniser, other engines know none")
        if lexicons is not None and len(lexicons) != len(images):
            raise ValueError(f"{len(lexicons)} lexicons for {len(images)} crops")
        known = None if lexicons is None else [Lexicon.of(words) for words in lexicons]
        if self._engine is None:
            return self._read_builtin(images, known)
        return self._read_by(self._engine, images, known)

    def turns(self, images: Sequence[Image]) -> NDArray[np.int64]:
        """By how many quarter turns to the left each crop is turned (N,), 0..3, as it is read.

        Raises:
            TypeError, ValueError: not images (see ``read``).
        """
        check_images(images, "turns([image])")
        if self.rectifier is None:
            return np.zeros(len(images), np.int64)
        return self._upright(images, self.rectifier, None, QuickResizer())[1]

    def locate(self, images: Sequence[Image]) -> Places:
        """Where the word of each crop lies, in their order, as it is read: its control points run from its beginning to
        its end, whichever way it is turned. Without a rectifier they are the crop's corners.

        Raises:
            TypeError, ValueError: not images (see ``read``).
        """
        check_images(images, "locate([image])")
        return self._locate(images, None, QuickResizer())

    def straighten(self, images: Sequence[Image]) -> list[Rectified]:
        """The crops as another engine gets them, in their order and at the resolution of their source; nothing is read
        but what tells the way up.

        Raises:
            TypeError, ValueError: not images (see ``read``).
        """
        check_images(images, "straighten([image])")
        if self.rectifier is None:
            return [_untouched(image) for image in images]
        places = self.locate(images)
        words = zip(images, places.points, places.lines, strict=True)
        return [self.rectifier.cut_out(image, points, is_line=bool(line)) for image, points, line in words]

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

        An exception of ``items`` itself goes through as it is, and what was loaded before it is not read.

        Raises:
            TypeError: an item is none of these, or a single path instead of several.
            ValueError: an item cannot be read and there is no ``on_error``; its message names a file.
        """

        if isinstance(items, (str, bytes)):
            raise TypeError("stream takes many paths or pictures; give a single one in a list")

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
            flats = self.straighten(batch)
            crops = [_rgb(flat.image) for flat in flats]
            for image, flat, crop, (text, confidence) in zip(batch, flats, crops, ask(engine, crops), strict=True):
                place = flat.rectified, flat.control_points, flat.rows, flat.cols
                readings.append(CropReading(text, confidence, *place, image.shape[1::-1], crop))
        return readings

    def _read_builtin(self, images: Sequence[Image], lexicons: Sequence[Lexicon] | None) -> list[CropReading]:
        resizer = QuickResizer()
        places = self._locate(images, lexicons, resizer)
        found = self._read_places(places, lexicons, self.recognizer.read, resizer)
        rectified = self.rectifier is not None
        readings = []
        for image, points, (reading, crop) in zip(images, places.points, found, strict=True):
            place = rectified, points, places.rows, places.cols
            readings.append(CropReading(reading.text, reading.confidence, *place, image.shape[1::-1], crop))
        return readings

    def _read_places(
        self,
        places: Places,
        lexicons: Sequence[Lexicon] | None,
        read: Callable[[NDArray[np.uint8], Sequence[Lexicon] | None], list[Reading]],
        resizer: Resize,
    ) -> list[tuple[Reading, Image]]:
        """What each place reads, with a lexicon for each, and the flat word there."""
        found: dict[int, tuple[Reading, Image]] = {}
        for indices, flats in self._flatten(places, resizer):
            known = None if lexicons is None else [lexicons[index] for index in indices]
            found.update(zip(indices, zip(read(flats, known), flats, strict=True), strict=True))
        return [found[index] for index in range(len(places.images))]

    def _locate(self, images: Sequence[Image], lexicons: Sequence[Lexicon] | None, resizer: Resize) -> Places:
        """Where the word of each crop lies, from its beginning to its end."""
        if self.rectifier is None:
            corners = np.broadcast_to(canonical_points(2, 2), (len(images), 4, 2))
            return Places(list(images), to_pixels_of(corners, images), np.zeros(len(images), bool), 2, 2)
        return self._upright(images, self.rectifier, lexicons, resizer)[0]

    def _upright(
        self, images: Sequence[Image], rectifier: Rectifier, lexicons: Sequence[Lexicon] | None, resizer: Resize
    ) -> tuple[Places, NDArray[np.int64]]:
        """Where the word of each crop lies, and by how many quarter turns to the left it is turned (N,)."""
        ways = find_ways(images, rectifier)
        if self._recognizer is not None:
            ways = ways.without_floors()
        seen = [images[owner] for owner in ways.owners.tolist()]
        points = to_pixels_of(rectifier.locate(seen, resizer, ways.turns), seen)
        places = Places(seen, points, np.zeros(len(seen), bool), rectifier.rows, rectifier.cols)
        confidences = np.ones(len(seen))
        if len(doubtful := ways.doubtful()):
            known = None if lexicons is None else [lexicons[owner] for owner in ways.owners[doubtful].tolist()]
            glances = self._glance(places, doubtful, known, resizer)
            confidences[doubtful] = [reading.confidence if reading.text else 0 for reading in glances]
            places.lines[doubtful] = [len(reading.text) > 1 and reading.confidence >= LINE for reading in glances]
        best = ways.best(confidences)
        found = places._replace(images=list(images), points=points[best], lines=places.lines[best])
        return found, ways.turns[best]

    def _glance(
        self, places: Places, which: NDArray[np.int64], lexicons: Sequence[Lexicon] | None, resizer: Resize
    ) -> list[Reading]:
        """What a glance reads in some of the places, with a lexicon for each."""
        images = [places.images[place] for place in which]
        asked = places._replace(images=images, points=places.points[which], lines=places.lines[which])
        return [reading for reading, _ in self._read_places(asked, lexicons, self._glancer.glance, resizer)]

    @cached_property
    def _glancer(self) -> Recognizer:
        """A recogniser of this project's kind, which tells the way up."""
        recognizer = self._recognizer or Recognizer(self._own_weights, self._threads, "ctc")
        return recognizer if recognizer.preparation is None else Recognizer(None, self._threads, "ctc")

    def _flatten(self, places: Places, resizer: Resize) -> Iterator[tuple[list[int], NDArray[np.uint8]]]:
        """The flat words that the recogniser reads, each straight from its source's pixels.

        Yields:
            The indices of n places, and their words (n, height, W, 3): batches of one width, so that nothing is padded.
        """
        recognizer = self._glancer
        by_width: dict[int, list[int]] = {}
        shapes = text_shape(places.points, places.rows, places.cols)
        for index, (length, height) in enumerate(zip(*shapes, strict=True)):
            by_width.setdefault(recognizer.width(length, height), []).append(index)
        for width, group in by_width.items():
            for start in range(0, len(group), self.batch_size):
                batch = group[start : start + self.batch_size]
                sources = [places.images[index] for index in batch]
                size = width, recognizer.height
                yield batch, warp_batch(sources, places.points[batch], places.rows, places.cols, size, resizer=resizer)


def _untouched(image: Image) -> Rectified:
    """A crop as it is; the control points are its corners."""
    return Rectified(image.copy(), to_pixels_of(canonical_points(2, 2)[None], [image])[0], 2, 2, rectified=False)


def _rgb(image: Image) -> Image:
    """(H, W, 3) from (H, W), (H, W, 1) or (H, W, 3)."""
    image = image.reshape(*image.shape[:2], -1)
    return image if image.shape[2] == 3 else np.repeat(image, 3, axis=2)
