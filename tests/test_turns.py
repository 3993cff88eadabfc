"""Which way up crops are read, by networks whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from data.reader import LmdbReader
from data.synth.geometry import WordGeometry
from helpers import RECOGNIZER_CONFIG, bars, noise, save_recognizer, save_rectifier
from recognizer import Pipeline, Recognizer
from recognizer.pipeline import LINE
from recognizer.turns import LEAST, STACKED, WEIGHT, Ways, find_ways
from rectify.conventions import canonical_points
from rectify.framing import Framing
from rectify.images import Image, read_image
from rectify.rectifier import Rectifier
from train.orientation import stacked

LYING, TALL = noise(20, 60, 3), noise(60, 20, 3)


def rectifier(any_rotation: bool | None, *probabilities: ArrayLike) -> Rectifier:
    """Only what tells quarter turns."""
    rows = iter(np.array(probabilities, np.float32))
    orientation = SimpleNamespace(probabilities=lambda images: np.stack([next(rows) for _ in images]))
    return cast(Rectifier, SimpleNamespace(any_rotation=any_rotation, orientation=orientation))


def pairs(ways: Ways) -> list[tuple[int, int]]:
    return list(zip(ways.owners.tolist(), ways.turns.tolist(), strict=True))


def test_only_tall_crops_have_several_ways() -> None:
    ways = find_ways([LYING, TALL, LYING], rectifier(None, [0.1, 0.2, 0.3, 0.4]))
    assert pairs(ways) == [(0, 0), (1, 0), (1, 1), (1, 3), (2, 0)]
    assert ways.doubtful().tolist() == [1, 2, 3]
    assert ways.floors.tolist() == [0, STACKED, 0, 0, 0]
    np.testing.assert_allclose(ways.scores[1:4], WEIGHT * np.log(np.array([0.1, 0.2, 0.4]) + LEAST), rtol=1e-5)


def test_crops_turned_by_any_angle_have_the_ways_that_are_possible() -> None:
    doubtful, sure = [0.5, 0.01, 0.48, 0.01], [0.01, 0.02, 0.97, 0.0]
    ways = find_ways([LYING, TALL], rectifier(True, doubtful, sure))
    assert pairs(ways) == [(0, 0), (0, 2), (1, 2)]
    assert ways.doubtful().tolist() == [0, 1]


def test_without_a_network_all_ways_are_as_likely() -> None:
    ways = find_ways([TALL], cast(Rectifier, SimpleNamespace(any_rotation=None, orientation=None)))
    assert pairs(ways) == [(0, 0), (0, 1), (0, 3)]
    assert len(set(ways.scores.tolist())) == 1


def test_no_crops_have_no_ways() -> None:
    for any_rotation in (True, None):
        ways = find_ways([], rectifier(any_rotation))
        assert pairs(ways) == [] and ways.doubtful().size == 0 and ways.best(np.empty(0)).size == 0


def test_the_best_way_is_likely_and_reads_well() -> None:
    owners, turns = np.array([0, 1, 1, 1, 2, 2]), np.array([0, 0, 1, 3, 0, 2])
    floors = np.array([0, 0.3, 0, 0, 0, 0])
    ways = Ways(owners, turns, WEIGHT * np.log([1, 0.01, 0.5, 0.49, 0.9, 0.1]), floors)
    assert ways.best(np.array([0, 0.2, 0.2, 0.9, 0.3, 0.3])).tolist() == [0, 3, 4]
    assert ways.best(np.array([0, 0.9, 0.2, 0.1, 0.3, 0.8])).tolist() == [0, 1, 5]
    assert ways.best(np.array([0, 0.0, 0.1, 0.1, 0.3, 0.8])).tolist() == [0, 1, 5]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The whole crop is the word, and a recogniser reads bars."""
    save_recognizer(tmp_path / "recognizer.onnx")
    save_rectifier(tmp_path / "rectifier.onnx", canonical_points(5, 5))
    return tmp_path


def even(images: Sequence[Image]) -> NDArray[np.float32]:
    """Knows nothing."""
    return np.full((len(images), 4), 0.25, np.float32)


def confide(monkeypatch: pytest.MonkeyPatch, confidences: dict[str, float]) -> list[str]:
    """Lets glances be so sure of these texts, and of no others; returns the texts that they will read."""
    glance, glanced = Recognizer.glance, []

    def told(self: Recognizer, images: Any, lexicons: Any = None) -> list[Any]:
        texts = [reading.text for reading in glance(self, images, lexicons)]
        glanced.extend(texts)
        return [SimpleNamespace(text=text, confidence=confidences.get(text, 0.0)) for text in texts]

    monkeypatch.setattr(Recognizer, "glance", told)
    return glanced


