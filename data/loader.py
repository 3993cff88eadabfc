"""Training batches, decoded, augmented and packed; which samples a batch holds depends on (seed, step) alone."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from data.augment import Augmentation
from data.decode import decode
from data.quads import QUADS, annotated_outline, read_quads
from data.reader import LmdbReader, find_lmdbs
from data.slots import AHEAD, Empty, Lent, Slots
from data.synth.geometry import WordGeometry, control_points
from recognizer.charset import ASCII94, Charset
from recognizer.network import RecognizerConfig
from rectify.conventions import Points
from rectify.network import LocalizationConfig
from rectify.shape import resize, thumbnail

SOURCE_AREA = 64 * 192
"""Most pixels of a crop in a batch; at the recogniser's 32 rows, more would only be sampled over."""
ROUNDING = 1.03
"""By how much the rounded sides of rendered crops may go beyond that."""
MAX_SIDE = 512
READS_MAPPED = 1 << 15
"""Reads after which a dataset is opened anew (see ``LmdbReader``), by each worker: what it has mapped counts as its
memory, though the system can take it back."""
LEAST_SHARED = 1 << 17
"""Bytes of a tensor outside of a slot that a worker hands over in shared memory of its own."""
NOTHING = torch.empty(0, dtype=torch.uint8)
OUTLINE = 9
"""Points along the top and along the bottom edge of an annotated word's outline."""


@dataclass(frozen=True)
class Source:
    """Where a part of every batch comes from."""

    paths: tuple[str, ...]
    """LMDB folders, or folders that hold LMDB folders."""
    share: float = 1.0
    """Part of every batch, relative to the other sources'; 0 leaves the source out."""
    augment: bool = False
    """For photographs; rendered words come with their own variety."""
    hold_out: int = 0
    """Every n-th sample, from the first, is kept for validation and never trained on; 0 keeps none."""
    space: tuple[float, float] = (0.0, 0.0)
    """What annotators left around the letters, in quadrilaterals of ``quads.jsonl`` and polygons of full images: text
    heights at the ends, and above and below. Rendered words have none."""


@dataclass(frozen=True)
class View:
    """How a sample is prepared for the networks."""

    rows: int
    cols: int
    charset: str
    """Other characters are taken out of the labels."""
    thumbnail: tuple[int, int] | None
    """(width, height) of what the localization network sees; None without one."""
    larger: tuple[int, int] | None = None
    """(width, height) of the crop that a refiner's pictures are sampled from; None without one."""
    geometry: bool = True
    """Whether a loss asks how words were rendered; it takes as long to read as the rest of a sample."""

    @classmethod
    def of(
        cls,
        localization: LocalizationConfig,
        recognizer: RecognizerConfig | None,
        rectify: bool = True,
        refiner: LocalizationConfig | None = None,
        alignment: bool = True,
    ) -> View:
        """As these networks need it.

        Args:
            rectify: whether there is a localization network at all.
            alignment: whether the recogniser is taught where letters lie.
        """
        charset = recognizer.charset if recognizer else ASCII94
        larger = (2 * refiner.thumbnail[0], 2 * refiner.thumbnail[1]) if rectify and refiner else None
        thumbnail = localization.thumbnail if rectify else None
        return cls(localization.rows, localization.cols, charset, thumbnail, larger, rectify or alignment)


class Sample(NamedTuple):
    """One word."""

    image: NDArray[np.uint8]
    """Crop RGB (H, W, 3)."""
    label: str
    geometry: WordGeometry | None = None
    """How it was rendered."""
    outline: Points | None = None
    """(2·``OUTLINE``, 2) normalised, where an annotated quadrilateral says it; what is inside remains unknown."""


