"""Rectify, then read, with networks whose answers are known."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.reader import LmdbReader
from helpers import bars, noise, save_recognizer, save_rectifier
from recognizer import Pipeline, Recognizer
from recognizer.lexicon import Lexicon
from recognizer.pipeline import CropReading
from recognizer.recognizer import NAMES
from rectify import read_command
from rectify.conventions import canonical_points, to_pixels
from rectify.framing import Framing
from rectify.images import Image, read_image
from rectify.orientation import TURNS, is_tall
from rectify.rectifier import Rectifier
from rectify.shape import resize

IDENTITY = canonical_points(5, 5)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The left half of each crop is the word."""
    save_recognizer(tmp_path / "recognizer.onnx")
    save_rectifier(tmp_path / "rectifier.onnx", (IDENTITY + np.array([-1, 0])) * (0.5, 1))
    return tmp_path


def halves(left: str, right: str, size: tuple[int, int] = (120, 50)) -> Image:
    return np.concatenate([bars(left, size), bars(right, size)], axis=1)


def test_reads_what_the_rectifier_located(weights: Path) -> None:
    reading = Pipeline(weights).read(halves("abb", "baa"))
    assert reading.text == "abb"
    assert reading.confidence == pytest.approx(1, abs=1e-3)
    assert reading.rectified
    assert (reading.rows, reading.cols, reading.size) == (5, 5, (240, 50))
    np.testing.assert_allclose(reading.control_points[[0, -1]], [[-0.5, -0.5], [119.5, 49.5]], atol=1e-4)


def test_the_recognizer_sees_the_flat_word(weights: Path) -> None:
    reading = Pipeline(weights).read(halves("ab", "bb"))
    assert reading.crop.shape == (32, 96, 3)  # 32 · 1.2 · 120 / 50 = 92, to a multiple of 16
    alone = Recognizer(weights).read(reading.crop[None])
    assert [(alone[0].text, alone[0].confidence)] == [(reading.text, reading.confidence)]


def test_without_rectification_the_whole_crop_is_read(weights: Path) -> None:
    reading = Pipeline(weights, rectify=False).read(halves("ab", "ba"))
    assert reading.text == "abba"
    assert not reading.rectified
    assert (reading.rows, reading.cols) == (2, 2)
    np.testing.assert_allclose(reading.control_points, [[-0.5, -0.5], [239.5, -0.5], [-0.5, 49.5], [239.5, 49.5]])
    assert reading.crop.shape == (32, 192, 3)  # 32 · 1.2 · 240 / 50 = 184


def test_weights_without_a_rectifier_switch_it_off(weights: Path) -> None:
    reading = Pipeline(weights / "recognizer.onnx").read(halves("ab", "ba"))
    assert (reading.text, reading.rectified) == ("abba", False)


@pytest.mark.parametrize("decoder", ["greedy", "beam"])
@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_many_are_each_alone_and_in_order(weights: Path, decoder: str, batch_size: int) -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(["a", "b"], rng.integers(1, 5))) for _ in range(12)]
    images = [halves(text, "ab", (int(rng.integers(80, 300)), 40)) for text in texts]
    pipeline = Pipeline(weights, batch_size=batch_size, decoder=decoder)
    readings = pipeline(images)
    assert [reading.text for reading in readings] == texts
    for image, reading in zip(images, readings, strict=True):
        alone = pipeline.read(image)
        np.testing.assert_array_equal(reading.crop, alone.crop)
        np.testing.assert_array_equal(reading.control_points, alone.control_points)
        assert (alone.text, alone.confidence) == (reading.text, pytest.approx(reading.confidence))


def test_images_are_rgb(weights: Path) -> None:
    """Red reads a, blue reads b: the other channel order reads the other letters."""
    image = halves("abb", "a")
    assert Pipeline(weights).read(np.ascontiguousarray(image[:, :, ::-1])).text == "baa"


@pytest.mark.parametrize("shape", [(30, 90), (30, 90, 1)])
def test_grey_is_read(weights: Path, shape: tuple[int, ...]) -> None:
    reading = Pipeline(weights).read(np.full(shape, 255, np.uint8))
    assert reading.text == ""
    assert reading.crop.shape[2] == 3


@pytest.mark.parametrize("shape", [(2, 2, 3), (20, 20000, 3), (3000, 20, 3)])
def test_odd_shapes_are_read(weights: Path, shape: tuple[int, ...]) -> None:
    reading = Pipeline(weights).read(noise(*shape))
    assert reading.crop.shape[0] == 32
    assert reading.crop.shape[1] in range(64, 513, 16)


def test_nothing_gives_nothing(weights: Path) -> None:
    assert Pipeline(weights)([]) == []


