from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers import noise, save_rectifier
from recognizer import Pipeline
from recognizer.turns import Ways
from rectify import Framing, Rectifier
from rectify.conventions import canonical_points
from train import tune_harmless
from train.tune_harmless import ALWAYS, CUTS, NEVER, Outcome, Record, best, outcome


def record(strength: float, raw: bool, rectified: bool, number: int = 0) -> Record:
    return Record("judge", "photos", f"set/{number}", raw, (rectified,) * len(CUTS), (strength,) * len(CUTS))


RECORDS = [record(1, True, False), record(4, True, False), record(9, True, True), record(25, False, True)]


ONE_WAY = Ways(np.array([0]), np.array([2]), np.array([0.0]), np.array([0.0]))
"""Upside down."""


def test_only_words_bent_enough_can_be_fixed_or_harmed() -> None:
    assert outcome(RECORDS, 0, 0) == Outcome(words=4, bent=4, fixed=1, harmed=2)
    assert outcome(RECORDS, 5, 0) == Outcome(words=4, bent=2, fixed=1, harmed=0)
    assert outcome(RECORDS, 30, 0) == Outcome(words=4, bent=0, fixed=0, harmed=0)


def test_the_best_bend_lies_between_the_harmed_and_the_fixed() -> None:
    least_bend, _ = best({("judge", "photos"): RECORDS})
    assert 4 < least_bend <= 25


def test_the_best_cut_of_an_engine_is_the_one_that_fixes() -> None:
    def fixed_with(engine: str, cut: int) -> list[Record]:
        fixed = tuple(index == cut for index in range(len(CUTS)))
        return [Record(engine, "photos", f"set/{n}", False, fixed, (40.0,) * len(CUTS)) for n in range(4)]

    _, chosen = best({("judge", "photos"): fixed_with("judge", 2), ("other", "photos"): fixed_with("other", 0)})
    assert {engine: cut for engine, (_, cut) in chosen.items()} == {"judge": 2, "other": 0}


def test_each_engine_has_a_least_bend_of_its_own() -> None:
    """One is harmed where a word is bent by less than 8, the other nowhere."""
    careful = [record(2, True, False), record(5, True, False), record(30, False, True)]
    other = [record(2, False, True), record(5, False, True), record(30, False, True)]
    _, chosen = best({("careful", "photos"): careful, ("other", "photos"): other})
    assert chosen["careful"][0] > 5 > 2 >= chosen["other"][0]


def test_the_command_reads_each_word_once_and_goes_on(
    tmp_path: Path, synthetic: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def judge(crops: Sequence[object]) -> list[tuple[str, float]]:
        asked.append(len(crops))
        return [("museum", 1.0)] * len(crops)

    monkeypatch.setattr(tune_harmless, "load_engine", lambda name: judge)
    records = tmp_path / "records.jsonl"
    command = ["tune", str(records), "--rendered", str(synthetic), "--engine", "rapidocr", "--most"]
    versions = 1 + len(CUTS)
    for most, calls in (("3", [3]), ("5", [3, 2]), ("5", [3, 2])):
        monkeypatch.setattr("sys.argv", [*command, most])
        tune_harmless.main()
        assert asked == [count * versions for count in calls]
    assert len(records.read_text().splitlines()) == 5
    assert json.loads(records.read_text().splitlines()[0])["kind"] == "rendered"
    assert "LEAST_BEND = " in capsys.readouterr().out


def test_words_are_sampled_as_sharply_as_the_rectifier_does(tmp_path: Path) -> None:
    weights = save_rectifier(tmp_path / "a.onnx", 0.53 * canonical_points(5, 5))
    image = noise(60, 160, 3)
    for sharp in (False, True):
        rectifier = Rectifier(weights, sharp=sharp, margin=(0.06, 0.12))
        versions, _ = tune_harmless._versions([image], Pipeline(weights, engine="none", framing=Framing(sharp=sharp)))
        same = 1 + tune_harmless.CUTS.index(((0.06, 0.12), 0))
        np.testing.assert_array_equal(versions[same], rectifier.rectify(image).image)


def test_words_are_cut_out_the_way_up_that_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = Pipeline(save_rectifier(tmp_path / "a.onnx", canonical_points(5, 5)), engine="none")
    monkeypatch.setattr("recognizer.pipeline.find_ways", lambda images, rectifier: ONE_WAY)
    image = noise(60, 160, 3)
    versions, _ = tune_harmless._versions([image], pipeline)
    same = 1 + tune_harmless.CUTS.index(((0.06, 0.12), 0))
    np.testing.assert_array_equal(versions[same], image[::-1, ::-1])


def test_what_the_rectifier_does_in_any_case_no_least_bend_changes(tmp_path: Path) -> None:
    def strength(points: NDArray[np.floating], size: tuple[int, int]) -> float:
        pipeline = Pipeline(save_rectifier(tmp_path / "a.onnx", points), engine="none")
        return tune_harmless._versions([noise(*size[::-1], 3)], pipeline)[1][0][0]

    identity = canonical_points(5, 5)
    assert strength(identity, (90, 30)) < 1
    assert strength(identity + identity[:, ::-1] * [0, 0.2], (90, 30)) > 5
    assert strength(identity * 0.5, (90, 30)) == ALWAYS
    assert strength(identity, (30, 90)) == NEVER
