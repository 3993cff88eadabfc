"""Quality figures: the truth has no error, and each known error shows up in the figure that is made for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np
import pytest
from numpy.typing import NDArray

from data.quads import Quad
from data.reader import LmdbReader
from data.synth.geometry import Curve, WordGeometry
from data.writer import LmdbWriter
from helpers import save_rectifier
from rectify.conventions import MARGIN, TEXT_EXTENT, canonical_points, to_normalized
from train import quality_command
from train.crops import Crop, Image
from train.quality import TruePoints, measure
from train.shape_errors import (
    annotated_space,
    corner_error,
    flatten_points,
    polygon_iou,
    quad_errors,
    share_outside,
    word_errors,
)

ROWS = COLS = 5
FLAT = WordGeometry((192, 64), 6.0, Curve(), ((0.25, 0, 0), (0, 1.2, 0), (0, 0, 1)))
"""The ink box spans ±0.75 along and ±0.6 across: 144 × 38.4 pixels at 192 × 64."""
TILTED = ((0.25, 0.04, 0.05), (0.05, 0.7, -0.1), (0.01, 0.02, 1))
CURVES = [
    Curve(),
    Curve("arc", 0.8),
    Curve("arc", -1.6),
    Curve("wave", 0.25, 0.7, 1.0),
]


def word(curve: Curve) -> WordGeometry:
    """A tilted word in perspective, bent."""
    return WordGeometry((192, 64), 5.0, curve, TILTED)


def moved(matrix: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Control points of ``FLAT`` that look at flat coordinates changed by a 2 × 3 matrix."""
    flat = canonical_points(ROWS, COLS) / np.array(TEXT_EXTENT)
    change = np.asarray(matrix, np.float64)
    return FLAT.map(flat @ change[:, :2].T + change[:, 2])


@pytest.mark.parametrize("curve", CURVES)
def test_the_truth_has_no_error(curve: Curve) -> None:
    truth = word(curve)
    errors = word_errors(truth.control_points(9, 9), truth, 9, 9)
    assert errors.end_point == 0
    assert errors.aligned == pytest.approx(0, abs=1e-9)
    # Between the control points the spline is not quite the true map.
    assert errors.outline < 0.15 and errors.everywhere < 0.15 and errors.slope < 0.05 and errors.bend < 0.6


@pytest.mark.parametrize("curve", CURVES)
def test_flattening_undoes_the_map(curve: Curve) -> None:
    flat = np.random.default_rng(0).uniform(-1.2, 1.2, (50, 2))
    truth = word(curve)
    assert flatten_points(truth.map(flat), truth) == pytest.approx(flat, abs=1e-9)


def test_a_shift_is_measured_in_pixels_of_the_frame() -> None:
    points = FLAT.control_points(ROWS, COLS) + np.array([3 * 2 / 192, 4 * 2 / 64])
    errors = word_errors(points, FLAT, ROWS, COLS)
    assert errors.end_point == pytest.approx(5)
    assert errors.outline == pytest.approx(5)
    assert errors.everywhere == pytest.approx(5)
    assert errors.aligned == pytest.approx(0, abs=1e-9)


def test_a_wider_frame_is_an_end_point_error_but_not_an_aligned_one() -> None:
    errors = word_errors(moved([[1.5, 0, 0], [0, 1, 0]]), FLAT, ROWS, COLS)
    # 144 / 2 pixels of half length, with the margin, half as much again; a 5-column grid lies at 0, ±½, ±1.
    assert errors.end_point == pytest.approx(72 / TEXT_EXTENT[0] * 0.5 * (1 + 1 + 0.5 + 0.5 + 0) / 5)
    assert errors.aligned == pytest.approx(0, abs=1e-9)
    assert errors.slope == pytest.approx(0, abs=1e-9)


def test_shear_is_an_aligned_error_in_pixels() -> None:
    # x shifts by 0.1 half lengths of 72 pixels at the frame's top, as much back at its bottom; rows at 0, ±½, ±1.
    errors = word_errors(moved([[1, 0.1 * TEXT_EXTENT[1], 0], [0, 1, 0]]), FLAT, ROWS, COLS)
    assert errors.aligned == pytest.approx(7.2 * 0.6, rel=0.02)


