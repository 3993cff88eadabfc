"""Reading picture files into arrays, with a one-line reason when that cannot be done, and writing them."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rectify.process_wide import ProcessWide

Image = NDArray[np.uint8]

EXTENSIONS = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".webp", ".avif", ".bmp", ".dib", ".tif", ".tiff", ".gif"}
    | {".ppm", ".pgm", ".pbm", ".pnm"}
)
"""What a folder is searched for, lower case. A file that is named itself is told by its content."""

MIN_SIDE = 2
MAX_SIDE = 32766
"""Pixels; OpenCV's remap takes no longer side."""
MAX_PIXELS = 50_000_000
"""A crop of one word is far below; more is a mistake or an attack on the memory."""
PHOTO_PIXELS = 400_000_000
"""The same for photos that words are cut out of."""

# OpenCV 4 and 5 have it in different places.
_set_log_level: Callable[[int], int] = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel

_quiet = ProcessWide(partial(_set_log_level, 0), _set_log_level)

_PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
"""What a file begins with."""
EXIF = b"Exif\0\0"
"""What a note on how the picture was taken begins with, and so which way up it is."""
_JPEG_FLAGS = cv2.IMREAD_UNCHANGED
"""How JPEG is decoded, which is 8 bits and opaque: OpenCV from 4.11 on gives what is wanted in one step."""
if hasattr(cv2, "IMREAD_COLOR_RGB"):
    _JPEG_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
_TIFF = (b"II*\0", b"MM\0*")
_BIG_TIFF = (b"II+\0", b"MM\0+")
_TIFF_WIDTH, _TIFF_HEIGHT = 0x0100, 0x0101
_OS2_HEADER = 12
"""Bytes."""
_SHORT = 3
"""TIFF's number for values of 16 bits."""
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class ImageError(ValueError):
    """A picture that cannot be read; the message is one line, ``path: reason``."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def read_image(source: str | Path | bytes, name: str = "image", most: int = MAX_PIXELS) -> Image:
    """A picture as an RGB array.

    EXIF orientation is honoured, 16 bits become 8, grey and palettes become RGB, and transparent pictures are laid on
    white, or on black when what is visible of them is light.

    Args:
        source: a path, or the bytes of a file of any format that OpenCV reads.
        name: what to call bytes in an error.
        most: pixels.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ImageError: no such file, not a picture, truncated or damaged, too small or too large.
    """
    if not isinstance(source, bytes):
        name = str(source)
    try:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        return _decode(data, most)
    except OSError as error:
        raise ImageError(name, error.strerror or str(error)) from None
    except struct.error:
        raise ImageError(name, "damaged (its header breaks off)") from None
    except ValueError as error:
        raise ImageError(name, str(error)) from None


def write_png(path: Path, image: Image) -> None:
    """Saves an RGB picture (H, W, 3) as PNG, its folder too; written beside and moved into place.

    Raises:
        OSError: that cannot be done.
    """
    encoded = cv2.imencode(".png", image[:, :, ::-1])[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{os.getpid()}-{os.urandom(4).hex()}.partial")  # the name may be as long as can be
    try:
        beside.write_bytes(encoded.tobytes())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def check_image(image: Any, most: int = MAX_PIXELS) -> None:
    """Refuses what is not a picture of a size that can be sampled.

    Args:
        most: pixels.

    Raises:
        TypeError: not an array, or not uint8.
        ValueError: not (H, W), (H, W, 1) or (H, W, 3), a side beyond ``MIN_SIDE``..``MAX_SIDE``, or too many pixels.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        given = f"an array of {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
        raise TypeError(f"an image is a numpy array of uint8 (0..255), got {given}")
    if image.ndim not in (2, 3) or image.shape[2:] not in ((), (1,), (3,)):
        raise ValueError(f"an image has the shape (H, W), (H, W, 1) or (H, W, 3), got {image.shape}")
    check_size(image.shape[1], image.shape[0], most)


def check_images(images: Any, alone: str) -> None:
    """Refuses what is not several pictures, a single one among it: its rows would be taken for pictures.

    Args:
        alone: the method for a single one.

    Raises:
        TypeError, ValueError: as ``check_image``.
    """
    if isinstance(images, np.ndarray) and images.ndim < 4:
        raise TypeError(f"a list of images is expected; for a single one there is {alone}")
    for image in images:
        check_image(image)


def check_size(width: int, height: int, most: int = MAX_PIXELS) -> None:
    """Raises a ValueError if a side is beyond ``MIN_SIDE``..``MAX_SIDE``, or more than ``most`` pixels in all."""
    if min(width, height) < MIN_SIDE:
        raise ValueError(f"too small: {width}x{height} pixels")
    if max(width, height) > MAX_SIDE or width * height > most:
        raise ValueError(
            f"too large: {width}x{height} pixels, at most {MAX_SIDE} a side and {most // 10**6} million in all"
        )


def _decode(data: bytes, most: int) -> Image:
    """RGB pixels, turned upright."""
    if not data:
        raise ValueError("empty file")
    orientation, sizes = _inspect(data)
    for size in sizes:
        check_size(*size, most)
    flags = _JPEG_FLAGS if data.startswith(JPEG) else cv2.IMREAD_UNCHANGED
    try:
        with _quiet:  # what is wrong becomes one line of ours
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # its own limits on size
        pixels = None
    if pixels is None:
        raise ValueError("not an image, or a damaged one")
    check_size(pixels.shape[1], pixels.shape[0], most)
    pixels = _upright(pixels, orientation)
    return _to_rgb(pixels) if flags == cv2.IMREAD_UNCHANGED else np.ascontiguousarray(pixels)