def test_what_is_no_image_is_refused(weights: Path) -> None:
    with pytest.raises(TypeError, match="float64"):
        Pipeline(weights).read(np.zeros((9, 9)))
    with pytest.raises(ValueError, match=r"\(9, 9, 4\)"):
        Pipeline(weights)([noise(9, 9, 3), noise(9, 9, 4)])


def test_unknown_decoder_is_named(weights: Path) -> None:
    with pytest.raises(ValueError, match="'best'; there are auto, ctc, ctc-beam"):
        Pipeline(weights, decoder="best")


def test_decoders_have_the_names_of_the_command(weights: Path) -> None:
    assert read_command.DECODERS == NAMES
    for name, other in (("ctc", "greedy"), ("ctc-beam", "beam")):
        one, two = (Pipeline(weights, decoder=decoder).read(halves("ab", "b")) for decoder in (name, other))
        assert (one.text, one.confidence) == (two.text, two.confidence)


def test_a_lexicon_may_be_a_list(weights: Path) -> None:
    assert Pipeline(weights, lexicon=["ab", "bb"]).read(halves("aa", "")).text in ("ab", "bb")
    with pytest.raises(TypeError, match="many words, not one text"):
        Pipeline(weights, lexicon="ab")
    with pytest.raises(TypeError, match="many words, this is 7"):
        Pipeline(weights, lexicon=["ab", 7])  # type: ignore[list-item]


def test_each_crop_may_have_a_list_of_its_own(weights: Path) -> None:
    crops = [halves("aa", ""), halves("aa", "")]
    read = Pipeline(weights)(crops, lexicons=[["ab"], Lexicon(["bb"])])
    assert [reading.text for reading in read] == ["ab", "bb"]
    with pytest.raises(TypeError, match="many words, not one text"):
        Pipeline(weights)(crops, lexicons=["ab", "bb"])


def test_a_single_path_is_not_taken_for_many(weights: Path) -> None:
    with pytest.raises(TypeError, match="give a single one in a list"):
        list(Pipeline(weights).stream("word.png"))


def test_weights_of_neither_network_are_refused(tmp_path: Path) -> None:
    refiner = save_rectifier(tmp_path / "refiner.onnx", IDENTITY, kind="refiner")
    with pytest.raises(ValueError, match=r"refiner\.onnx: holds neither a rectifier nor a recogniser, but refiner"):
        Pipeline(refiner)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        Pipeline(tmp_path / "none")
    with pytest.raises(ValueError, match="holds no recognizer, only a rectifier"):
        Recognizer(save_rectifier(tmp_path / "a.onnx", IDENTITY))


@pytest.mark.parametrize("images", [noise(2, 16, 64).reshape(2, 16, 64, 1), np.zeros((1, 32, 64, 3), np.float32)])
def test_recognizer_takes_flat_words_only(weights: Path, images: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"uint8 \(N, 32, W, 3\)"):
        Recognizer(weights).read(images)


def test_printing_a_reading_prints_no_pixels(weights: Path) -> None:
    reading = Pipeline(weights).read(halves("a", "b"))
    assert isinstance(reading, CropReading)
    assert "array" not in repr(reading)
    assert to_pixels(IDENTITY, reading.size).shape == reading.control_points.shape


@pytest.mark.parametrize("turn", [1, 3])
def test_a_tall_crop_is_read_along_its_side(tmp_path: Path, turn: int) -> None:
    save_recognizer(tmp_path / "recognizer.onnx")
    save_rectifier(tmp_path / "rectifier.onnx", IDENTITY)
    upright = bars("abb", (120, 50))
    reading = Pipeline(tmp_path).read(np.ascontiguousarray(np.rot90(upright, turn)))
    # The bars read the same from either end but for the order of their colours.
    assert reading.text in ("abb", "bba")
    assert reading.crop.shape == Pipeline(tmp_path).read(upright).crop.shape
    assert reading.size == (50, 120)
    np.testing.assert_allclose(np.ptp(reading.control_points, axis=0), [50, 120], atol=1e-4)


def test_quarter_turns_come_back_to_the_crop() -> None:
    image = noise(30, 12)
    for turn, matrix in enumerate(TURNS):
        turned = np.rot90(image, turn)
        points = to_pixels(np.array([[-0.25, 0.1]]) @ matrix, image.shape[::-1])
        there = to_pixels(np.array([[-0.25, 0.1]]), turned.shape[::-1])
        marked = np.zeros(turned.shape)
        x, y = there[0].round().astype(int)
        marked[y, x] = 1
        row, column = np.argwhere(np.rot90(marked, -turn))[0]
        assert np.abs(points[0] - (column, row)).max() <= 1


