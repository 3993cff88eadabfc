"""Decoding pictures for training: what is plain is decoded as elsewhere, and faults are told in the same words."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("simplejpeg")

from data import decode as module
from data.decode import decode
from rectify.images import ImageError, read_image


def jpeg(shape: tuple[int, ...] = (31, 90, 3), quality: int = 85) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return cv2.imencode(".jpg", cv2.GaussianBlur(noise, (5, 5), 2), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def turned(data: bytes) -> bytes:
    """The JPEG with a note that it lies on its side."""
    note = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    return data[:2] + b"\xff\xe1" + (len(note) + 2).to_bytes(2, "big") + note + data[2:]


@pytest.mark.parametrize("data", [jpeg(), jpeg((40, 21, 3), 40), jpeg((33, 70))], ids=["plain", "coarse", "grey"])
def test_plain_jpeg_as_read_and_without_the_slow_way(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read_image(data)
    monkeypatch.setattr(module, "read_image", None)
    found = decode(data, "word")
    assert found.dtype == np.uint8 and found.shape == expected.shape
    # Decoders may round otherwise.
    assert np.abs(found.astype(int) - expected).max() <= 2


@pytest.mark.parametrize(
    "data",
    [turned(jpeg()), cv2.imencode(".png", np.full((9, 30, 4), 90, np.uint8))[1].tobytes()],
    ids=["turned", "transparent"],
)
def test_what_is_not_plain_is_read_as_elsewhere(data: bytes) -> None:
    np.testing.assert_array_equal(decode(data, "word"), read_image(data))


@pytest.mark.parametrize(
    "data",
    [jpeg()[:-300], jpeg()[:40], jpeg()[:3], b"", jpeg((1, 30, 3))],
    ids=["truncated", "header", "mark", "empty", "flat"],
)
def test_faults_are_told_in_the_same_words(data: bytes) -> None:
    with pytest.raises(ImageError) as expected:
        read_image(data, "word")
    with pytest.raises(ImageError) as found:
        decode(data, "word")
    assert str(found.value) == str(expected.value)
