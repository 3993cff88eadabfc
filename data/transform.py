"""Datasets out of datasets: joined, filtered, and written back to files."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import secrets
import shutil
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.reader import LmdbReader
from data.sidecars import take_along
from data.writer import LmdbWriter
from rectify.images import read_image

Progress = Callable[[Iterable[int]], Iterable[int]]
"""Wraps the iteration over a dataset's indices, as tqdm does."""
Report = Callable[[str], None]
"""Told of each sample that could not be taken over, in one line that names it."""

_SAMPLE_KEY = re.compile(r"(.+)-\d{9}")
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"BM": ".bmp", b"RIFF": ".webp"}
FILES_IN_A_FOLDER = 1000


@dataclass
class Outcome:
    """How many samples were written, and why others were not."""

    samples: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """By the condition that they do not meet."""
    bad: int = 0
    """Samples that cannot be read."""


@dataclass(frozen=True)
class Wanted:
    """What ``filter_dataset`` keeps; a bound that is None does not count."""

    charset: str | None = None
    """Labels with no other characters."""
    min_length: int | None = None
    max_length: int | None = None
    """Characters of the label."""
    min_width: int | None = None
    max_width: int | None = None
    min_height: int | None = None
    max_height: int | None = None
    """Pixels of the image."""

    def missing(self, label: str, width: int, height: int) -> str | None:
        """The first condition that a sample does not meet; None where it meets all."""
        if self.charset is not None and set(label) - set(self.charset):
            return "charset"
        for name, value in (("length", len(label)), ("width", width), ("height", height)):
            least, most = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if (least is not None and value < least) or (most is not None and value > most):
                return name
        return None


def merge(folders: Sequence[Path], out: Path, report: Report, progress: Progress = lambda indices: indices) -> Outcome:
    """All samples of several datasets in one, with everything that is stored with them, in their order.

    Raises:
        FileExistsError: ``out`` exists.
        ValueError: no sample could be read; nothing is written then.
    """
    outcome = Outcome()
    readers = [LmdbReader(folder) for folder in folders]
    with LmdbWriter(out) as writer:
        for reader in readers:
            _copy_all(reader, writer, outcome, report, progress)
        _refuse_empty(out, outcome)
    return outcome


def filter_dataset(
    folder: Path, out: Path, wanted: Wanted, report: Report, progress: Progress = lambda indices: indices
) -> Outcome:
    """The samples of a dataset that meet the conditions, with everything that is stored with them; raises as ``merge``.

    Samples whose image does not decode are bad and left out.
    """
    outcome = Outcome()
    reader = LmdbReader(folder)

    def missing(index: int) -> str | None:
        height, width = read_image(reader.image_bytes(index), f"{folder}: image-{index + 1:09d}").shape[:2]
        return wanted.missing(reader.label(index), width, height)

    with LmdbWriter(out) as writer:
        _copy_all(reader, writer, outcome, report, progress, missing)
        _refuse_empty(out, outcome)
    return outcome


def export_dataset(
    folder: Path, out: Path, form: str, report: Report, progress: Progress = lambda indices: indices
) -> Outcome:
    """Write a dataset's images as files, byte for byte, and its labels to a list that ``lmdb build`` reads back.

    Args:
        form: of the list: ``gt`` (``gt.txt``, path<TAB>label), ``csv`` (``labels.csv``) or ``jsonl``
            (``labels.jsonl``, which alone keeps geometries). None keeps the ink that synthetic words have.

    Raises:
        FileExistsError: ``out`` exists.
        ValueError: no sample could be read; nothing is written then.
    """
    if os.path.lexists(out):
        raise FileExistsError(f"{out} exists already; remove it or choose another folder")
    name, write_row = LISTS[form]
    reader, outcome = LmdbReader(folder), Outcome()
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.parent / f".{out.name}.partial-{os.getpid()}-{secrets.token_hex(3)}"
    partial.mkdir()
    try:
        with (partial / name).open("w", encoding="utf-8", newline="") as rows:
            rows.write("image,label\n" if form == "csv" else "")
            for index in progress(range(len(reader))):
                try:
                    label = reader.label(index)
                    if not label.strip():
                        raise ValueError(f"{folder}: label-{index + 1:09d} is empty; lmdb build would not take it back")
                    row = write_row(_image_path(reader, index), label, reader.geometry(index))
                    _write_image(partial, reader, index)
                except ValueError as error:
                    outcome.bad += 1
                    report(str(error))
                else:
                    outcome.samples += 1
                    rows.write(row)
        _refuse_empty(out, outcome)
        os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return outcome


