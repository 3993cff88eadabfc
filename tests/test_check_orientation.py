"""The check of the network for any rotation, with networks whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from data.writer import LmdbWriter
from rectify.images import Image
from rectify.orientation import is_tall
from train import check_orientation
from train.check_orientation import decide, lying_words, right
from train.crops import HOLD_OUT


class OneWay:
    """Is fairly sure that every crop is upright; with glances it finds all upside down that lie."""

    def __init__(self, weights: str | None = None, **options: Any) -> None:
        pass

    def turns(self, images: Sequence[Image]) -> NDArray[np.int64]:
        return np.array([0 if is_tall(image) else 2 for image in images])

    def probabilities(self, images: Sequence[object]) -> NDArray[np.float32]:
        return np.tile(np.array([0.8, 0.1, 0.1, 0.0], np.float32), (len(images), 1))


class Upwards(OneWay):
    """Finds that every word runs up."""

    def turns(self, images: Sequence[Image]) -> NDArray[np.int64]:
        return np.ones(len(images), np.int64)


def words(folder: Path, shapes: Sequence[tuple[int, int]], labels: Sequence[str]) -> str:
    with LmdbWriter(folder) as writer:
        for shape, label in zip(shapes, labels, strict=True):
            writer.add(cv2.imencode(".png", np.zeros(shape, np.uint8))[1].tobytes(), label, {})
    return str(folder)


def test_right_is_what_comes_to_lie_upright() -> None:
    sure = np.eye(4, dtype=np.float32)[:, None]
    assert right(decide(sure, 0.9)).all()
    doubtful = 0.4 + 0.3 * sure
    assert right(decide(doubtful, 0.9))[:, 0].tolist() == [True, False, False, False]
    assert right(decide(doubtful, 0.5)).all()


def test_only_words_that_lie_down_are_turned(tmp_path: Path) -> None:
    kept = HOLD_OUT
    shapes, labels = [(10, 30)] * (3 * kept), ["word"] * (3 * kept)
    shapes[kept], labels[2 * kept] = (30, 10), "of"
    assert len(list(lying_words([words(tmp_path / "set", shapes, labels)]))) == 1


def test_the_command_prints_a_row_for_each_certainty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("Orientation", "Pipeline"):
        monkeypatch.setattr(check_orientation, name, OneWay)
    assert check_orientation.main([words(tmp_path / "set", [(10, 30)], ["word"])]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split("|")[1:-1] for line in lines if line.startswith(("| 0", "| with"))]
    assert len(rows) == len(check_orientation.CERTAINTIES) + 1
    # A quarter of the turned words are upright; none is turned away.
    assert [float(cell) for cell in rows[0][1:]] == [25.0] * 5 + [0.0] * 4
    assert [float(cell) for cell in rows[-1][1:]] == [25.0] * 5 + [0.0, 100.0, 0.0, 100.0]


def test_of_tall_crops_stacked_words_are_right_as_they_are(
    tmp_path: Path, synthetic: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check_orientation, "Orientation", Upwards)
    monkeypatch.setattr(check_orientation, "Pipeline", OneWay)
    photos = words(tmp_path / "set", [(10, 30)], ["word"])
    assert check_orientation.main([photos, "--rendered", str(synthetic)]) == 0
    header, _, *rows = capsys.readouterr().out.split("\n\n")[-1].splitlines()
    assert [cell.split(" (")[0].strip() for cell in header.split("|")[2:-1]] == [
        "running up",
        "running down",
        "stacked",
    ]
    assert [[float(cell) for cell in row.split("|")[2:-1]] for row in rows] == [[100.0, 0.0, 0.0], [0.0, 0.0, 100.0]]


def test_of_tall_crops_there_must_be_rendered_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check_orientation, "Orientation", Upwards)
    monkeypatch.setattr(check_orientation, "Pipeline", OneWay)
    photos = words(tmp_path / "set", [(10, 30)], ["word"])
    with pytest.raises(SystemExit):
        check_orientation.main([photos, "--rendered", photos])
    assert f"no rendered word of 3 letters in {photos}" in capsys.readouterr().err