def _inspect(data: bytes) -> tuple[int, list[tuple[int, int]]]:
    """EXIF orientation (1..8) of a file's bytes, and the sizes (width, height) that it tells of. They are checked for
    what OpenCV lets pass in silence: some of its versions return the missing part of a truncated JPEG or PNG as grey,
    and all of them decode before they look at the size."""
    exif, sizes = b"", []
    if data.startswith(_PNG):
        for kind, content in _png_chunks(data):
            if kind == b"IHDR":
                sizes.append(struct.unpack_from(">II", content))
            elif kind == b"eXIf":
                exif = content
    elif data.startswith(JPEG):
        exif, sizes = _inspect_jpeg(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        chunks = dict(_riff_chunks(data))
        sizes.append(_webp_size(chunks))
        exif = chunks.get(b"EXIF", b"").removeprefix(EXIF)
    elif data.startswith(b"BM") and len(data) >= 26:
        if data[14] == _OS2_HEADER:  # OpenCV makes it grey
            raise ValueError("BMP of OS/2 is not supported, save it as PNG")
        width, height = struct.unpack_from("<ii", data, 18)
        sizes.append((abs(width), abs(height)))
    elif data.startswith((b"GIF87a", b"GIF89a")):
        sizes.append(struct.unpack_from("<HH", data, 6))
    elif data[:4] in _TIFF:
        sizes.append((_tiff_value(data, _TIFF_WIDTH, MIN_SIDE), _tiff_value(data, _TIFF_HEIGHT, MIN_SIDE)))
    elif data[:4] in _BIG_TIFF:
        raise ValueError("BigTIFF is not supported, save it as TIFF or PNG")
    try:
        return _exif_orientation(exif), sizes
    except struct.error:  # a damaged note about the picture is no reason to refuse the picture
        return 1, sizes


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, content) of each chunk up to the end mark, checksums verified."""
    start = len(_PNG)
    while start + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, start)
        end = start + 8 + length
        if end + 4 > len(data):
            break
        kind, content = data[start + 4 : start + 8], data[start + 8 : end]
        if zlib.crc32(content, zlib.crc32(kind)) != struct.unpack_from(">I", data, end)[0]:
            raise ValueError("damaged PNG (a checksum is wrong)")
        yield kind, content
        if kind == b"IEND":
            return
        start = end + 4
    raise ValueError("truncated PNG")


def _inspect_jpeg(data: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """EXIF block of a JPEG, and the sizes that it tells of; the end mark of its scan is verified. For each picture that
    is read, so in a loop of few and plain steps."""
    exif, sizes = b"", list[tuple[int, int]]()
    start, last = 2, len(data) - 4
    while start <= last:
        if data[start] != 0xFF:
            raise ValueError("damaged JPEG (no marker where one must be)")
        marker = data[start + 1]
        if marker == 0xFF:  # a fill byte
            start += 1
            continue
        if marker == 0xDA:  # the scan begins
            if data.rfind(b"\xff\xd9", start) < 0:
                break
            return exif, sizes
        end = start + 2 + (data[start + 2] << 8 | data[start + 3])
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">xHH", data[start + 4 : end])
            sizes.append((width, height))
        elif marker == 0xE1 and data.startswith(EXIF, start + 4, end):
            exif = data[start + 10 : end]
        start = end
    raise ValueError("truncated JPEG")


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 12
    while start + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, start + 4)
        yield data[start : start + 4], data[start + 8 : start + 8 + length]
        start += 8 + length + length % 2


def _webp_size(chunks: Mapping[bytes, bytes]) -> tuple[int, int]:
    """Width and height by the chunks of a WebP file; the least where none tells."""
    if b"VP8X" in chunks:
        width, height = (int.from_bytes(chunks[b"VP8X"][start : start + 3], "little") for start in (4, 7))
        return width + 1, height + 1
    if b"VP8L" in chunks:
        (bits,) = struct.unpack_from("<I", chunks[b"VP8L"], 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if b"VP8 " in chunks:
        width, height = struct.unpack_from("<HH", chunks[b"VP8 "], 6)
        return width & 0x3FFF, height & 0x3FFF
    return MIN_SIDE, MIN_SIDE


def _exif_orientation(exif: bytes) -> int:
    """The orientation tag of an EXIF block; 1 without one."""
    value = _tiff_value(exif, 0x0112, 1)
    return value if 1 <= value <= 8 else 1


def _tiff_value(data: bytes, wanted: int, default: int) -> int:
    """The number under a tag of the first directory of TIFF data, as files and EXIF blocks are."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return default
    (directory,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, directory)
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        if tag == wanted:
            return int(struct.unpack_from(order + ("H" if kind == _SHORT else "I"), data, entry + 8)[0])
    return default


def _upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undoes an EXIF orientation: 2 and up mirror and turn, 5 and up also swap the axes."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _to_rgb(pixels: NDArray[Any]) -> Image:
    """RGB from what OpenCV gives: grey, BGR or BGRA, of any dtype."""
    if pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ValueError(f"pixels of type {pixels.dtype} are not supported, save it with 8 or 16 bits a channel")
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.shape[2] in (2, 4):
        pixels = _composite(pixels[:, :, :-1], pixels[:, :, -1:])
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def _composite(color: Image, alpha: Image) -> Image:
    """Lays a transparent picture on the background that its visible part stands out from."""
    weight = alpha.astype(np.float32) / 255
    visible = float(weight.sum())
    light = visible > 0 and float((color.mean(axis=2, keepdims=True) * weight).sum()) / visible > 127.5
    background = 0.0 if light else 255.0
    return np.rint(color * weight + background * (1 - weight)).astype(np.uint8)
