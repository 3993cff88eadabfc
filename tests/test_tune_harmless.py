from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers import noise, save_rectifier
from rectify import Rectifier
from rectify.conventions import canonical_points
from train import tune_harmless
from train.tune_harmless import ALWAYS, MARGINS, NEVER, Outcome, Record, best, outcome


def record(strength: float, raw: bool, rectified: bool, number: int = 0) -> Record:
    return Record("judge", "photos", f"set/{number}", strength, raw, (rectified,) * len(MARGINS))


RECORDS = [record(1, True, False), record(4, True, False), record(9, True, True), record(25, False, True)]


def test_only_words_bent_enough_can_be_fixed_or_harmed() -> None:
    assert outcome(RECORDS, 0, 0) == Outcome(words=4, bent=4, fixed=1, harmed=2)
    assert outcome(RECORDS, 5, 0) == Outcome(words=4, bent=2, fixed=1, harmed=0)
    assert outcome(RECORDS, 30, 0) == Outcome(words=4, bent=0, fixed=0, harmed=0)


def test_the_best_bend_lies_between_the_harmed_and_the_fixed() -> None:
    least_bend, _ = best({("judge", "photos"): RECORDS})
    assert 4 < least_bend <= 25


def test_the_best_margin_of_an_engine_is_the_one_that_fixes() -> None:
    wide = [Record("judge", "photos", f"set/{n}", 40.0, False, (False, False, True, False, False)) for n in range(4)]
    tight = [Record("other", "photos", f"set/{n}", 40.0, False, (True, False, False, False, False)) for n in range(4)]
    assert best({("judge", "photos"): wide, ("other", "photos"): tight})[1] == {"judge": 2, "other": 0}


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
    versions = 1 + len(MARGINS)
    for most, calls in (("3", [3]), ("5", [3, 2]), ("5", [3, 2])):
        monkeypatch.setattr("sys.argv", [*command, most])
        tune_harmless.main()
        assert asked == [count * versions for count in calls]
    assert len(records.read_text().splitlines()) == 5
    assert json.loads(records.read_text().splitlines()[0])["kind"] == "rendered"
    assert "LEAST_BEND = " in capsys.readouterr().out


def test_what_the_rectifier_does_in_any_case_no_least_bend_changes(tmp_path: Path) -> None:
    def strength(points: NDArray[np.floating], size: tuple[int, int]) -> float:
        rectifier = Rectifier(save_rectifier(tmp_path / "a.onnx", points))
        return tune_harmless._versions([noise(*size[::-1], 3)], rectifier)[1][0]

    identity = canonical_points(5, 5)
    assert strength(identity, (90, 30)) < 1
    assert strength(identity + identity[:, ::-1] * [0, 0.2], (90, 30)) > 5
    assert strength(identity * 0.5, (90, 30)) == ALWAYS
    assert strength(identity, (30, 90)) == NEVER