def test_a_sloping_frame_shows_its_angle() -> None:
    # Across changes by 0.2 half heights (0.1 heights) on a half length of 3 heights.
    errors = word_errors(moved([[1, 0, 0], [0.2, 1, 0]]), FLAT, ROWS, COLS)
    assert errors.slope == pytest.approx(np.degrees(np.arctan(0.1 / 3)))
    assert errors.bend == pytest.approx(0, abs=1e-9)


def test_a_curve_that_was_not_undone_shows_as_bend() -> None:
    lifted = 0.2
    truth = WordGeometry(FLAT.size, 6.0, Curve("wave", lifted, 1.0), FLAT.matrix)
    errors = word_errors(FLAT.control_points(ROWS, COLS), truth, ROWS, COLS)
    # A whole sine period has an RMS of its height / √2; a straight line takes a part of it away.
    assert 100 * lifted / np.sqrt(2) * 0.5 < errors.bend < 100 * lifted / np.sqrt(2)


def test_upside_down_is_no_alignment() -> None:
    errors = word_errors(moved([[-1, 0, 0], [0, -1, 0]]), FLAT, ROWS, COLS)
    assert errors.aligned > 20


def test_two_edges_bend_the_inside_of_an_arc() -> None:
    truth = word(CURVES[2])
    edges, grid = (word_errors(truth.control_points(rows, cols), truth, rows, cols) for rows, cols in ((2, 10), (5, 5)))
    assert edges.end_point == grid.end_point == 0
    assert edges.everywhere > 2 * grid.everywhere


def test_what_lies_outside_of_the_crop() -> None:
    identity = canonical_points(ROWS, COLS)
    outside = share_outside(np.stack([identity * 0.9, identity * [2, 1] * 0.999, identity + [3, 0]]), ROWS, COLS)
    assert outside == pytest.approx([0, 50, 100], abs=2)


SQUARE = np.array([[0.0, 0], [10, 0], [10, 10], [0, 10]])


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (SQUARE, 1.0),
        (SQUARE[::-1], 1.0),
        (SQUARE + [5, 0], 1 / 3),
        (SQUARE + [20, -30], 0.0),
        (SQUARE * 0.5, 0.25),
        (SQUARE[[0, 1, 2]], 0.5),
    ],
)
def test_polygon_iou(other: NDArray[np.float64], expected: float) -> None:
    assert polygon_iou(SQUARE, other) == pytest.approx(expected, abs=0.01)
    assert polygon_iou(other, SQUARE) == pytest.approx(expected, abs=0.01)


def test_quad_errors_are_measured_on_the_text_outline() -> None:
    quad = Quad((100, 50), np.array([[-0.5, -0.5], [99.5, -0.5], [99.5, 49.5], [-0.5, 49.5]]))
    exact = canonical_points(ROWS, COLS) / np.array(TEXT_EXTENT)
    errors = quad_errors(exact, quad, ROWS, COLS)
    assert corner_error([errors]) == pytest.approx(0, abs=1e-9)
    assert errors.iou == pytest.approx(1, abs=0.01)
    shifted = quad_errors(exact + [2 * 15 / 100, 0], quad, ROWS, COLS)
    assert corner_error([shifted]) == pytest.approx(100 * 15 / 75)
    assert corner_error([errors, shifted]) == pytest.approx(50 * 15 / 75)
    # More space at both ends would not help.
    assert corner_error([shifted], annotated_space([shifted])) == pytest.approx(corner_error([shifted]))


