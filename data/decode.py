"""Decoding the pictures of datasets for training: plain JPEG, as most are, in three quarters of the time."""

from __future__ import annotations

import simplejpeg

from rectify.images import EXIF, JPEG, Image, check_size, read_image


def decode(data: bytes, name: str) -> Image:
    """``rectify.images.read_image`` of a file's bytes, which does what is not plain, and says what is wrong."""
    if data.startswith(JPEG) and EXIF not in data:  # without a note, nothing is to be turned
        try:
            height, width, space, _ = simplejpeg.decode_jpeg_header(data)
            check_size(width, height)
            if space in ("YCbCr", "Gray"):
                return simplejpeg.decode_jpeg(data)
        except ValueError:
            pass
    return read_image(data, name)