@pytest.mark.parametrize("turn", [1, 3])
def test_another_engine_gets_tall_crops_the_way_that_reads_best(
    weights: Path, turn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network for quarter turns knows nothing; the glance knows the word."""
    confide(monkeypatch, {"abb": 0.9, "bba": 0.4})
    pipeline = Pipeline(weights, engine="none", framing=Framing())
    assert pipeline.rectifier is not None
    pipeline.rectifier.orientation = cast(Any, SimpleNamespace(probabilities=even))
    upright = bars("abb", (140, 40))
    reading = pipeline.read(np.ascontiguousarray(np.rot90(upright, turn)))
    assert reading.rectified and (reading.text, reading.confidence) == ("", 0.0)
    np.testing.assert_array_equal(reading.crop, upright)
    np.testing.assert_array_equal(pipeline.straighten([np.rot90(upright, turn)])[0].image, upright)
    places = pipeline.locate([np.rot90(upright, turn)])
    np.testing.assert_array_equal(places.points[0], reading.control_points)


def test_letters_above_each_other_stay_as_they_are(synthetic: Path) -> None:
    """The shipped networks leave most such words alone, though they read nothing in them; turned, they were lost."""
    reader = LmdbReader(synthetic)
    words = []
    for index in range(len(reader)):
        geometry = WordGeometry.from_json(reader.geometry(index) or {})
        if len(geometry.characters) > 3:
            words.append(stacked(read_image(reader.image_bytes(index)), geometry))
    assert len(words) > 3
    turns = Pipeline(engine="none").turns(words)
    assert (turns == 0).mean() > 0.7


@pytest.mark.parametrize(
    ("text", "confidence", "line"), [("abb", LINE, True), ("abb", LINE / 2, False), ("a", 1, False)]
)
def test_a_line_aslant_in_a_tall_crop_is_straightened_if_a_glance_reads_it(
    weights: Path, monkeypatch: pytest.MonkeyPatch, text: str, confidence: float, line: bool
) -> None:
    """Else it may be a single letter, or letters above each other."""
    aslant = canonical_points(5, 5) @ np.array([[0.8, 0.6], [-0.3, 0.4]])
    save_rectifier(weights / "rectifier.onnx", aslant)
    pipeline = Pipeline(weights, engine="none")
    assert pipeline.rectifier is not None
    upright = np.array([[0.97, 0.01, 0.01, 0.01]], np.float32)
    pipeline.rectifier.orientation = cast(Any, SimpleNamespace(probabilities=lambda images: upright))
    reading = SimpleNamespace(text=text, confidence=confidence)
    monkeypatch.setattr(Recognizer, "glance", lambda self, images, lexicons=None: [reading] * len(images))
    crop = noise(90, 50, 3)
    assert pipeline.turns([crop]).tolist() == [0]
    assert pipeline.locate([crop]).lines.tolist() == [line]
    (flat,) = pipeline.straighten([crop])
    assert flat.strength > pipeline.rectifier.framing.least_bend and flat.rectified is line


def test_a_glance_tells_what_is_upside_down(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the network for quarter turns leaves it open; what it is sure of is not glanced at."""
    pipeline = Pipeline(weights, any_rotation=True)
    assert pipeline.rectifier is not None
    pipeline.rectifier.orientation = cast(Any, SimpleNamespace(probabilities=even))
    glanced = confide(monkeypatch, {"abb": 0.2, "bba": 0.9})
    crop = bars("abb", (140, 40))
    assert pipeline.turns([crop, crop[::-1, ::-1]]).tolist() == [2, 0]
    assert pipeline.read(crop).text == "bba"
    assert {"abb", "bba"} <= set(glanced)
    glanced.clear()
    certain = np.array([0.01, 0.0, 0.98, 0.01], np.float32)
    pipeline.rectifier.orientation = cast(Any, SimpleNamespace(probabilities=lambda images: certain[None]))
    assert pipeline.turns([crop]).tolist() == [2] and glanced == []


def test_only_other_engines_get_tall_crops_upright_in_doubt(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may read letters set one above the other; the built-in recogniser does not, with a lexicon or without."""
    confide(monkeypatch, {"abb": STACKED / 2})
    crop = np.rot90(bars("abb", (140, 40)))
    for options, turn in (({"engine": "none"}, 0), ({}, 1), ({"lexicon": ["abb", "aa"]}, 1)):
        pipeline = Pipeline(weights, **options)
        assert pipeline.rectifier is not None
        pipeline.rectifier.orientation = cast(Any, SimpleNamespace(probabilities=even))
        assert pipeline.turns([crop]).tolist() == [turn]


def test_imported_recognizers_are_not_asked(weights: Path) -> None:
    """They read pictures of another kind; the shipped one glances in their place."""
    save_recognizer(weights / "recognizer.onnx", {**RECOGNIZER_CONFIG, "preparation": {"height": 32, "width": 96}})
    pipeline = Pipeline(weights)
    assert pipeline.recognizer.preparation is not None and pipeline._glancer.preparation is None
    assert pipeline.read(np.rot90(bars("abb", (140, 40)))).size == (40, 140)


def test_without_a_rectifier_nothing_is_turned(weights: Path) -> None:
    pipeline = Pipeline(weights, rectify=False)
    assert pipeline.turns([LYING, TALL]).tolist() == [0, 0]
    assert [flat.image.shape for flat in pipeline.straighten([LYING, TALL])] == [LYING.shape, TALL.shape]
    assert pipeline.locate([TALL]).points.tolist() == [[[-0.5, -0.5], [19.5, -0.5], [-0.5, 59.5], [19.5, 59.5]]]


@pytest.mark.parametrize("method", ["turns", "locate", "straighten"])
def test_a_single_crop_is_not_taken_for_many(weights: Path, method: str) -> None:
    for rectify in (True, False):
        with pytest.raises(TypeError, match=method):
            getattr(Pipeline(weights, rectify=rectify), method)(LYING)