@pytest.mark.parametrize("degrees", [0, 30, 100])
def test_space_that_annotators_leave_is_no_error_of_place(degrees: float) -> None:
    """Three pixels at the ends and two above and below a word of 60 x 20 and, half as much, of one of 30 x 10."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    words = []
    for scale in (1.0, 0.5):
        size = (round(100 * scale), round(100 * scale))
        middle = (np.array(size) - 1) / 2
        flat = canonical_points(ROWS, COLS) / np.array(TEXT_EXTENT) * [30, 10]
        corners = np.array([[-33, -12], [33, -12], [33, 12], [-33, 12]])
        points = to_normalized((flat * scale) @ turn + middle, size)
        words.append(quad_errors(points, Quad(size, (corners * scale) @ turn + middle), ROWS, COLS))
    np.testing.assert_allclose(words[0].offsets, [[3, 2]] * 4, atol=1e-6)
    assert words[0].height == pytest.approx(20)
    assert corner_error(words) == pytest.approx(np.hypot(3, 2))
    assert annotated_space(words) == pytest.approx((3 / 20, 2 / 20), abs=1e-6)
    assert corner_error(words, (3 / 20, 2 / 20)) == pytest.approx(0, abs=1e-6)
    assert corner_error(words, (3 / 20, 0)) == pytest.approx(2)


class Fixed:
    """A locator that answers given control points, in the order of the crops."""

    rows, cols = ROWS, COLS

    def __init__(self, points: Sequence[NDArray[np.float64]]) -> None:
        self.points = list(points)

    def locate(self, images: Sequence[Image]) -> NDArray[np.float32]:
        taken, self.points = self.points[: len(images)], self.points[len(images) :]
        return np.asarray(taken, np.float32).reshape(-1, ROWS * COLS, 2)


def png(width: int = 40, height: int = 20) -> bytes:
    """An encoded picture."""
    return cv2.imencode(".png", np.zeros((height, width), np.uint8))[1].tobytes()


def synthetic_set(folder: Path, extras: Sequence[dict[str, bytes]], images: Sequence[bytes] = ()) -> LmdbReader:
    """A dataset of crops with these further values."""
    with LmdbWriter(folder) as writer:
        for index, extra in enumerate(extras):
            writer.add(images[index] if index < len(images) else png(), "word", extra)
    return LmdbReader(folder)


def geometry(truth: WordGeometry) -> dict[str, bytes]:
    """What the dataset stores of a synthetic word."""
    return {"geometry": json.dumps(truth.to_json()).encode()}


def test_a_set_of_synthetic_words(tmp_path: Path) -> None:
    truth = word(CURVES[1])
    reader = synthetic_set(tmp_path / "synth", [geometry(truth)] * 3 + [{}])
    exact = truth.control_points(ROWS, COLS)
    shifted = exact + np.array([6 * 2 / 192, 0])
    figures = measure(reader, Fixed([exact, shifted, exact, canonical_points(ROWS, COLS) * [-1, 1]])).summary()
    assert (figures.samples, figures.words, figures.bad, figures.quads) == (4, 3, 0, 0)
    assert figures.end_point_error == pytest.approx(2, abs=1e-4)
    assert figures.end_point_error_median == pytest.approx(0, abs=1e-4)
    assert figures.fold_over == 25
    assert (figures.corner_error, figures.iou) == (None, None)
    # The exact crops are black, as is whatever is beside the word: no picture shows a difference.
    assert (figures.ssim, figures.ink_cut_off, figures.cut_off) == (pytest.approx(1), 0, 0)
    assert figures.bent == 75 and figures.strength is not None and figures.strength > 20


def test_the_points_of_the_true_map_have_no_error(tmp_path: Path) -> None:
    reader = synthetic_set(tmp_path / "synth", [geometry(word(curve)) for curve in CURVES] + [{}])
    figures = measure(reader, TruePoints(2, 10)).summary()
    assert (figures.samples, figures.words, figures.end_point_error) == (5, 4, 0)
    assert figures.map_error is not None and figures.map_error > 0.1


def test_labels_are_not_needed(tmp_path: Path) -> None:
    with LmdbWriter(tmp_path / "set") as writer:
        writer.add(png(), "word")
    env = lmdb.open(str(tmp_path / "set"))
    with env.begin(write=True) as transaction:
        transaction.delete(b"label-000000001")
    env.close()
    figures = measure(LmdbReader(tmp_path / "set"), Fixed([canonical_points(ROWS, COLS)])).summary()
    assert (figures.samples, figures.bad) == (1, 0)


def written(text: str) -> tuple[bytes, WordGeometry]:
    """A picture of a text, and where its ink lies."""
    picture = np.full((60, 240), 255, np.uint8)
    cv2.putText(picture, text, (20, 42), cv2.FONT_HERSHEY_DUPLEX, 1.4, 0, 2, cv2.LINE_AA)
    rows, columns = (np.flatnonzero((picture < 128).any(axis)) for axis in (1, 0))
    (left, right), (top, bottom) = (line[[0, -1]] + np.array([-0.5, 0.5]) for line in (columns, rows))
    x, y = to_normalized(np.array([[left, top], [right, bottom]]), (240, 60)).T
    length = (right - left) / (bottom - top)
    matrix = ((np.ptp(x) / length, 0.0, x.mean()), (0.0, np.ptp(y), y.mean()), (0.0, 0.0, 1.0))
    return cv2.imencode(".png", picture)[1].tobytes(), WordGeometry((240, 60), length, Curve(), matrix)


def test_words_that_nobody_can_read_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of three words of which one is not in the picture; a real one, whose truth is unknown, stays."""
    image, truth = written("train")
    with LmdbWriter(tmp_path / "set") as writer:
        writer.add(image, "Train", geometry(truth))
        writer.add(png(240, 60), "train", geometry(truth))
        writer.add(png(240, 60), "train")
        writer.add(b"no image", "train")
    target = tmp_path / "quality.json"
    found = {}
    for options in ([], ["--readable"]):
        assert quality_command.main([str(tmp_path / "set"), "--json", str(target), *options]) == 1
        found[len(options)] = json.loads(target.read_text(encoding="utf-8"))["sets"]["set"]
    assert [(found[n]["samples"], found[n]["words"], found[n]["bad"]) for n in (0, 1)] == [(4, 2, 1), (3, 1, 1)]
    assert found[1]["end_point_error"] < found[0]["end_point_error"]


