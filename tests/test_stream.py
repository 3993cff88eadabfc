"""Streams of pictures: order, look-ahead, errors, and one path for arrays and files."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers import bars, noise, save_recognizer, save_rectifier
from recognizer import Pipeline
from rectify.conventions import canonical_points
from rectify.images import Image, ImageError
from rectify.stream import BatchError, load_image, stream


def picture(number: int) -> Image:
    """Says its number."""
    return np.full((2, 2, 3), number, np.uint8)


def numbers(images: Sequence[Image]) -> list[int]:
    return [int(image[0, 0, 0]) for image in images]


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("batch", [1, 4, 100])
def test_results_come_in_order(threads: int, batch: int) -> None:
    entries = list(stream(range(10), picture, numbers, threads, batch))
    assert [(entry.item, entry.result) for entry in entries] == [(n, n) for n in range(10)]
    assert all(entry.image is not None and entry.image[0, 0, 0] == entry.item for entry in entries)


@pytest.mark.parametrize("threads", [0, 1])
def test_what_cannot_be_loaded_keeps_its_place(threads: int) -> None:
    def load(number: int) -> Image:
        if number % 3 == 0:
            raise ImageError(str(number), "no multiple of three")
        return picture(number)

    entries = list(stream(range(7), load, numbers, threads, 2))
    assert [entry.result for entry in entries] == [None, 1, 2, None, 4, 5, None]
    assert [str(entry.error) for entry in entries if entry.error] == [f"{n}: no multiple of three" for n in (0, 3, 6)]


def test_only_the_picture_to_blame_fails_where_a_batch_does() -> None:
    asked: list[list[int]] = []

    def process(images: Sequence[Image]) -> list[int]:
        asked.append(numbers(images))
        if 2 in asked[-1]:
            raise BatchError("not a two")
        return asked[-1]

    entries = list(stream(range(5), picture, process, 0, 4))
    assert [entry.result for entry in entries] == [0, 1, None, 3, 4]
    assert [entry.item for entry in entries if entry.error] == [2] and entries[2].image is not None
    assert asked == [[0, 1, 2, 3], [0], [1], [2], [3], [4]]


def test_nothing_is_processed_where_nothing_was_loaded() -> None:
    def load(_: int) -> Image:
        raise OSError("gone")

    def process(images: Sequence[Image]) -> list[int]:
        raise AssertionError("called for nothing")

    assert [str(entry.error) for entry in stream(range(3), load, process)] == ["gone"] * 3


def test_other_errors_end_the_stream() -> None:
    def load(_: int) -> Image:
        raise KeyError("a fault of the program")

    with pytest.raises(KeyError, match="a fault"):
        list(stream(range(3), load, numbers))


def test_it_takes_no_more_than_it_has_room_for() -> None:
    """Of an endless input: a batch, and as much again that is loaded ahead."""
    taken = itertools.count()
    entries = stream(taken, lambda n: picture(n % 256), numbers, 2, batch=4)
    for _ in range(20):
        next(entries)
    assert 20 <= next(taken) <= 20 + 2 * 4


def test_large_pictures_are_fewer() -> None:
    sizes: list[int] = []

    def process(images: Sequence[Image]) -> list[int]:
        sizes.append(len(images))
        return numbers(images)

    loaded: list[int] = []

    def load(number: int) -> Image:
        loaded.append(number)
        return np.zeros((10, 10, 3), np.uint8)

    for done, _ in enumerate(itertools.islice(stream(itertools.count(), load, process, 2, 100, 1000), 40)):
        assert len(loaded) <= done + 4 + 4 + 2  # a batch, as much ahead, and one for each thread
    assert set(sizes) == {4}  # three are 900 bytes, the fourth passes 1000


def test_one_large_picture_does_not_lock_the_others_out() -> None:
    """The second of two threads fills the room first; the first picture must still come through."""
    second = threading.Event()

    def load(number: int) -> Image:
        if number == 0:
            assert second.wait(30)
        if number == 1:
            second.set()
        return np.full((40, 40, 3), number, np.uint8)

    entries = stream(range(6), load, numbers, 2, batch=100, batch_bytes=1000)
    assert [entry.result for entry in entries] == list(range(6))


def test_loading_goes_on_during_processing() -> None:
    """The first batch waits until the second is loaded, which a stream that loads in between would never do."""
    second = threading.Event()

    def load(number: int) -> Image:
        if number == 3:
            second.set()
        return picture(number)

    def process(images: Sequence[Image]) -> list[bool]:
        return [second.wait(30)] * len(images)

    assert all(entry.result for entry in stream(range(4), load, process, 1, batch=2))


def test_a_stream_that_is_left_stops_its_threads() -> None:
    before = threading.active_count()
    entries = stream(itertools.count(), lambda n: picture(0), numbers, 2, batch=2)
    next(entries)
    entries.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    save_recognizer(tmp_path / "recognizer.onnx")
    save_rectifier(tmp_path / "rectifier.onnx", canonical_points(5, 5))
    return Pipeline(tmp_path)


def test_a_pipeline_reads_arrays_paths_and_bytes(pipeline: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "b.png"
    cv2.imwrite(str(path), bars("ba")[:, :, ::-1])
    items = [bars("ab"), path, str(path), path.read_bytes(), bars("b")[:, :, 0]]
    texts = [reading.text for reading in pipeline.stream(iter(items)) if reading]
    assert texts == ["ab", "ba", "ba", "ba", pipeline.read(bars("b")[:, :, 0]).text]


def test_a_stream_reads_as_a_call_does(pipeline: Pipeline) -> None:
    texts = ["a", "ab", "abba", "b", "bab"] * 60
    images = [bars(text, (40 + 20 * len(text), 30)) for text in texts]

    def source() -> Iterator[Image]:
        yield from images

    streamed = list(pipeline.stream(source(), threads=2))
    assert [reading.text for reading in streamed if reading] == texts
    for one, other in zip(streamed, pipeline(images), strict=True):
        assert one is not None
        np.testing.assert_array_equal(one.control_points, other.control_points)
        np.testing.assert_array_equal(one.crop, other.crop)


def test_bad_items_are_told_or_raised(pipeline: Pipeline, tmp_path: Path) -> None:
    items = [bars("ab"), tmp_path / "none.png", noise(5, 5, 4), bars("b")]
    told: list[tuple[object, str]] = []
    readings = list(pipeline.stream(items, on_error=lambda item, error: told.append((item, str(error)))))
    assert [reading and reading.text for reading in readings] == ["ab", None, None, "b"]
    assert told[0] == (tmp_path / "none.png", f"{tmp_path / 'none.png'}: No such file or directory")
    assert "(5, 5, 4)" in told[1][1]
    with pytest.raises(ImageError, match=r"none\.png: No such file"):
        list(pipeline.stream(items))


def test_what_is_no_image_is_a_type_error(pipeline: Pipeline) -> None:
    with pytest.raises(TypeError, match="int"):
        list(pipeline.stream([3]))  # type: ignore[list-item]


def test_an_array_is_loaded_as_it_is() -> None:
    image = noise(4, 5)
    assert load_image(image) is image