@dataclass
class Batch:
    """N samples. Crops differ in size, so their pixels are packed one after the other."""

    thumbnails: Tensor
    """(N, 3, h, w) uint8, what the localization network looks at; without one (N, 3, 0, 0)."""
    views: Tensor
    """(N, 3, H, W) uint8, the crops in one larger size, for a refiner; without one (N, 3, 0, 0)."""
    pixels: Tensor
    """uint8, all crops (H, W, 3) in one row."""
    sizes: Tensor
    """(N, 2) int64, (width, height) of each crop."""
    labels: list[str]
    control_points: Tensor
    """(N, K, 2) float32 normalised; NaN where the geometry is unknown."""
    outlines: Tensor
    """(N, 2·``OUTLINE``, 2) float32 normalised, of annotated words as ``tps.text_outline`` gives it; else NaN."""
    characters: list[NDArray[np.float64] | None]
    """(letters, 2) flat extents of each letter of a label, None where unknown."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getstate__(self) -> dict[str, Any]:
        """Small tensors as arrays: from a worker, each tensor would come in shared memory of its own, which takes
        longer to hand over than to copy."""
        return {
            name: value.numpy() if isinstance(value, Tensor) and value.nbytes < LEAST_SHARED else value
            for name, value in vars(self).items()
        }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
        vars(self).update(state, **{name: torch.from_numpy(array) for name, array in arrays.items()})

    @classmethod
    def joined(cls, parts: Sequence[Batch]) -> Batch:
        """One batch of the parts that several processes loaded, see ``BatchDataset``."""
        if len(parts) == 1:
            return parts[0]
        places = [number + len(parts) * row for number, part in enumerate(parts) for row in range(len(part))]
        order = np.argsort(places).tolist()
        joined: dict[str, Any] = {}
        for name in (field.name for field in fields(cls) if field.name != "pixels"):
            values = [getattr(part, name) for part in parts]
            if isinstance(values[0], Tensor):
                joined[name] = torch.cat(values)[order]
            else:
                flat = [value for rows in values for value in rows]
                joined[name] = [flat[index] for index in order]
        crops = [crop for part in parts for crop in part.pixels.split((3 * part.sizes.prod(1)).tolist())]
        return cls(pixels=torch.cat([crops[index] for index in order]), **joined)

    def on(self, device: torch.device) -> Batch:
        """The batch with pictures and points there; sizes, labels and extents stay where they are counted with."""
        moved = ("thumbnails", "views", "pixels", "control_points", "outlines")
        return replace(self, **{name: getattr(self, name).to(device) for name in moved})

    def crops(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Some crops on canvases of one size, their last row and column repeated to its border.

        Returns:
            (len(indices), 3, H, W) float32 in 0..255, where the pixels are, and the crops' sizes (len(indices), 2) as
            (width, height), on the CPU.
        """
        ends = torch.cumsum(self.sizes.prod(1) * 3, 0).tolist()
        sizes = self.sizes[list(indices)]
        columns, rows = sizes.amax(0).tolist()
        canvas = torch.empty(len(indices), rows, columns, 3, dtype=torch.uint8, device=self.pixels.device)
        for place, index, (width, height) in zip(canvas, indices, sizes.tolist(), strict=True):
            crop = self.pixels[ends[index] - width * height * 3 : ends[index]].view(height, width, 3)
            place[:height, :width] = crop
            place[:height, width:] = crop[:, -1:]
            place[height:] = place[height - 1]
        return canvas.permute(0, 3, 1, 2).float(), sizes


class SampleSet:
    """The samples of a source, numbered through its LMDBs; held-out ones apart.

    Args:
        held_out: the samples kept for validation instead of those to train on.
        geometry: whether to read how they were rendered.
    """

    def __init__(self, source: Source, held_out: bool = False, geometry: bool = True) -> None:
        self.readers = [LmdbReader(path, READS_MAPPED) for path in find_lmdbs(source.paths)]
        self._space = source.space
        self._outlines = [self._official(reader) for reader in self.readers]
        counts = [len(reader) for reader in self.readers]
        readers = np.repeat(np.arange(len(counts)), counts)
        indices = np.concatenate([np.arange(0), *map(np.arange, counts)])
        kept = indices % source.hold_out == 0 if source.hold_out else np.zeros(len(indices), bool)
        self.places = np.stack([readers, indices], axis=1)[kept if held_out else ~kept]
        if not held_out and not len(self.places):
            besides = f" besides those that hold_out={source.hold_out} keeps" if len(indices) else ""
            raise ValueError(f"no samples to train on in {', '.join(source.paths)}{besides}")
        self._geometry = geometry
        self._named: set[int] = set()

    def __len__(self) -> int:
        return len(self.places)

    def usable(self, index: int, keep: Callable[[str], str] = str) -> Sample | None:
        """A sample with what ``keep`` leaves of its label; None where that is nothing, and where the sample is damaged,
        which is said once by each process, on standard error."""
        try:
            return self._sample(index, keep)
        except ValueError as error:
            if index not in self._named:
                self._named.add(index)
                print(f"rectify-ocr: left out: {error}", file=sys.stderr)
            return None

    def _sample(self, index: int, keep: Callable[[str], str]) -> Sample | None:
        which, place = self.places[index].tolist()
        reader = self.readers[which]
        record = reader[place] if self._geometry else reader.without_geometry(place)
        # Composed, as charsets are: elsewhere a letter and its accent may be two characters.
        label = unicodedata.normalize("NFC", record.label)
        kept = keep(label)
        if not kept:
            return None
        image = fit(decode(record.image, f"{reader.folder}: image-{record.number:09d}"))
        geometry = WordGeometry.of(record.geometry, f"{reader.folder}: geometry-{record.number:09d}")
        if geometry and len(geometry.characters) != len(kept):
            # A letter was left out, or the label mended: the places are no longer those of its letters.
            geometry = replace(geometry, characters=(), heights=())
        outline = self._outlines[which].get(record.number)
        if outline is None:
            outline = annotated_outline(record.geometry, OUTLINE, self._space)
        return Sample(image, kept, geometry, outline)

    def _official(self, reader: LmdbReader) -> dict[int, Points]:
        """Outlines of a set's words by the quadrilaterals beside it."""
        quads = read_quads(reader.folder / QUADS)
        return {number: quad.outline(OUTLINE, self._space) for number, quad in quads.items() if quad.usable}