def test_a_wider_margin_shows_more_of_what_is_outside(tmp_path: Path) -> None:
    reader = synthetic_set(tmp_path / "set", [{}])
    shares = [
        measure(reader, Fixed([canonical_points(ROWS, COLS)]), margin=margin).summary().outside
        for margin in ((0.0, 0.0), MARGIN, (0.5, 0.5))
    ]
    assert shares[:2] == [0, 0] and shares[2] is not None and shares[2] > 50


def test_a_set_with_quads_leaves_vertical_words_out(tmp_path: Path) -> None:
    reader = synthetic_set(tmp_path / "real", [{}] * 3)
    lines = [
        {"index": 1, "size": [100, 50], "quad": [[-0.5, -0.5], [99.5, -0.5], [99.5, 49.5], [-0.5, 49.5]]},
        {"index": 3, "size": [20, 50], "quad": [[0, 0], [19, 0], [19, 49], [0, 49]]},
    ]
    (tmp_path / "real/quads.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    exact = canonical_points(ROWS, COLS) / np.array(TEXT_EXTENT)
    figures = measure(reader, Fixed([exact, exact, exact * 0.1])).summary(space=(0.3, 0.4))
    assert (figures.samples, figures.words, figures.quads) == (3, 0, 1)
    assert figures.corner_error == pytest.approx(0, abs=1e-4)
    assert (figures.end_space, figures.side_space) == pytest.approx((0, 0), abs=1e-4)
    assert figures.spaced_corner_error == pytest.approx(100 * 0.5 * 50 / 75)
    assert (figures.end_point_error, figures.cut_off) == (None, None)


def test_quadrilaterals_of_full_images_are_measured_against(tmp_path: Path) -> None:
    whole = [[-0.5, -0.5], [39.5, -0.5], [39.5, 19.5], [-0.5, 19.5]]
    polygon = {"kind": "polygon", "size": [40, 20], "outline": whole}
    six = {**polygon, "outline": [[0, 0], [20, 0], [39, 0], [39, 19], [20, 19], [0, 19]]}
    extras = [{"geometry": json.dumps(geometry).encode()} for geometry in (polygon, six)]
    exact = canonical_points(ROWS, COLS) / np.array(TEXT_EXTENT)
    figures = measure(synthetic_set(tmp_path / "real", extras), Fixed([exact, exact * 0.5])).summary()
    assert (figures.samples, figures.words, figures.quads) == (2, 0, 1)
    assert figures.corner_error == pytest.approx(0, abs=1e-4)


def test_bad_samples_are_named_and_counted(tmp_path: Path) -> None:
    extras = [{}, {"geometry": b'{"size": [1, 2]}'}, {"geometry": b"nonsense"}, {}]
    reader = synthetic_set(tmp_path / "set", extras, [b"no image"])
    seen: list[Crop] = []
    figures = measure(reader, Fixed([canonical_points(ROWS, COLS)]), seen.append).summary()
    assert (figures.samples, figures.bad, figures.fold_over) == (4, 3, 0)
    assert [key in str(crop.error) for crop, key in zip(seen, ("image", "geometry", "geometry"), strict=False)] == [
        True
    ] * 3
    assert seen[3].error is None


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """A rectifier that always finds the same word."""
    return str(save_rectifier(tmp_path / "rectifier.onnx", word(CURVES[2]).control_points(ROWS, COLS)))


def test_command_prints_a_table_and_writes_json(
    tmp_path: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    synthetic_set(tmp_path / "synth", [geometry(word(CURVES[2]))] * 2)
    target = tmp_path / "quality.json"
    assert quality_command.main([str(tmp_path / "synth"), "--weights", weights, "--json", str(target)]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0].startswith("| set ") and lines[2].startswith("| synth |")
    assert len(lines) == 3 and len({len(line) for line in lines}) == 1
    written: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
    assert (written["rows"], written["cols"], list(written["sets"])) == (5, 5, ["synth"])
    assert written["sets"]["synth"]["samples"] == 2
    assert written["sets"]["synth"]["end_point_error"] == pytest.approx(0, abs=1e-3)
    assert written["sets"]["synth"]["iou"] is None


def test_command_compares_grids_by_the_same_table(
    tmp_path: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    synthetic_set(tmp_path / "synth", [geometry(word(CURVES[2]))])
    target, report = tmp_path / "quality.json", tmp_path / "quality.html"
    options = ["--grids", "2x10", "5x5", "--weights", weights, "--json", str(target), "--report", str(report)]
    assert quality_command.main([str(tmp_path / "synth"), *options]) == 0
    rows = [line.split("|")[2].strip() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == "control points" and rows[2:] == ["true 2x10", "true 5x5", weights]
    written = json.loads(target.read_text(encoding="utf-8"))
    assert [source["control_points"] for source in written["sources"]] == rows[2:]
    errors = [source["sets"]["synth"]["map_error"] for source in written["sources"]]
    # These weights know the 5 x 5 points of this very word.
    assert errors[0] > 2 * errors[1] and errors[2] == pytest.approx(errors[1], abs=1e-3)
    assert "SSIM: of the rectified crop" in report.read_text(encoding="utf-8")


def test_grids_need_a_known_geometry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    synthetic_set(tmp_path / "real", [{}])
    assert quality_command.main([str(tmp_path / "real"), "--grids", "3x3"]) == 1
    assert "real: no known geometry to measure grids on" in capsys.readouterr().err
    synthetic_set(tmp_path / "mixed", [{}, geometry(word(CURVES[2]))])
    assert quality_command.main([str(tmp_path / "mixed"), "--grids", "3x3"]) == 0


def test_a_margin_that_cuts_shows(tmp_path: Path, weights: str) -> None:
    synthetic_set(tmp_path / "synth", [geometry(word(CURVES[2]))])
    target = tmp_path / "quality.json"
    options = ["--weights", weights, "--json", str(target), "--margin"]
    for margin, cut in (("0.06", 0), ("-0.05", 100)):
        assert quality_command.main([str(tmp_path / "synth"), *options, margin, "0.12"]) == 0
        assert json.loads(target.read_text(encoding="utf-8"))["sets"]["synth"]["cut_off"] == cut


@pytest.mark.parametrize("grid", ["5", "1x9", "axb"])
def test_command_refuses_what_is_no_grid(tmp_path: Path, grid: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        quality_command.main([str(tmp_path), "--grids", grid])
    assert "is not a grid" in capsys.readouterr().err


def test_command_goes_on_after_a_folder_that_is_no_dataset(
    tmp_path: Path, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    synthetic_set(tmp_path / "synth", [{}])
    assert quality_command.main([str(tmp_path), str(tmp_path / "synth"), "--weights", weights]) == 1
    captured = capsys.readouterr()
    assert f"rectify-ocr: {tmp_path} is not an LMDB dataset" in captured.err
    assert "| synth |" in captured.out


def test_command_refuses_weights_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        quality_command.main([str(tmp_path), "--weights", str(tmp_path / "absent.onnx")])
    assert "absent.onnx" in capsys.readouterr().err