def _copy_all(
    reader: LmdbReader,
    writer: LmdbWriter,
    outcome: Outcome,
    report: Report,
    progress: Progress,
    missing: Callable[[int], str | None] = lambda index: None,
) -> None:
    """Take the samples of a dataset over that lack nothing, and what stands of them in the files beside it."""
    kinds = _kinds(reader, report)
    indices = progress(range(len(reader)))
    numbers = array("q", (_copy(reader, index, kinds, writer, outcome, report, missing) for index in indices))
    take_along(reader.folder, numbers, writer.beside)


def _copy(
    reader: LmdbReader,
    index: int,
    kinds: Sequence[str],
    writer: LmdbWriter,
    outcome: Outcome,
    report: Report,
    missing: Callable[[int], str | None],
) -> int:
    """Take one sample over and return its new number; else count why not, and return 0."""
    try:
        image, label, reason = reader.image_bytes(index), reader.label(index), missing(index)
    except ValueError as error:
        outcome.bad += 1
        report(str(error))
        return 0
    if reason is not None:
        outcome.left_out[reason] += 1
        return 0
    values = {kind: reader.value(f"{kind}-{index + 1:09d}") for kind in kinds}
    outcome.samples += 1
    return writer.add(image, label, {kind: value for kind, value in values.items() if value is not None})


def _kinds(reader: LmdbReader, report: Report) -> list[str]:
    """What else than image and label is stored with the samples; keys that belong to none are reported."""
    kinds, others = set(), []
    for key in reader.all_keys():
        match = _SAMPLE_KEY.fullmatch(key)
        if match:
            kinds.add(match[1])
        elif key != "num-samples":
            others.append(key)
    if others:
        some = ", ".join(others[:5]) + (", …" if len(others) > 5 else "")
        report(f"{reader.folder}: {len(others)} keys belong to no sample and are left out: {some}")
    return sorted(kinds - {"image", "label"})


def _refuse_empty(out: Path, outcome: Outcome) -> None:
    if not outcome.samples:
        raise ValueError(f"{out} was not written: no sample is left ({describe(outcome)})")


def describe(outcome: Outcome) -> str:
    """The counts in words."""
    parts = [f"{outcome.samples} samples"]
    parts += [f"{count} left out by {reason}" for reason, count in sorted(outcome.left_out.items())]
    if outcome.bad:
        parts.append(f"{outcome.bad} bad")
    return ", ".join(parts)


def _image_path(reader: LmdbReader, index: int) -> str:
    start = reader.image_bytes(index)[:4]
    suffix = next((suffix for mark, suffix in _SUFFIXES.items() if start.startswith(mark)), ".img")
    return f"{index // FILES_IN_A_FOLDER:06d}/{index + 1:09d}{suffix}"


def _write_image(folder: Path, reader: LmdbReader, index: int) -> None:
    path = folder / _image_path(reader, index)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(reader.image_bytes(index))


def _gt_row(path: str, label: str, geometry: Any) -> str:
    if label != label.strip() or "\t" in label or len(label.splitlines()) > 1:
        raise ValueError(f"{path}: gt.txt cannot hold the label {label!r}; --format jsonl can")
    return f"{path}\t{label}\n"


def _csv_row(path: str, label: str, geometry: Any) -> str:
    if label != label.strip() or len(label.splitlines()) > 1:
        raise ValueError(f"{path}: lmdb build would not read the label {label!r} back from CSV; --format jsonl is safe")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([path, label])
    return text.getvalue()


def _jsonl_row(path: str, label: str, geometry: Any) -> str:
    values = {"image": path, "label": label, **({"geometry": geometry} if geometry else {})}
    return json.dumps(values, ensure_ascii=False) + "\n"


LISTS: dict[str, tuple[str, Callable[[str, str, Any], str]]] = {
    "gt": ("gt.txt", _gt_row),
    "csv": ("labels.csv", _csv_row),
    "jsonl": ("labels.jsonl", _jsonl_row),
}
"""Forms of an exported list by name: its file, and the line of a sample."""
