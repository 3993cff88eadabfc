"""The contact sheet: which samples, where they stand, and labels that OpenCV cannot draw."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from data import LmdbReader, LmdbWriter
from data.show import CAPTION, CELL, GAP, choose, contact_sheet

ROOT = Path(__file__).parents[1]
PITCH = (CELL[0] + GAP, CELL[1] + CAPTION + GAP)


def plain(color: tuple[int, int, int], width: int = 100, height: int = 32) -> bytes:
    """An image of one RGB colour."""
    return cv2.imencode(".png", np.full((height, width, 3), color[::-1], np.uint8))[1].tobytes()


def dataset(folder: Path, samples: list[tuple[bytes, str]]) -> LmdbReader:
    with LmdbWriter(folder) as writer:
        for image, label in samples:
            writer.add(image, label)
    return LmdbReader(folder)


def test_choose():
    assert choose(10, 3) == [0, 1, 2]
    assert choose(10, 3, start=9) == [8, 9]
    assert choose(3, 60) == [0, 1, 2]
    drawn = choose(1000, 20, seed=1)
    assert drawn == choose(1000, 20, seed=1) == sorted(set(drawn))
    assert len(drawn) == 20 and drawn != choose(1000, 20, seed=2)
    assert sorted(choose(5, 60, seed=1)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("samples", "start"), [(10, 11), (10, 0)])
def test_start_beyond_the_samples(samples, start):
    with pytest.raises(ValueError, match=f"no sample {start}; the dataset has {samples}"):
        choose(samples, 5, start)


def test_places_and_colours(tmp_path):
    colors = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0)]
    reader = dataset(tmp_path / "words", [(plain(color), "word") for color in colors])
    sheet = contact_sheet(reader, [3, 0, 1, 2], columns=3)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (2 * PITCH[1] + GAP, 3 * PITCH[0] + GAP, 3)
    for place, index in enumerate([3, 0, 1, 2]):
        row, column = divmod(place, 3)
        middle = sheet[GAP + row * PITCH[1] + CELL[1] // 2, GAP + column * PITCH[0] + CELL[0] // 2]
        assert tuple(middle) == colors[index]
        caption = sheet[GAP + row * PITCH[1] + CELL[1] :, GAP + column * PITCH[0] :][:CAPTION, : CELL[0]]
        assert caption.min() < 100


def test_fewer_samples_than_columns_make_a_narrow_sheet(tmp_path):
    reader = dataset(tmp_path / "words", [(plain((0, 0, 0)), "word")] * 2)
    assert contact_sheet(reader, [0, 1], columns=6).shape[1] == 2 * PITCH[0] + GAP


@pytest.mark.parametrize("size", [(2000, 40), (40, 2000), (3, 3), (2, 900), (640, 480)])
def test_proportions_are_kept_inside_the_cell(tmp_path, size):
    reader = dataset(tmp_path / "words", [(plain((250, 0, 0), *size), "word")])
    sheet = contact_sheet(reader, [0])
    rows, columns = np.nonzero((sheet == (250, 0, 0)).all(axis=2))
    width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
    scale = min(CELL[0] / size[0], CELL[1] / size[1], 3)
    assert abs(width - max(1, size[0] * scale)) <= 0.5
    assert abs(height - max(1, size[1] * scale)) <= 0.5


@pytest.mark.parametrize("label", ["", "日本語 🙂", "tab\tnew\nline", "é", "\x00", "long " * 200, "%s {0} \\"])
def test_any_label_is_drawn(tmp_path, label):
    reader = dataset(tmp_path / "words", [(plain((0, 0, 0)), label), (plain((0, 0, 0)), "x")])
    sheet = contact_sheet(reader, [0, 1])
    assert (sheet[:, GAP + CELL[0] : PITCH[0] + GAP] == 255).all()  # nothing runs into the gap


@pytest.mark.parametrize(("one", "other"), [("é", "日"), ("\t", "\n"), ("a", "b")])
def test_labels_that_differ_look_different(tmp_path, one, other):
    readers = [dataset(tmp_path / str(i), [(plain((0, 0, 0)), label)]) for i, label in enumerate([one, other])]
    assert not np.array_equal(contact_sheet(readers[0], [0]), contact_sheet(readers[1], [0]))


def test_labels_beyond_ascii_are_written_in_a_font(tmp_path, fonts):
    reader = dataset(tmp_path / "words", [(plain((0, 0, 250)), label) for label in ("ééé", "e" * 80)])
    escaped, written = (
        contact_sheet(reader, [0, 1], columns=1, font=font) for font in (None, fonts / "Aileron-Regular.ttf")
    )

    def width(sheet, row):
        caption = sheet[GAP + row * PITCH[1] + CELL[1] :][:CAPTION]
        return np.flatnonzero((caption < 128).any((0, 2))).max()

    assert width(written, 0) < width(escaped, 0) < width(written, 1) < GAP + CELL[0]
    broken = dataset(tmp_path / "broken", [(plain((0, 0, 0)), "two\nlines"), (plain((0, 0, 0)), "two")])
    sheet = contact_sheet(broken, [0, 1], columns=1, font=fonts / "Aileron-Regular.ttf")
    assert width(sheet, 0) > width(sheet, 1)
    with pytest.raises(ValueError, match=r"nofont\.ttf: not a font"):
        contact_sheet(reader, [0], font=tmp_path / "nofont.ttf")


def test_bad_samples_are_shown_by_their_reason(tmp_path):
    reader = dataset(tmp_path / "words", [(b"no picture", "word"), (plain((0, 0, 0)), "word")])
    sheet = contact_sheet(reader, [0, 1])
    reddish = (sheet[:, :, 0] > 150) & (sheet[:, :, 1] < 80)
    assert reddish[:, : PITCH[0]].any() and not reddish[:, PITCH[0] :].any()


def test_needs_no_torch():
    script = "import sys, data.show, data.inspect, data.build; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


@pytest.mark.parametrize("seed", [None, 1])
def test_an_empty_dataset_is_named(seed: int | None) -> None:
    with pytest.raises(ValueError, match="no samples"):
        choose(0, 5, seed=seed)
