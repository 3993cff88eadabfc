"""Looks through a whole LMDB dataset: sizes, characters, label lengths, and the samples that are no good."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from data.build import Seen
from data.escapes import escaped
from data.reader import LmdbReader
from data.synth.geometry import WordGeometry
from rectify.images import read_image

SMALL = 8
"""Pixels; an image with a shorter side has no legible text."""
LONG = 20
"""Times as long as high, or as high as long: rarely a word."""

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
        suspicious: the samples that can be used, but look like a mistake.
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
    suspicious: list[BadSample] = field(default_factory=list)

    @property
    def charset(self) -> str:
        """All characters of the labels, in code point order."""
        return "".join(sorted(self.characters))

    def to_json(self) -> dict[str, Any]:
        """Everything, as json.dumps takes it."""
        lists = {"bad": self.bad, "suspicious": self.suspicious}
        named = {name: [vars(sample) for sample in samples] for name, samples in lists.items()}
        return {**vars(self), "charset": self.charset, **named}

    @property
    def flawless(self) -> bool:
        """Whether there is nothing bad, suspicious or out of reach."""
        return not (self.bad or self.suspicious or self.surplus)


def inspect_dataset(
    reader: LmdbReader, progress: Callable[[Iterable[int]], Iterable[int]] = lambda indices: indices
) -> Inspection:
    """Read every sample and decode every image, in constant memory but for the lists of samples.

    Args:
        reader: the dataset.
        progress: wraps the iteration over the samples' indices, as tqdm does.
    """
    inspection = Inspection(str(reader.folder), len(reader))
    for key in reader.all_keys():
        _count_key(inspection, key)
    with Seen() as seen:
        for index in progress(range(len(reader))):
            for check in (_check_image, _check_label, _check_geometry):
                try:
                    check(inspection, reader, index)
                except ValueError as error:
                    reason = str(error).removeprefix(f"{reader.folder}: ")
                    inspection.bad.append(BadSample(index + 1, reason))
            _check_repeated(inspection, reader, index, seen)
    return inspection


def format_inspection(inspection: Inspection) -> str:
    """The inspection as lines for a terminal."""
    bad = inspection.bad
    printable = escaped(inspection.charset)
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
    if inspection.suspicious:
        lines.append(f"suspicious    {len({sample.number for sample in inspection.suspicious})}")
        lines += [f"  {sample.number}: {sample.reason}" for sample in inspection.suspicious[:LISTED]]
        if len(inspection.suspicious) > LISTED:
            lines.append(f"  and {len(inspection.suspicious) - LISTED} more")
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
    if min(width, height) < SMALL or max(width, height) > LONG * min(width, height):
        inspection.suspicious.append(BadSample(index + 1, f"an image of {width}x{height} pixels is hardly a word's"))


def _check_label(inspection: Inspection, reader: LmdbReader, index: int) -> None:
    label = reader.label(index)
    if not label.strip():
        raise ValueError(f"label-{index + 1:09d} is empty")
    inspection.label_lengths[len(label)] += 1
    inspection.characters.update(label)
    doubt = label_doubt(label)
    if doubt:
        inspection.suspicious.append(BadSample(index + 1, f"label {label!r} {doubt}"))


def label_doubt(label: str) -> str | None:
    """What looks like a mistake in a label, None where nothing does."""
    if label != label.strip():
        return "begins or ends with space"
    if "\ufffd" in label:
        return "has a character that was lost in decoding"
    if any(unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn") for c in label):
        return "has a control character or one without a meaning"
    if unicodedata.normalize("NFC", label) != label:
        return "is not in Unicode's composed form (NFC)"
    try:
        label.encode("cp1252").decode("utf-8")
    except UnicodeError:
        return None
    return None if label.isascii() else "looks like UTF-8 that was read as Latin-1"


def _check_repeated(inspection: Inspection, reader: LmdbReader, index: int, seen: Seen) -> None:
    """An image, byte for byte, that came before."""
    image = reader.value(f"image-{index + 1:09d}")
    if not image:
        return
    label = reader.value(f"label-{index + 1:09d}") or b""
    first = seen.first(hashlib.sha256(image).digest(), f"{index + 1}\t{label.decode('utf-8', 'replace')}")
    if first is not None:
        number, _, earlier = first.partition("\t")
        same = "and its label" if earlier == label.decode("utf-8", "replace") else f"with another label, {earlier!r}"
        inspection.suspicious.append(BadSample(index + 1, f"has the image of sample {number} {same}"))


def _check_geometry(inspection: Inspection, reader: LmdbReader, index: int) -> None:
    name = f"geometry-{index + 1:09d}"
    geometry = WordGeometry.of(reader.geometry(index), name)
    label = reader.value(f"label-{index + 1:09d}")  # a missing one was told of
    if not (geometry and geometry.characters and label):
        return
    letters = label.decode("utf-8", "replace")
    if len(geometry.characters) not in (len(letters), len(unicodedata.normalize("NFC", letters))):
        doubt = f"{name} holds places of {len(geometry.characters)} letters, the label has {len(letters)}"
        inspection.suspicious.append(BadSample(index + 1, doubt))


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
