"""Decoding the pictures of datasets for training: plain JPEG, as most are, in three quarters of the time."""

from __future__ import annotations

import simplejpeg

from rectify.images import MAX_PIXELS, MAX_SIDE, MIN_SIDE, Image, read_image

_JPEG = b"\xff\xd8\xff"
_EXIF = b"Exif\0\0"


def decode(data: bytes, name: str) -> Image:
    """``rectify.images.read_image`` of a file's bytes, which does what is not plain, and says what is wrong."""
    if data.startswith(_JPEG) and _EXIF not in data:  # without a note, nothing is to be turned
        try:
            height, width, space, _ = simplejpeg.decode_jpeg_header(data)
            sizes_fit = min(height, width) >= MIN_SIDE and max(height, width) <= MAX_SIDE
            if space in ("YCbCr", "Gray") and sizes_fit and height * width <= MAX_PIXELS:
                return simplejpeg.decode_jpeg(data)
        except ValueError:
            pass
    return read_image(data, name)
