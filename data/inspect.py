"""Looks through a whole LMDB dataset: sizes, characters, label lengths, and the samples that are no good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from data.reader import LmdbReader
from rectify.images import read_image

LISTED = 20
"""Bad samples that ``format_inspection`` lists; a dataset whose every sample is bad should not flood a terminal."""


@dataclass(frozen=True)
class BadSample:
    """A sample that training and evaluation cannot use.

    Attributes:
        number: its number in the dataset, from 1.
        reason: the key or the value that is wrong.
    """

    number: int
    reason: str


@dataclass
class Inspection:
    """What is in a dataset.

    Attributes:
        folder: the dataset.
        samples: what num-samples says.
        keys: how many keys of each kind there are, by the part before the number, such as ``image``.
        widths, heights: how many images have each width and height, in pixels.
        label_lengths: how many labels have each length, in characters.
        characters: how often each character stands in the labels.
        surplus: images with a number that num-samples does not count, so that no reader sees them.
        bad: the samples that are no good; one may be listed for its image and for its label.
    """

    folder: str
    samples: int
    keys: Counter[str] = field(default_factory=Counter)
    widths: Counter[int] = field(default_factory=Counter)
    heights: Counter[int] = field(default_factory=Counter)
    label_lengths: Counter[int] = field(default_factory=Counter)
    characters: Counter[str] = field(default_factory=Counter)
    surplus: int = 0
    bad: list[BadSample] = field(default_factory=list)

    @property
    def charset(self) -> str:
        """All characters of the labels, in code point order."""
        return "".join(sorted(self.characters))

    def to_json(self) -> dict[str, Any]:
        """Everything, as json.dumps takes it."""
        return {**vars(self), "charset": self.charset, "bad": [vars(sample) for sample in self.bad]}


def inspect_dataset(
    reader: LmdbReader, progress: Callable[[Iterable[int]], Iterable[int]] = lambda indices: indices
) -> Inspection:
    """Read every sample and decode every image, in constant memory but for the list of bad samples.

    Args:
        reader: the dataset.
        progress: wraps the iteration over the samples' indices, as tqdm does.
    """
    inspection = Inspection(str(reader.folder), len(reader))
    for key in reader.all_keys():
        _count_key(inspection, key)
    for index in progress(range(len(reader))):
        for check in (_check_image, _check_label, _check_geometry):
            try:
                check(inspection, reader, index)
            except ValueError as error:
                reason = str(error).removeprefix(f"{reader.folder}: ")
                inspection.bad.append(BadSample(index + 1, reason))
    return inspection


def format_inspection(inspection: Inspection) -> str:
    """The inspection as lines for a terminal."""
    bad = inspection.bad
    printable = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in inspection.charset)
    kinds = (f"{name} {count}" for name, count in sorted(inspection.keys.items()))
    lines = [
        f"dataset       {inspection.folder}",
        f"samples       {inspection.samples}",
        f"keys          {', '.join(kinds)}",
        f"width         {_spread(inspection.widths)}",
        f"height        {_spread(inspection.heights)}",
        f"label length  {_spread(inspection.label_lengths)}",
        f"characters    {len(inspection.characters)}: {printable}",
        f"bad samples   {len({sample.number for sample in bad})}",
    ]
    lines += [f"  {sample.number}: {sample.reason}" for sample in bad[:LISTED]]
    if len(bad) > LISTED:
        lines.append(f"  and {len(bad) - LISTED} more")
    if inspection.surplus:
        lines.append(f"note          {inspection.surplus} images have numbers beyond num-samples and are never read")
    return "\n".join(lines)


def _count_key(inspection: Inspection, key: str) -> None:
    kind, _, number = key.rpartition("-")
    if not number.isdigit():
        kind, number = key, ""
    inspection.keys[kind] += 1
    if kind == "image" and int(number) > inspection.samples:
        inspection.surplus += 1


def _check_image(inspection: Inspection, reader: LmdbReader, index: int) -> None:
    height, width = read_image(reader.image_bytes(index), f"image-{index + 1:09d}").shape[:2]
    inspection.widths[width] += 1
    inspection.heights[height] += 1


def _check_label(inspection: Inspection, reader: LmdbReader, index: int) -> None:
    label = reader.label(index)
    if not label.strip():
        raise ValueError(f"label-{index + 1:09d} is empty")
    inspection.label_lengths[len(label)] += 1
    inspection.characters.update(label)


def _check_geometry(inspection: Inspection, reader: LmdbReader, index: int) -> None:
    reader.geometry(index)


def _spread(counts: Counter[int]) -> str:
    """Smallest, median and largest of counted values."""
    if not counts:
        return "-"
    values = sorted(counts)
    half, seen = (counts.total() + 1) // 2, 0
    for median in values:
        seen += counts[median]
        if seen >= half:
            break
    return f"{values[0]} to {values[-1]}, median {median}"
