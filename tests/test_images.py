"""Reading picture files: every kind that a user has, and one line for each that cannot be read."""

from __future__ import annotations

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as Pil
from PIL import ImageOps

from helpers import noise
from rectify import images
from rectify.images import ImageError, check_image, read_image
from rectify.polygon import rectify_polygons


def smooth() -> np.ndarray:
    """A picture that JPEG keeps nearly as it is: (40, 60, 3) RGB."""
    ys, xs = np.mgrid[:40, :60]
    return np.stack([xs * 4, ys * 6, 255 - xs * 2], axis=2).astype(np.uint8)


def encoded(image: Pil.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Pil.Image) else Pil.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_files_come_back_as_rgb(kind: str) -> None:
    image = noise(40, 60, 3)
    np.testing.assert_array_equal(read_image(encoded(image, kind)), image)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_lossy_files_come_back_as_rgb(kind: str, options: dict[str, Any]) -> None:
    result = read_image(encoded(smooth(), kind, quality=95, **options))
    assert np.abs(result.astype(int) - smooth()).mean() < 3


def test_path_str_and_bytes_are_the_same(tmp_path: Path) -> None:
    data = encoded(noise(5, 7, 3), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    np.testing.assert_array_equal(read_image(path), read_image(data))
    np.testing.assert_array_equal(read_image(str(path)), read_image(data))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_become_eight(kind: str) -> None:
    grey = noise(9, 8)
    result = read_image(encoded(Pil.fromarray(grey.astype(np.uint16) * 257), kind))
    np.testing.assert_array_equal(result, np.stack([grey] * 3, axis=2))


def test_sixteen_bits_with_alpha() -> None:
    image = np.dstack([noise(9, 8, 3), np.full((9, 8), 255, np.uint8)])
    data = cv2.imencode(".png", image.astype(np.uint16) * 257)[1].tobytes()
    np.testing.assert_array_equal(read_image(data), image[:, :, 2::-1])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_grey_becomes_rgb(kind: str) -> None:
    result = read_image(encoded(smooth()[:, :, 0], kind))
    assert result.shape == (40, 60, 3)
    assert np.abs(result.astype(int) - smooth()[:, :, :1]).max() < 8


def test_palette_and_one_bit() -> None:
    palette = Pil.fromarray(smooth()).quantize(16)
    np.testing.assert_array_equal(read_image(encoded(palette, "PNG")), np.asarray(palette.convert("RGB")))
    bits = Pil.fromarray(smooth()).convert("1")
    np.testing.assert_array_equal(read_image(encoded(bits, "PNG")), np.asarray(bits.convert("RGB")))


def test_cmyk_jpeg() -> None:
    cmyk = Pil.fromarray(smooth()).convert("CMYK")
    result = read_image(encoded(cmyk, "JPEG", quality=95))
    assert np.abs(result.astype(int) - np.asarray(cmyk.convert("RGB"))).mean() < 4


@pytest.mark.parametrize(("ink", "background"), [(20, 255), (235, 0)])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_shows_the_ink(mode: str, ink: int, background: int) -> None:
    image = np.full((10, 20, 4), (ink, ink, ink, 0), np.uint8)
    image[3:7, 5:15, 3] = 255
    image[3, 5, 3] = 128
    result = read_image(encoded(Pil.fromarray(image).convert(mode), "PNG"))
    assert (result[4:7, 5:15] == ink).all()
    assert (result[:3] == background).all()
    assert abs(int(result[3, 5, 0]) - (ink + background) / 2) < 2


def test_transparent_palette() -> None:
    image = Pil.fromarray(np.array([[0, 1, 1], [1, 0, 1]], np.uint8), "P")
    image.putpalette([10, 20, 30, 90, 80, 70])
    result = read_image(encoded(image, "PNG", transparency=0))
    assert result.tolist() == [[[255] * 3, [90, 80, 70], [90, 80, 70]], [[90, 80, 70], [255] * 3, [90, 80, 70]]]


def test_wholly_transparent_picture_is_blank() -> None:
    assert (read_image(encoded(Pil.new("RGBA", (4, 4)), "PNG")) == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "RGBA"])
def test_exif_orientation_is_honoured(kind: str, orientation: int) -> None:
    image = Pil.fromarray(smooth())
    if kind == "RGBA":
        image, kind = image.convert("RGBA"), "PNG"
    exif = Pil.Exif()
    exif[0x0112] = orientation
    data = encoded(image, kind, exif=exif, **({} if kind == "PNG" else {"quality": 95}))
    upright = np.asarray(ImageOps.exif_transpose(Pil.open(io.BytesIO(data))).convert("RGB"))
    result = read_image(data)
    assert result.shape == upright.shape
    assert result.flags.c_contiguous
    assert np.abs(result.astype(int) - upright).max() < 12


def test_damaged_exif_is_no_reason_to_refuse() -> None:
    exif = b"Exif\0\0II*\0\xff\xff\xff\x7f"
    assert read_image(encoded(smooth(), "JPEG", exif=exif)).shape == (40, 60, 3)


