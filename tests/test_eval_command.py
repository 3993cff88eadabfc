"""``rectify-ocr eval`` from its arguments to its outputs, with stand-in networks that read coloured bars."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data.writer import LmdbWriter
from helpers import bars, save_orientation, save_recognizer, save_rectifier
from rectify.conventions import canonical_points
from train.eval_command import Evaluation, main

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """A rectifier that always takes the left half of the crop, and a recogniser of bars."""
    folder = tmp_path / "weights"
    folder.mkdir()
    save_rectifier(folder / "rectifier.onnx", canonical_points(5, 5) * [0.5, 1] - [0.5, 0])
    save_recognizer(folder / "recognizer.onnx")
    return str(folder)


def crop(left: str, right: str = "") -> bytes:
    """A picture with bars in either half: raw it reads ``left + right``, rectified ``left``."""
    blank = np.full((50, 200, 3), 255, np.uint8)
    halves = [bars(text) if text else blank for text in (left, right)]
    return cv2.imencode(".png", np.concatenate(halves, axis=1)[:, :, ::-1])[1].tobytes()


def dataset(folder: Path, *samples: tuple[bytes, str]) -> str:
    """Writes a dataset and returns its folder."""
    with LmdbWriter(folder) as writer:
        for image, label in samples:
            writer.add(image, label)
    return str(folder)


@pytest.fixture
def mixed(tmp_path: Path) -> str:
    """Right both ways, fixed, harmed, wrong both ways, left out."""
    return dataset(
        tmp_path / "mixed",
        (crop("ab"), "A-b"),
        (crop("ab", "a"), "ab"),
        (crop("a", "b"), "ab"),
        (crop("b", "b"), "aba"),
        (crop("a"), "!?"),
    )


def figures(path: Path) -> dict[str, Any]:
    """What --json wrote, without the one figure that depends on the machine."""
    written: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for values in written["sets"].values():
        assert values.pop("crops_per_second") > 0
    return written


def test_json_is_exactly_as_documented(tmp_path: Path, weights: str, mixed: str) -> None:
    target = tmp_path / "figures.json"
    assert main([mixed, "--weights", weights, "--json", str(target)]) == 0
    assert figures(target) == {
        "engine": "builtin",
        "rectify": True,
        "protocol": "36",
        "sets": {
            "mixed": {"samples": 4, "word_accuracy": 50.0, "one_minus_ned": round((1 + 1 + 1 / 2 + 1 / 3) / 4, 6)}
        },
    }


def test_json_says_what_was_not_as_usual(tmp_path: Path, weights: str, mixed: str) -> None:
    target = tmp_path / "figures.json"
    command = [mixed, "--weights", weights, "--json", str(target), "--decoder", "ctc", "--rotate", "5", "--seed", "3"]
    assert main(command) == 0
    written = figures(target)
    assert (written["decoder"], written["rotate"], written["seed"]) == ("ctc", 5, 3)


def test_what_was_measured_before_ctrl_c_is_written(
    tmp_path: Path, weights: str, mixed: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    second = dataset(tmp_path / "second", (crop("ab"), "ab"))
    add = Evaluation.add

    def interrupted(self: Evaluation, name: str, reader: Any) -> None:
        if name == "second":
            raise KeyboardInterrupt
        add(self, name, reader)

    monkeypatch.setattr(Evaluation, "add", interrupted)
    target = tmp_path / "figures.json"
    with pytest.raises(KeyboardInterrupt):
        main([mixed, second, "--weights", weights, "--json", str(target)])
    assert figures(target)["sets"].keys() == {"mixed"}
    assert "| mixed" in capsys.readouterr().out


def test_compare_adds_raw_accuracy_fixed_and_harmed(tmp_path: Path, weights: str, mixed: str) -> None:
    target = tmp_path / "figures.json"
    assert main([mixed, "--weights", weights, "--json", str(target), "--compare"]) == 0
    values = figures(target)["sets"]["mixed"]
    assert values["word_accuracy"] == values["raw_word_accuracy"] == 50.0
    assert (values["fixed"], values["harmed"]) == (1, 1)


def test_labels_of_another_alphabet_count_by_a_protocol_of_their_own(
    tmp_path: Path, weights: str, capsys: Captured
) -> None:
    target = tmp_path / "figures.json"
    folder = dataset(tmp_path / "greek", (crop("ab"), "αβ"), (crop("ab"), "AB"))
    assert main([folder, "--weights", weights, "--json", str(target), "--protocol", "letters"]) == 0
    written = figures(target)
    assert written["protocol"] == "letters"
    assert (written["sets"]["greek"]["samples"], written["sets"]["greek"]["word_accuracy"]) == (2, 50.0)
    alone = dataset(tmp_path / "alone", (crop("ab"), "αβ"))
    assert main([alone, "--weights", weights]) == 1
    assert "--protocol letters counts those of any alphabet" in capsys.readouterr().err


def test_no_rectify_reads_the_crops_as_they_are(tmp_path: Path, weights: str) -> None:
    target = tmp_path / "figures.json"
    folder = dataset(tmp_path / "raw", (crop("ab", "a"), "aba"), (crop("a", "b"), "ab"))
    assert main([folder, "--weights", weights, "--json", str(target), "--no-rectify"]) == 0
    written = figures(target)
    assert written["rectify"] is False
    assert written["sets"]["raw"]["word_accuracy"] == 100.0


def test_weights_without_a_rectifier_switch_it_off(tmp_path: Path, weights: str, mixed: str, capsys: Captured) -> None:
    target = tmp_path / "figures.json"
    recognizer = f"{weights}/recognizer.onnx"
    assert main([mixed, "--weights", recognizer, "--json", str(target)]) == 0
    assert figures(target)["rectify"] is False
    assert f"{recognizer} holds no rectifier: crops are read as they are" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([mixed, "--weights", recognizer, "--compare"])
    assert "--compare needs the rectifier" in capsys.readouterr().err


def test_table_has_a_row_a_set_and_one_over_all(tmp_path: Path, weights: str, mixed: str, capsys: Captured) -> None:
    other = dataset(tmp_path / "other", (crop("b"), "b"), (crop("a"), "a"), (crop("a"), "a"), (crop("a"), "a"))
    assert main([mixed, other, "--weights", weights, "--compare", "--decoder", "ctc-beam"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len({len(line) for line in lines}) == 1
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert rows[0] == ["set", "samples", "accuracy %", "raw %", "fixed", "harmed", "1 - NED", "CER", "crops/s"]
    assert [row[:6] for row in rows[2:]] == [
        ["mixed", "4", "50.00", "50.00", "1", "1"],
        ["other", "4", "100.00", "100.00", "0", "0"],
        ["all", "8", "75.00", "75.00", "1", "1"],
    ]


@pytest.mark.parametrize(("protocol", "accuracy"), [("36", 100.0), ("62", 50.0), ("94", 0.0)])
def test_protocol(tmp_path: Path, weights: str, protocol: str, accuracy: float) -> None:
    target = tmp_path / "figures.json"
    folder = dataset(tmp_path / "set", (crop("ab"), "A-b"), (crop("ab"), "a-b"))
    assert main([folder, "--weights", weights, "--protocol", protocol, "--json", str(target)]) == 0
    assert figures(target)["sets"]["set"]["word_accuracy"] == accuracy


def test_cased_labels_count_where_case_does(tmp_path: Path, weights: str) -> None:
    folder = dataset(tmp_path / "set", (crop("ab"), "AB"), (crop("ab"), "AB"), (crop("ab"), "ab"))
    (tmp_path / "set" / "cased.tsv").write_text("1\tab\n2\tAb\n")
    target = tmp_path / "figures.json"
    accuracy = {}
    for protocol in ("36", "62", "94"):
        assert main([folder, "--weights", weights, "--protocol", protocol, "--json", str(target)]) == 0
        accuracy[protocol] = figures(target)["sets"]["set"]["word_accuracy"]
    assert accuracy == {"36": 100.0, "62": pytest.approx(200 / 3, abs=1e-4), "94": pytest.approx(200 / 3, abs=1e-4)}


def test_a_damaged_sidecar_is_named(tmp_path: Path, weights: str, capsys: Captured) -> None:
    folder = dataset(tmp_path / "set", (crop("ab"), "AB"))
    (tmp_path / "set" / "cased.tsv").write_text("1 ab\n")
    assert main([folder, "--weights", weights, "--protocol", "62"]) == 1
    assert "cased.tsv: line 1 is not NUMBER<TAB>TEXT" in capsys.readouterr().err


def test_lexicon_of_a_file(tmp_path: Path, weights: str, mixed: str) -> None:
    words, target = tmp_path / "words.txt", tmp_path / "figures.json"
    words.write_text("ABA\nAB\n")
    assert main([mixed, "--weights", weights, "--lexicon", str(words), "--json", str(target), "--compare"]) == 0
    written = figures(target)
    assert written["lexicon"] == str(words)
    # Read with rectification ab, ab, a, b: the last two become AB.
    assert written["sets"]["mixed"]["word_accuracy"] == 75.0


def test_lexicon_of_each_crop(tmp_path: Path, weights: str, capsys: Captured) -> None:
    folder = dataset(tmp_path / "set", (crop("ab"), "BA"), (crop("ab"), "!"), (b"none", "B"), (crop("ab"), "AB"))
    target = tmp_path / "figures.json"
    arguments = [folder, "--weights", weights, "--lexicon", "sidecar", "--json", str(target)]
    assert main(arguments) == 1
    assert "lexicon50.tsv: no such file" in capsys.readouterr().err
    sidecar = tmp_path / "set" / "lexicon50.tsv"
    sidecar.write_text("1\tBA\n2\tA\n4\tBA,AB\n")
    assert main(arguments) == 1
    assert "lexicon50.tsv: no lexicon for sample 3" in capsys.readouterr().err
    # The crop that does not count and the one that cannot be read take nobody's lexicon.
    sidecar.write_text("1\tBA\n2\tA\n3\tB\n4\tBA,AB\n")
    assert main([*arguments, "--details"]) == 1
    assert figures(target)["sets"]["set"]["word_accuracy"] == pytest.approx(200 / 3, abs=1e-4)
    assert figures(target)["lexicon"] == "sidecar"


def test_details(tmp_path: Path, weights: str, capsys: Captured) -> None:
    folder = dataset(
        tmp_path / "set",
        (crop("ab"), "ab"),
        (crop("ab", "a"), "aba"),  # right as it is
        (crop("ab"), "abb"),
        (crop("a"), "b"),
        (b"none", "ab"),
    )
    target = tmp_path / "figures.json"
    assert main([folder, "--weights", weights, "--json", str(target), "--details"]) == 1
    values = figures(target)["sets"]["set"]
    assert values["by_length"] == {
        "1": {"samples": 1, "word_accuracy": 0.0},
        "2": {"samples": 2, "word_accuracy": 50.0},
        "3": {"samples": 2, "word_accuracy": 0.0},
    }
    assert values["causes"] == {"unreadable": 1, "cut off": 2, "confusion": 1}
    assert values["confusions"] == [["b", "a", 1]]
    assert values["expected_calibration_error"] == pytest.approx(0.6, abs=0.01)  # 1 of 4 right, 4 of 5 sure of it
    printed = capsys.readouterr().out
    for title in ("expected calibration error", "accuracy % by length", "wrong crops by cause", "taken for others"):
        assert title in printed
    assert "| b     |    a |     1 |" in printed


def test_the_report_shows_details_and_groups_by_cause(tmp_path: Path, weights: str) -> None:
    folder = dataset(tmp_path / "set", (crop("ab"), "abb"), (crop("a"), "b"), (crop("ba", "a"), "bbbbbb"))
    target = tmp_path / "report.html"
    assert main([folder, "--weights", weights, "--report", str(target), "--no-rectify"]) == 0
    html = target.read_text(encoding="utf-8")
    assert "wrong crops by cause" in html and "at most a third" in html
    places = [html.index(f"<h3>wrong: {cause} (1)") for cause in ("cut off", "confusion", "other")]
    assert places == sorted(places)


def test_a_bad_sample_counts_as_wrong_and_is_named(tmp_path: Path, weights: str, capsys: Captured) -> None:
    target = tmp_path / "figures.json"
    folder = dataset(tmp_path / "set", (crop("ab"), "ab"), (b"no image", "ab"))
    assert main([folder, "--weights", weights, "--json", str(target)]) == 1
    assert figures(target)["sets"]["set"] == {"samples": 2, "word_accuracy": 50.0, "one_minus_ned": 0.5}
    assert f"rectify-ocr: {folder}: image-000000002: " in capsys.readouterr().err


def test_other_sets_are_evaluated_after_one_that_is_none(
    tmp_path: Path, weights: str, mixed: str, capsys: Captured
) -> None:
    absent = str(tmp_path / "absent")
    assert main([absent, weights, mixed, "--weights", weights]) == 1
    captured = capsys.readouterr()
    assert f"{absent}: no such folder" in captured.err
    assert f"{weights} is not an LMDB dataset" in captured.err
    assert captured.out.count("| mixed") == 1


def test_nothing_is_written_when_no_set_could_be_read(tmp_path: Path, weights: str, capsys: Captured) -> None:
    target = tmp_path / "figures.json"
    assert main([str(tmp_path / "absent"), "--weights", weights, "--json", str(target)]) == 1
    assert capsys.readouterr().out == ""
    assert not target.exists()


def test_sets_of_one_name_are_told_apart(tmp_path: Path, weights: str) -> None:
    target = tmp_path / "figures.json"
    folders = [dataset(tmp_path / parent / "SVT", (crop("a"), "a")) for parent in ("train", "test")]
    assert main([*folders, "--weights", weights, "--json", str(target)]) == 0
    assert list(figures(target)["sets"]) == ["train/SVT", "test/SVT"]


def test_rotation_is_seeded(tmp_path: Path, weights: str, capsys: Captured) -> None:
    folder = dataset(tmp_path / "set", *[(crop("ab"), "ab")] * 8)

    def accuracy(*options: str) -> float:
        target = tmp_path / "figures.json"
        assert main([folder, "--weights", weights, "--no-rectify", "--json", str(target), *options]) == 0
        return float(figures(target)["sets"]["set"]["one_minus_ned"])

    assert accuracy("--rotate", "0") == accuracy() == 1.0
    turned = accuracy("--rotate", "180", "--seed", "3")
    assert turned < 1
    assert accuracy("--rotate", "180", "--seed", "3") == turned
    capsys.readouterr()


def test_report_shows_the_harmed_crop_with_its_points(tmp_path: Path, weights: str, mixed: str) -> None:
    target = tmp_path / "report.html"
    turned = ["--rotate", "1", "--no-any-rotation"]
    assert main([mixed, "--weights", weights, "--compare", "--report", str(target), *turned]) == 0
    html = target.read_text(encoding="utf-8")
    assert html.index("harmed: right before") < html.index("fixed: wrong before") < html.index("<h3>wrong: other (1)")
    assert html.count("<img") == 9
    assert html.count("<figcaption>control points") == 3
    assert "±1°, seed 0" in html
    assert "quality of the rectified crops" not in html  # a crop that was turned is not where its truth says
    assert list(tmp_path.glob(".report*")) == []


def test_report_holds_the_quality_of_the_rectified_crops(tmp_path: Path, weights: str, mixed: str) -> None:
    target = tmp_path / "report.html"
    assert main([mixed, "--weights", weights, "--report", str(target)]) == 0
    html = target.read_text(encoding="utf-8")
    section = html[html.index("quality of the rectified crops") :]
    assert "<th>fold %</th>" in section and "<th>EPE" not in section
    assert "<td>mixed</td><td>5</td><td>0.00</td>" in section


def test_files_are_written_though_nobody_reads_the_table(
    tmp_path: Path, weights: str, mixed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    target, page = tmp_path / "figures.json", tmp_path / "page.html"
    monkeypatch.setattr("sys.stdout", Gone())
    with pytest.raises(BrokenPipeError):
        main([mixed, "--weights", weights, "--json", str(target), "--report", str(page)])
    assert figures(target)["sets"]["mixed"]["samples"] == 4 and page.is_file()


def test_json_goes_through_links_and_into_what_is_no_file(tmp_path: Path, weights: str, mixed: str) -> None:
    target, link, pipe = (tmp_path / name for name in ("figures.json", "link.json", "pipe"))
    target.write_text("old")
    link.symlink_to(target)
    assert main([mixed, "--weights", weights, "--json", str(link)]) == 0
    assert link.is_symlink() and figures(target)["sets"]["mixed"]["samples"] == 4
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        assert main([mixed, "--weights", weights, "--json", str(pipe)]) == 0
        assert reader.stdout is not None and json.loads(reader.stdout.read())["engine"] == "builtin"
    assert pipe.is_fifo()


def test_json_on_standard_output_stands_beside_the_table(tmp_path: Path, weights: str, mixed: str) -> None:
    printed = tmp_path / "printed.txt"
    command = [sys.executable, "-m", "rectify.cli", "eval", mixed, "--weights", weights, "--json", "/dev/stdout"]
    with printed.open("w") as file:
        subprocess.run(command, stdout=file, check=True)
    text = printed.read_text()
    assert '"engine": "builtin"' in text and "| mixed " in text


def test_weights_without_a_rectifier_read_turned_crops_as_they_are(tmp_path: Path, weights: str) -> None:
    folder, target = dataset(tmp_path / "set", (crop("ab"), "ab")), tmp_path / "figures.json"
    alone = str(Path(weights) / "recognizer.onnx")
    assert main([folder, "--weights", alone, "--rotate", "0.001", "--json", str(target)]) == 0
    assert figures(target)["sets"]["set"]["samples"] == 1


def test_crops_are_turned_without_a_network_for_it(tmp_path: Path, weights: str) -> None:
    folder, target = dataset(tmp_path / "set", (crop("ab"), "ab")), tmp_path / "figures.json"
    assert main([folder, "--weights", weights, "--json", str(target), "--rotate", "0.001"]) == 0
    assert figures(target)["sets"]["set"]["samples"] == 1


@pytest.mark.parametrize(
    ("options", "word_accuracy"),
    [
        ([], 0.0),
        (["--any-rotation"], 100.0),
        (["--rotate", "0.001"], 100.0),
        (["--rotate", "0.001", "--no-any-rotation"], 0.0),
    ],
)
def test_turned_crops_are_expected_when_asked_for(
    tmp_path: Path, weights: str, options: list[str], word_accuracy: float
) -> None:
    """The crop is upside down, as the network for it says; its end is where the rectifier looks once it is turned."""
    save_orientation(Path(weights) / "orientation.onnx", turn=2)
    folder, target = dataset(tmp_path / "set", (crop("b", "aab"), "baa")), tmp_path / "figures.json"
    assert main([folder, "--weights", weights, "--json", str(target), *options]) == 0
    assert figures(target)["sets"]["set"]["word_accuracy"] == word_accuracy


def test_the_report_shows_what_was_read(tmp_path: Path, weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tall crop, turned as the glances have it and not as the network for quarter turns alone would."""
    shown: list[np.ndarray] = []

    def pictures(self: Evaluation, reader: Any, outcome: Any) -> list[tuple[str, np.ndarray]]:
        found = original(self, reader, outcome)
        shown.append(found[-1][1])
        return found

    original = Evaluation._pictures
    monkeypatch.setattr(Evaluation, "_pictures", pictures)
    save_orientation(Path(weights) / "orientation.onnx", turn=1)
    tall = cv2.imencode(".png", np.rot90(bars("ab", (400, 50))))[1].tobytes()
    folder = dataset(tmp_path / "set", (tall, "unread"))
    monkeypatch.setattr("recognizer.turns.WEIGHT", 0.0)
    assert main([folder, "--weights", weights, "--report", str(tmp_path / "page.html")]) == 0
    assert len(shown) == 1 and shown[0].shape[1] > shown[0].shape[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "LMDB"),
        (["set", "--any-rotation", "--no-rectify"], "drop --no-rectify"),
        (["set", "--protocol", "37"], "37"),
        (["set", "--rotate", "200"], "200"),
        (["set", "--rotate", "nan"], "nan"),
        (["set", "--seed", "-1"], "-1"),
        (["set", "--json", "absent/figures.json"], "absent"),
        (["set", "--report", "."], "folder"),
        (["set", "--weights", "absent.onnx"], "absent.onnx"),
        (["set", "--lexicon", "absent.txt"], "absent.txt"),
        (["set", "--lexicon", "words.txt", "--engine", "tesseract"], "--lexicon is for the builtin engine"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err