def fit(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The crop with about ``SOURCE_AREA`` pixels at most and no side above ``MAX_SIDE``, shrunk where it has more."""
    height, width = image.shape[:2]
    if height * width <= ROUNDING * SOURCE_AREA and max(height, width) <= MAX_SIDE:
        return np.ascontiguousarray(image)
    scale = min(1.0, (SOURCE_AREA / (height * width)) ** 0.5, MAX_SIDE / max(height, width))
    return resize(image, (max(1, round(width * scale)), max(1, round(height * scale))))


class BatchDataset(Dataset[Batch]):
    """Batch number ``step`` of a run, whoever asks for it and when.

    Args:
        part: (which, of how many) parts of each batch is loaded: each n-th sample of it, for n processes that share it.
    """

    def __init__(
        self, sources: Mapping[str, Source], batch_size: int, view: View, seed: int, part: tuple[int, int] = (0, 1)
    ) -> None:
        used = {name: source for name, source in sources.items() if source.share > 0}
        if not used:
            raise ValueError(
                "nothing to train on: every source has a share of 0" if sources else "no sources to train on"
            )
        for name, source in used.items():
            if not source.paths:
                raise ValueError(f"nothing to train on: set sources.{name}.paths=[LMDB], or sources.{name}.share=0")
        self.sets = [SampleSet(source, geometry=view.geometry) for source in used.values()]
        self.augmentations = [Augmentation() if source.augment else None for source in used.values()]
        self.counts = _split(batch_size, [source.share for source in used.values()])
        for name, count in zip(used, self.counts, strict=True):
            if not count:
                raise ValueError(
                    f"sources.{name}.share gives no sample in a batch of {batch_size}: raise it, or set it to 0"
                )
        self.view, self.seed, self.part = view, seed, part
        self.charset = Charset(view.charset)

    def __getitem__(self, step: int) -> Batch:
        return self.batch(step)

    def batch(self, step: int, empty: Empty = np.empty) -> Batch:
        """Batch number ``step``, its pictures and points in memory that ``empty`` gives."""
        places = [
            (number, position)
            for number, count in enumerate(self.counts)
            for position in range(step * count, (step + 1) * count)
        ]
        which, parts = self.part
        return collate([self._sample(*place) for place in places[which::parts]], self.view, empty)

    def _sample(self, number: int, position: int) -> Sample:
        data, augmentation = self.sets[number], self.augmentations[number]
        epoch, place = divmod(position, len(data))
        order = _order(self.seed, number, epoch, len(data))
        # Labels without a character of the charset teach nothing; the next sample takes their place.
        for attempt in range(len(data)):
            sample = data.usable(int(order[(place + attempt) % len(data)]), self.charset.keep)
            if sample is not None:
                break
        else:
            raise ValueError(
                f"nothing to train on in {data.readers[0].folder}: no picture that can be read has a label with a "
                "character of the charset"
            )
        if augmentation is None:
            return sample
        rng = np.random.default_rng([self.seed, number, position])
        image, outline = augmentation(sample.image, rng, sample.outline)
        return Sample(fit(image), sample.label, None, outline)

    def most_bytes(self) -> int:
        """That the pictures and points of a batch may take."""
        sides = [side for side in (self.view.thumbnail, self.view.larger) if side]
        pixels = ROUNDING * SOURCE_AREA + sum(width * height for width, height in sides)
        points = self.view.rows * self.view.cols + 2 * OUTLINE
        samples = -(-sum(self.counts) // self.part[1])
        return round(samples * (3 * pixels + 8 * points)) + (1 << 12)


def collate(samples: Sequence[Sample], view: View, empty: Empty = np.empty) -> Batch:
    """Pack prepared samples, their pictures and points in memory that ``empty`` gives."""
    points = empty((len(samples), view.rows * view.cols, 2), np.float32)
    points[...] = np.nan
    known = [index for index, s in enumerate(samples) if s.geometry]
    if known:
        points[known] = control_points([s.geometry for s in samples if s.geometry], view.rows, view.cols)
    outlines = empty((len(samples), 2 * OUTLINE, 2), np.float32)
    outlines[...] = np.nan
    for index, s in enumerate(samples):
        if s.outline is not None:
            outlines[index] = s.outline
    return Batch(
        _pictures(samples, view.thumbnail, empty),
        _pictures(samples, view.larger, empty),
        _packed([s.image for s in samples], empty),
        torch.from_numpy(np.array([s.image.shape[1::-1] for s in samples])),
        [s.label for s in samples],
        torch.from_numpy(points),
        torch.from_numpy(outlines),
        [np.array(s.geometry.characters) if s.geometry and s.geometry.characters else None for s in samples],
    )


def _packed(images: Sequence[NDArray[np.uint8]], empty: Empty) -> Tensor:
    """All pixels in one row."""
    row = empty((sum(image.size for image in images),), np.uint8)
    np.concatenate([image.ravel() for image in images], out=row)
    return torch.from_numpy(row)


def _pictures(samples: Sequence[Sample], size: tuple[int, int] | None, empty: Empty) -> Tensor:
    """(N, 3, height, width) uint8; (N, 3, 0, 0) of no size."""
    if size is None:
        return torch.empty(len(samples), 3, 0, 0, dtype=torch.uint8)
    pictures = empty((len(samples), *size[::-1], 3), np.uint8)
    for picture, sample in zip(pictures, samples, strict=True):
        picture[...] = thumbnail(sample.image, size)
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)


def training_loader(dataset: BatchDataset, start: int, stop: int, workers: int) -> Iterator[Batch]:
    """Batches of the steps from ``start`` to ``stop``, prepared ahead by ``workers`` processes.

    OpenCV is left with one thread in this process, too: a worker forked beside its threads would wait for them forever.

    Raises:
        ValueError: there is nothing to train on.
    """
    cv2.setNumThreads(1)
    slots = Slots(workers, dataset.most_bytes()) if workers else None
    loader = DataLoader(
        _Told(dataset, slots),
        batch_size=None,
        sampler=range(start, stop),
        num_workers=workers,
        worker_init_fn=_single_thread if workers else None,
        prefetch_factor=AHEAD if workers else None,
        # Else the loader draws from the global generator at its start, and a resumed run from then on differs.
        generator=torch.Generator(),
    )
    for handed in loader:
        if isinstance(handed, ValueError):
            raise handed
        batch, lent = handed
        yield replace(batch, **slots.received(lent)) if slots else batch


class _Told(Dataset["tuple[Batch, Lent | None] | ValueError"]):
    """Batches, of which slots may hold a part, or why there is none: an error that a worker raises would come with its
    traceback as text."""

    def __init__(self, dataset: BatchDataset, slots: Slots | None) -> None:
        self._dataset, self._slots = dataset, slots

    def __getitem__(self, step: int) -> tuple[Batch, Lent | None] | ValueError:
        try:
            if self._slots is None:
                return self._dataset[step], None
            slot = self._slots.slot()
            batch = self._dataset.batch(step, slot.empty)
            lent = slot.lend(vars(batch))
            return replace(batch, **dict.fromkeys(lent.tensors, NOTHING)), lent
        except (ValueError, OSError) as error:
            return ValueError(str(error))


def _single_thread(_: int) -> None:
    torch.set_num_threads(1)


@lru_cache(maxsize=8)
def _order(seed: int, source: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, source, epoch]).permutation(count)


def _split(batch_size: int, shares: Sequence[float]) -> list[int]:
    """The shares as whole numbers that add up to the batch size."""
    ends = np.rint(np.cumsum(shares) / sum(shares) * batch_size).astype(int)
    return np.diff(ends, prepend=0).tolist()