def reason(source: Any) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(source)
    assert "\n" not in str(caught.value)
    assert str(caught.value) == f"{caught.value.path}: {caught.value.reason}"
    return caught.value.reason


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM"])
def test_truncated_files_are_refused_wherever_they_end(kind: str) -> None:
    data = encoded(noise(20, 24, 3), kind)
    for length in (1, 2, 8, 20, 40, *range(60, len(data) - 1, 97), len(data) - 2):
        if kind != "TIFF" or length < len(data) // 2:  # its directory may come last, after all pixels
            reason(data[:length])


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_truncation_is_named(kind: str) -> None:
    data = encoded(noise(20, 24, 3), kind)
    assert reason(data[: len(data) // 2]) == f"truncated {kind}"
    assert reason(data[:-2]) == f"truncated {kind}"


def test_damaged_png_is_refused() -> None:
    data = bytearray(encoded(noise(20, 24, 3), "PNG"))
    data[len(data) // 2] ^= 0xFF
    assert "damaged PNG" in reason(bytes(data))


def test_what_is_no_image() -> None:
    assert reason(b"") == "empty file"
    assert "not an image" in reason(b"hello, world\n" * 20)
    assert "not an image" in reason(bytes(1000))


def test_errors_name_the_file(tmp_path: Path) -> None:
    assert reason(tmp_path / "none.png") == "No such file or directory"
    assert "directory" in reason(tmp_path)
    with pytest.raises(ImageError, match=r"^crop 7: empty file$"):
        read_image(b"", "crop 7")


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert reason(tmp_path / "a.png") == "Permission denied"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_a_single_pixel_is_too_small(kind: str) -> None:
    assert reason(encoded(noise(1, 1, 3), kind)) == "too small: 1x1 pixels"


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_long_thin_picture_is_read(kind: str) -> None:
    assert read_image(encoded(noise(20, 20000, 3), kind)).shape == (20, 20000, 3)


def test_a_huge_size_is_refused_before_anything_is_decoded() -> None:
    header = struct.pack(">II5B", 60000, 60000, 8, 2, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b""))
    )
    assert reason(b"\x89PNG\r\n\x1a\n" + chunks).startswith("too large: 60000x60000 pixels")


@pytest.mark.parametrize(
    "data",
    [
        b"BM" + bytes(16) + struct.pack("<ii", 24000, -24000) + bytes(100),
        b"GIF89a" + struct.pack("<HH", 24000, 24000) + bytes(100),
        b"II*\0" + struct.pack("<IHHHIIHHII", 8, 2, 0x100, 3, 1, 24000, 0x101, 4, 1, 24000),
        b"MM\0*" + struct.pack(">IHHHIHHHHII", 8, 2, 0x100, 3, 1, 24000, 0, 0x101, 4, 1, 24000),
        b"RIFF" + bytes(4) + b"WEBPVP8X" + struct.pack("<II", 10, 0) + (23999).to_bytes(3, "little") * 2,
        b"RIFF" + bytes(4) + b"WEBPVP8L" + struct.pack("<IBI", 5, 0x2F, 15999 | 15999 << 14),
        b"RIFF" + bytes(4) + b"WEBPVP8 " + struct.pack("<I6xHH", 10, 16000, 16000),
    ],
)
def test_every_header_is_asked_for_the_size(data: bytes) -> None:
    assert reason(data).startswith("too large: ")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"II+\0" + bytes(100), "BigTIFF"),
        (b"MM\0+" + bytes(100), "BigTIFF"),
        (b"BM" + struct.pack("<IHHIIHHHH", 62, 0, 0, 26, 12, 4, 3, 1, 24) + bytes(36), "BMP of OS/2"),
    ],
)
def test_kinds_that_opencv_takes_for_others_are_refused(data: bytes, kind: str) -> None:
    assert reason(data).startswith(f"{kind} is not supported")


def test_photos_may_be_larger_than_crops() -> None:
    data = encoded(noise(30, 40, 3), "PNG")
    with pytest.raises(ImageError, match="too large: 40x30 pixels, at most 32766 a side and 0 million in all"):
        read_image(data, most=1199)
    assert read_image(data, most=1200).shape == (30, 40, 3)
    photo = np.zeros((7000, 10_000), np.uint8)
    with pytest.raises(ValueError, match="too large"):
        check_image(photo)
    assert rectify_polygons(photo, [[[10, 10], [60, 10], [60, 30], [10, 30]]])[0].image.shape == (20, 50)


def test_threads_leave_the_log_level_as_it_was() -> None:
    data, before = encoded(noise(9, 9, 3), "PNG"), images._set_log_level(2)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert len(list(pool.map(read_image, [data] * 500))) == 500
        assert images._set_log_level(2) == 2
    finally:
        images._set_log_level(before)


def test_float_pixels_are_refused() -> None:
    data = cv2.imencode(".tiff", noise(5, 5, 3).astype(np.float32))[1].tobytes()
    assert "float32" in reason(data)


@pytest.mark.parametrize("shape", [(2, 2), (9, 5, 1), (9, 5, 3)])
def test_check_image_takes_grey_and_color(shape: tuple[int, ...]) -> None:
    check_image(noise(*shape))


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        ([[1, 2]], TypeError, "list"),
        (np.zeros((4, 4)), TypeError, "float64"),
        (noise(4, 4)[0], ValueError, r"\(4,\)"),
        (noise(4, 4, 4), ValueError, r"\(4, 4, 4\)"),
        (noise(4, 1, 3), ValueError, "too small: 1x4"),
        (noise(2, 40000), ValueError, "too large: 40000x2"),
    ],
)
def test_check_image_says_what_is_wrong(image: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        check_image(image)


def test_a_frame_header_that_breaks_off_is_an_image_error() -> None:
    start_of_frame = b"\xff\xd8\xff\xc0\x00\x04\x08\x00" + b"\xff\xda\x00\x02\xff\xd9"
    with pytest.raises(ImageError, match="image: damaged"):
        read_image(start_of_frame)
