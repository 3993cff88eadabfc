"""Weight files: where they are and what they hold, told by their content.

A file is ONNX or safetensors and carries its configuration as JSON under the metadata key ``rectify-ocr``; the
configuration's ``kind`` says which network it is. A folder holds any number of such files.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

METADATA_KEY = "rectify-ocr"
FORMAT = 1
KINDS = ("rectifier", "refiner", "recognizer", "attention", "spelling", "language", "orientation")

_ONNX_METADATA_FIELD = 14  # ModelProto.metadata_props


@dataclass(frozen=True)
class WeightFile:
    """One network's weights on disk."""

    path: Path
    onnx: bool
    """Else safetensors, which needs torch to run."""
    config: dict[str, Any]

    @property
    def kind(self) -> str:
        """One of ``KINDS``."""
        return str(self.config["kind"])


def read_weight_file(path: str | os.PathLike[str]) -> WeightFile:
    """What a file holds, without loading its weights.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a weight file of this project, or one of a later version of it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weight file")
    with path.open("rb") as file:
        onnx, text = False, _safetensors_metadata(file)
        if text is None:
            onnx, text = True, _onnx_metadata(file)
    try:
        config = json.loads(text or "")
        kind, version = config["kind"], config["format"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: not a weight file of rectify-ocr (ONNX or safetensors with its metadata)") from None
    if kind not in KINDS or not isinstance(version, int) or version > FORMAT:
        raise ValueError(
            f"{path}: holds {kind!r} in format {version!r}; update rectify-ocr, which knows up to {FORMAT}"
        )
    return WeightFile(path, onnx, config)


def find_weights(source: str | os.PathLike[str]) -> dict[str, WeightFile]:
    """The networks in a file or folder, by kind; ONNX is preferred to safetensors.

    Args:
        source: a weight file, or a folder of them, such as a training run's.

    Raises:
        FileNotFoundError: no such path, or a folder without weights.
        ValueError: a file that is none (see ``read_weight_file``).
    """
    source = Path(source)
    if not source.is_dir():
        weights = read_weight_file(source)
        return {weights.kind: weights}
    found: dict[str, WeightFile] = {}
    for path in [*sorted(source.glob("*.onnx")), *sorted(source.glob("*.safetensors"))]:
        weights = read_weight_file(path)
        found.setdefault(weights.kind, weights)
    if not found:
        raise FileNotFoundError(f"{source}: no weights in this folder (rectifier or recognizer, .onnx or .safetensors)")
    return found


def select_weights(source: str | os.PathLike[str] | None, kind: str, module_file: str) -> WeightFile:
    """The weights of one network.

    Args:
        source: as in ``find_weights``; None takes the weights that come with a package.
        kind: one of ``KINDS``.
        module_file: ``__file__`` of a module of the package that ships this kind.

    Raises:
        FileNotFoundError: nothing there, or an installation without weights.
        ValueError: the source holds other kinds only.
    """
    if source is None:
        path = Path(module_file).parent / "weights" / f"{kind}.onnx"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no {kind} weights are installed; name some with --weights or weights=")
        return read_weight_file(path)
    found = find_weights(source)
    if kind not in found:
        raise ValueError(f"{source}: holds no {kind}, only a {' and a '.join(found)}")
    return found[kind]


def companions(source: str | os.PathLike[str] | None, file: WeightFile) -> dict[str, WeightFile]:
    """The networks by kind that come with one that ``select_weights`` found in this source, itself included."""
    return find_weights(file.path.parent if source is None else source)


def _safetensors_metadata(file: BinaryIO) -> str | None:
    """The configuration's text in a safetensors file ('' if it has none); None for any other file."""
    file.seek(0)
    start = file.read(9)
    if len(start) < 9 or start[8:] != b"{":
        return None
    (length,) = struct.unpack("<Q", start[:8])
    if length > os.fstat(file.fileno()).st_size:
        return None
    file.seek(8)
    try:
        header = json.loads(file.read(length))
    except ValueError:
        return None
    metadata = header.get("__metadata__")
    return str(metadata.get(METADATA_KEY, "")) if isinstance(metadata, dict) else ""


def _onnx_metadata(file: BinaryIO) -> str | None:
    """The configuration's text in an ONNX file; None where there is none."""
    file.seek(0)
    size = os.fstat(file.fileno()).st_size
    try:
        for field, length in _protobuf_fields(file, size):
            if field == _ONNX_METADATA_FIELD:
                entry = file.tell() + length
                texts = [file.read(n).decode() for _, n in _protobuf_fields(file, entry)]
                if texts[0] == METADATA_KEY:
                    return texts[1]
    except (ValueError, IndexError):
        pass
    return None


def _protobuf_fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """(field number, length) of each length-delimited field of a protobuf message up to ``end``, with the file at the
    field's content. The content may be read or left; it is skipped in either case, so that a graph of megabytes costs
    nothing."""
    while file.tell() < end:
        key = _varint(file)
        wire_type = key & 7
        if wire_type == 0:
            _varint(file)
        elif wire_type == 2:
            length = _varint(file)
            content = file.tell()
            if content + length > end:
                raise ValueError("not protobuf")
            yield key >> 3, length
            file.seek(content + length)
        else:
            raise ValueError("not ONNX")  # its top level has no other type


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("not protobuf")