def test_a_single_image_is_not_taken_for_many(weights: Path) -> None:
    image = bars("ab")
    for read in (Pipeline(weights), Rectifier(weights / "rectifier.onnx")):
        for one in (image, image[:, :, 0]):
            with pytest.raises(TypeError, match="a list of images is expected"):
                read(one)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decoder": "ctc"}, "decoder 'ctc' is for the built-in recogniser"),
        ({"lexicon": ["ab"]}, "a lexicon is for the built-in recogniser"),
        ({"threads": 0}, "threads is at least 1, got 0"),
        ({"batch_size": 0}, "batch_size is at least 1, got 0"),
    ],
)
def test_what_another_engine_could_not_use_is_refused(weights: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pipeline(weights, engine=lambda crops: [("word", 1.0)] * len(crops), **options)


def test_a_framing_is_for_another_engine(weights: Path) -> None:
    with pytest.raises(ValueError, match="a framing is for another engine"):
        Pipeline(weights, framing=Framing())


@pytest.mark.parametrize("height", [-1, 2.5, "tall"])
def test_a_least_height_is_a_number_of_pixels(height: Any) -> None:
    with pytest.raises(ValueError, match="least_height is a whole number of pixels"):
        Framing(least_height=height)


def test_other_processes_get_it_as_it_was_made(weights: Path) -> None:
    pipeline = Pipeline(weights, decoder="ctc", lexicon=["abb", "ba"])
    image = halves("abb", "baa")
    expected = pipeline.read(image)
    copies = pickle.loads(pickle.dumps(pipeline)), copy.deepcopy(pipeline)
    for reading in (other.read(image) for other in copies):
        assert (reading.text, reading.confidence) == (expected.text, expected.confidence)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(pipeline.read, image).result().text == "abb"
        flat = pool.submit(Rectifier(weights, margin=(0.1, 0.2)).rectify, image).result()
        (reading,) = pool.submit(pipeline.recognizer.read, expected.crop[None]).result()
    np.testing.assert_array_equal(flat.image, Rectifier(weights, margin=(0.1, 0.2)).rectify(image).image)
    assert reading.text == "abb"


def test_any_rotation_needs_a_rectifier(weights: Path) -> None:
    with pytest.raises(ValueError, match="found by the rectifier"):
        Pipeline(weights / "recognizer.onnx", any_rotation=True)
    with pytest.raises(ValueError, match="found by the rectifier"):
        Pipeline(weights, rectify=False, any_rotation=True)


def test_lexicons_are_one_a_crop_and_the_recognizers(weights: Path) -> None:
    lexicon = Lexicon(["ab"])
    with pytest.raises(ValueError, match="2 lexicons for 1 crops"):
        Pipeline(weights)([bars("ab")], [lexicon, lexicon])
    with pytest.raises(ValueError, match="built-in recogniser"):
        Pipeline(weights, engine=lambda crops: [("ab", 1.0)] * len(crops))([bars("ab")], [lexicon])


def test_nothing_is_made_a_word() -> None:
    """The shipped networks are not sure of what a blank crop shows."""
    for height, width in ((32, 100), (40, 300), (2, 200), (200, 2)):
        assert Pipeline().read(np.full((height, width, 3), 128, np.uint8)).confidence < 0.05


def test_shipped_weights_read_a_word_the_same_beside_others(synthetic: Path) -> None:
    """Uncertain ones, too, of which all networks are asked."""
    rng = np.random.default_rng(0)
    reader = LmdbReader(synthetic)
    crops = [read_image(reader.image_bytes(index)) for index in range(len(reader))]
    noisy = [np.clip(crop + rng.normal(0, 60, crop.shape), 0, 255).astype(np.uint8) for crop in crops]
    images = [resize(crop, (96, 32)) for crop in crops + noisy]
    pipeline = Pipeline()
    readings = pipeline(images)
    assert any(reading.confidence < 0.5 for reading in readings)
    for image, reading in zip(images, readings, strict=True):
        alone = pipeline.read(image)
        assert (alone.text, alone.confidence) == (reading.text, pytest.approx(reading.confidence, abs=1e-5))


def test_a_lexicon_tells_the_way_up_whoever_gives_it(synthetic: Path) -> None:
    reader = LmdbReader(synthetic)
    labels = [reader.label(index) for index in range(len(reader))]
    tall = [np.rot90(read_image(reader.image_bytes(index))) for index in range(len(reader))]
    tall = [image for image in tall if is_tall(image)]
    own, given = Pipeline(lexicon=labels)(tall), Pipeline()(tall, [labels] * len(tall))
    assert tall and [reading.text for reading in own] == [reading.text for reading in given]
