"""The command through its real entry point, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers import bars, noise, save_recognizer, save_rectifier
from rectify import cli, read_command
from rectify.conventions import canonical_points
from rectify.images import read_image
from rectify.stream import stream

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The middle half of each crop, in height, is the word."""
    folder = tmp_path_factory.mktemp("weights")
    save_recognizer(folder / "recognizer.onnx")
    save_rectifier(folder / "rectifier.onnx", canonical_points(5, 5) * (1, 0.5))
    return folder


def run(folder: Path, *arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "rectify.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, input=stdin, capture_output=True, timeout=120)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[:, :, ::-1])
    return path


def test_one_image_prints_its_text_alone(tmp_path: Path, weights: Path) -> None:
    save(tmp_path / "a.png", bars("abba"))
    done = run(tmp_path, "a.png", "--weights", weights)
    assert (done.returncode, done.stdout, done.stderr) == (0, "abba\n", "")


def test_several_print_path_text_confidence(tmp_path: Path, weights: Path) -> None:
    save(tmp_path / "b.png", bars("ab"))
    save(tmp_path / "a.png", bars("ba"))
    done = run(tmp_path, "b.png", "a.png", "--weights", weights)
    assert (done.returncode, done.stdout) == (0, "b.png\tab\t1.0000\na.png\tba\t1.0000\n")


def test_folder_is_read_sorted_with_what_is_below(tmp_path: Path, weights: Path) -> None:
    for name, text in (("c/b.png", "b"), ("c/a.PNG", "a"), ("c/sub/d.png", "ab"), ("c/.hidden.png", "bb")):
        save(tmp_path / name, bars(text))
    (tmp_path / "c" / "notes.txt").write_text("no picture")
    done = run(tmp_path, "c", "--weights", weights)
    lines = [line.split("\t")[:2] for line in done.stdout.splitlines()]
    sub = os.path.join("c", "sub", "d.png")
    assert lines == [[os.path.join("c", "a.PNG"), "a"], [os.path.join("c", "b.png"), "b"], [sub, "ab"]]
    assert (done.returncode, done.stderr) == (0, "")


def test_links_to_folders_are_followed_once(tmp_path: Path, weights: Path) -> None:
    save(tmp_path / "elsewhere" / "a.png", bars("ab"))
    save(tmp_path / "in" / "b.png", bars("ba"))
    save(tmp_path / "in" / "folder" / "c.png", bars("ba"))
    elsewhere = tmp_path / "elsewhere"
    for link, target in (("a-link", "folder"), ("link", elsewhere), ("once-more", elsewhere), ("self", ".")):
        (tmp_path / "in" / link).symlink_to(target, target_is_directory=True)
    done = run(tmp_path, "in", "--weights", weights)
    paths = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert paths == ["in/b.png", "in/folder/c.png", "in/link/a.png"]
    assert (done.returncode, done.stderr) == (0, "")


def test_a_folder_of_one_prints_its_path_too(tmp_path: Path, weights: Path) -> None:
    save(tmp_path / "c" / "a.png", bars("a"))
    assert run(tmp_path, "c", "--weights", weights).stdout == os.path.join("c", "a.png") + "\ta\t1.0000\n"


@pytest.mark.skipif(sys.platform != "linux", reason="names of other bytes")
def test_a_name_that_is_not_utf_8_is_printed_as_it_is(tmp_path: Path, weights: Path) -> None:
    data = cv2.imencode(".png", bars("ab"))[1].tobytes()
    for name in (b"a.png", b"b\xff.png", b"c.png"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(data)
    command = [sys.executable, "-m", "rectify.cli", ".", "--weights", str(weights)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=120)
    names = [line.split(b"\t")[0] for line in done.stdout.splitlines()]
    assert (done.returncode, names) == (0, [b"a.png", b"b\xff.png", b"c.png"])


def test_a_letter_that_stdout_lacks_is_escaped(tmp_path: Path, weights: Path) -> None:
    for name in ("a.png", "é.png", "日.png"):
        data = cv2.imencode(".png", bars("ab"))[1].tobytes()
        (tmp_path / name).write_bytes(data)
    command = [sys.executable, "-m", "rectify.cli", ".", "--weights", str(weights)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=120)
    names = [line.split(b"\t")[0] for line in done.stdout.splitlines()]
    assert (done.returncode, names) == (0, [b"a.png", b"\xe9.png", b"\\u65e5.png"])


def test_json_of_a_name_that_is_not_utf_8_gives_it_back(tmp_path: Path, weights: Path) -> None:
    data = cv2.imencode(".png", bars("ab"))[1].tobytes()
    for name in ("é.png".encode(), b"b\xff.png"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(data)
    done = run(tmp_path, ".", "--json", "--weights", weights)
    assert "é.png" in done.stdout
    names = [os.fsencode(json.loads(line)["path"]) for line in done.stdout.splitlines()]
    assert sorted(names) == sorted(["é.png".encode(), b"b\xff.png"])


def test_options_may_stand_between_pictures(tmp_path: Path, weights: Path) -> None:
    for name in "ab":
        save(tmp_path / f"{name}.png", bars(name))
    done = run(tmp_path, "a.png", "-o", "flat", "b.png", "--weights", weights)
    assert (done.returncode, [line.split("\t")[0] for line in done.stdout.splitlines()]) == (0, ["a.png", "b.png"])


def test_standard_input_beside_others(tmp_path: Path, weights: Path) -> None:
    data = save(tmp_path / "a.png", bars("ab")).read_bytes()
    done = run(tmp_path, "a.png", "-", "--weights", weights, stdin=data)
    assert [line.split("\t")[:2] for line in done.stdout.splitlines()] == [["a.png", "ab"], ["-", "ab"]]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path, weights: Path) -> None:
    save(tmp_path / "in" / "a.png", bars("ab"))
    os.mkfifo(tmp_path / "in" / "b.png")
    assert run(tmp_path, "in", "--weights", weights).stdout.splitlines() == ["in/a.png\tab\t1.0000"]


def test_results_are_not_saved_where_pictures_are_read_from(tmp_path: Path, weights: Path) -> None:
    save(tmp_path / "in" / "a.png", bars("ab"))
    done = run(tmp_path, "in", "-o", "in/../in", "--weights", weights)
    assert (done.returncode, done.stdout) == (2, "") and "is read from" in done.stderr
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.png"]


@pytest.mark.parametrize("stem", [".", "n" * 250])
def test_odd_names_are_saved_where_they_belong(tmp_path: Path, weights: Path, stem: str) -> None:
    save(tmp_path / "a.png", bars("ab")).rename(tmp_path / f"{stem}.png")
    done = run(tmp_path, f"./{stem}.png", "-o", "out/deep", "--weights", weights)
    assert (done.returncode, done.stderr) == (0, "")
    assert [str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png")] == [
        f"deep/{stem}.png"
    ]


def test_a_crop_that_an_engine_fails_on_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        save(tmp_path / f"{number}.png", np.full((20, 60, 3), 60 * number, np.uint8))

    def engine(crops: list[np.ndarray]) -> list[tuple[str, float]]:
        if any(crop.max() == 120 for crop in crops):
            raise RuntimeError("no memory\nfor this")
        return [("word", 1.0)] * len(crops)

    monkeypatch.setattr("recognizer.pipeline.load_engine", lambda name, threads: engine)
    assert cli.main([str(tmp_path), "--engine", "tesseract", "--no-rectify"]) == 1
    printed = capsys.readouterr()
    assert [Path(line.split("\t")[0]).name for line in printed.out.splitlines()] == ["0.png", "1.png", "3.png"]
    assert printed.err == f"rectify-ocr: {tmp_path / '2.png'}: the engine failed: no memory for this\n"


def test_closed_streams_are_one_line_or_none(tmp_path: Path, weights: Path) -> None:
    save(tmp_path / "a.png", bars("ab"))
    command = f"{sys.executable} -m rectify.cli --weights {weights}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for arguments, code, told in (("a.png >&-", 0, ""), ("- <&-", 1, "rectify-ocr: standard input: closed\n")):
        done = subprocess.run(
            f"{command} {arguments}", shell=True, cwd=tmp_path, env=environment, capture_output=True, timeout=120
        )
        assert (done.returncode, done.stderr.decode()) == (code, told)


def test_many_results_of_one_name_are_numbered(tmp_path: Path, weights: Path) -> None:
    for folder in "abc":
        save(tmp_path / folder / "word.png", bars("ab"))
    save(tmp_path / "out" / "word-2.png", bars("b"))
    inputs = ["a/word.png", "out/word-2.png", "b/word.png", "c/word.png"]
    assert run(tmp_path, *inputs, "-o", "out", "--weights", weights).returncode == 0
    names = ["word-2-2.png", "word-2.png", "word-3.png", "word-4.png", "word.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names


def test_the_margin_decides_with_any_engine_and_with_none(tmp_path: Path, weights: Path) -> None:
    """The middle half in height and a margin of its own height fill a crop, without it they do not."""
    save(tmp_path / "a.png", noise(40, 120, 3))
    for margin, bent in (("0", True), ("0.5", False)):
        done = run(tmp_path, "a.png", "--engine", "none", "--json", "--margin", "0", margin, "--weights", weights)
        assert json.loads(done.stdout)["rectified"] is bent


def test_attention_is_the_builtin_engines(tmp_path: Path, weights: Path) -> None:
    save(tmp_path / "a.png", bars("ab"))
    done = run(tmp_path, "a.png", "--engine", "none", "--json", "--attention", "looked", "--weights", weights)
    assert done.returncode == 2 and "--attention is of the builtin engine" in done.stderr


def test_standard_input(tmp_path: Path, weights: Path) -> None:
    data = save(tmp_path / "a.png", bars("aab")).read_bytes()
    assert run(tmp_path, "-", "--weights", weights, stdin=data).stdout == "aab\n"
    done = run(tmp_path, "-", "--weights", weights)
    assert (done.returncode, done.stderr) == (1, "rectify-ocr: standard input: empty file\n")


def test_json(tmp_path: Path, weights: Path) -> None:
    save(tmp_path / "a.png", bars("ab", (120, 40)))
    done = run(tmp_path, "a.png", "--json", "--weights", weights)
    (line,) = done.stdout.splitlines()
    value = json.loads(line)
    assert list(value) == ["path", "text", "confidence", "rectified", "control_points", "size"]
    assert (value["path"], value["text"], value["confidence"], value["rectified"]) == ("a.png", "ab", 1.0, True)
    assert value["size"] == [120, 40]
    assert len(value["control_points"]) == 25
    assert value["control_points"][0] == [-0.5, 9.5]
    assert value["control_points"][-1] == [119.5, 29.5]


def test_json_names_the_files_that_were_written(tmp_path: Path, weights: Path) -> None:
    for name in ("a/word.png", "b/word.png"):
        save(tmp_path / name, bars("ab"))
    done = run(tmp_path, "a/word.png", "b/word.png", "--json", "-o", "flat", "--overlay", "drawn", "--weights", weights)
    first, second = (json.loads(line)["files"] for line in done.stdout.splitlines())
    assert first == {"output": "flat/word.png", "overlay": "drawn/word.png"}
    assert second == {"output": "flat/word-2.png", "overlay": "drawn/word-2.png"}
    assert all((tmp_path / name).is_file() for files in (first, second) for name in files.values())


def test_no_rectify(tmp_path: Path, weights: Path) -> None:
    save(tmp_path / "a.png", bars("ab", (120, 40)))
    value = json.loads(run(tmp_path, "a.png", "--json", "--no-rectify", "--weights", weights).stdout)
    assert (value["text"], value["rectified"]) == ("ab", False)
    assert value["control_points"] == [[-0.5, -0.5], [119.5, -0.5], [-0.5, 39.5], [119.5, 39.5]]


def test_weights_of_a_recognizer_alone_switch_rectification_off(tmp_path: Path, weights: Path) -> None:
    save(tmp_path / "a.png", bars("ab"))
    done = run(tmp_path, "a.png", "--json", "--weights", weights / "recognizer.onnx")
    assert json.loads(done.stdout)["rectified"] is False


@pytest.mark.parametrize("decoder", ["auto", "ctc", "ctc-beam"])
def test_decoders(tmp_path: Path, weights: Path, decoder: str) -> None:
    save(tmp_path / "a.png", bars("abb"))
    assert run(tmp_path, "a.png", "--decoder", decoder, "--weights", weights).stdout == "abb\n"


def test_attention_is_drawn_only_by_weights_that_have_it(tmp_path: Path, weights: Path) -> None:
    save(tmp_path / "a.png", bars("abb"))
    done = run(tmp_path, "a.png", "--attention", "looked", "--weights", weights)
    assert done.returncode == 2 and "needs the attention head" in done.stderr
    assert not (tmp_path / "looked").exists()


def test_saved_crop_is_the_flat_word_at_its_resolution(tmp_path: Path, weights: Path) -> None:
    image = noise(40, 120, 3)
    save(tmp_path / "a.png", image)
    done = run(tmp_path, "a.png", "-o", "out/flat", "--overlay", "drawn", "--weights", weights)
    assert done.returncode == 0
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "flat" / "a.png"), image[10:30])
    assert read_image(tmp_path / "drawn" / "a.png").shape[0] > 300
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.png", "a.png", "a.png", "drawn", "flat", "out"]


def test_engine_none_only_straightens(tmp_path: Path, weights: Path) -> None:
    image = noise(40, 120, 3)
    save(tmp_path / "a.png", image)
    done = run(tmp_path, "a.png", "--engine", "none", "-o", "flat", "--weights", weights / "rectifier.onnx")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    np.testing.assert_array_equal(read_image(tmp_path / "flat" / "a.png"), image[10:30])
    done = run(tmp_path, "a.png", "--engine", "none", "--json", "--weights", weights)
    value = json.loads(done.stdout)
    assert (value["text"], value["confidence"], value["rectified"]) == (None, None, True)


def test_results_of_one_name_do_not_overwrite_each_other(tmp_path: Path, weights: Path) -> None:
    """a.png, a.bmp and two folders' a.png into one folder, crops and drawings alike."""
    for number, name in enumerate(("a.png", "a.bmp", "x/a.png", "y/a.png", "y/deep/a.png")):
        save(tmp_path / name, noise(40, 120, 3, seed=number))
    done = run(tmp_path, "a.png", "a.bmp", "x", "y", "-o", "out", "--weights", weights)
    assert done.returncode == 0
    for number, name in enumerate(("a.png", "a-2.png", "a-3.png", "a-4.png", "deep/a.png")):
        np.testing.assert_array_equal(read_image(tmp_path / "out" / name), noise(40, 120, 3, seed=number)[10:30])
    run(tmp_path, "a.png", "-o", "both", "--overlay", "both", "--weights", weights)
    assert sorted(p.name for p in (tmp_path / "both").iterdir()) == ["a-2.png", "a.png"]


def test_inputs_are_never_overwritten(tmp_path: Path, weights: Path) -> None:
    before = save(tmp_path / "a.png", noise(40, 120, 3)).read_bytes()
    assert run(tmp_path, "a.png", "-o", ".", "--weights", weights).returncode == 0
    assert (tmp_path / "a.png").read_bytes() == before
    assert (tmp_path / "a-2.png").is_file()


def test_pictures_beside_an_input_are_never_overwritten(tmp_path: Path, weights: Path) -> None:
    save(tmp_path / "in" / "a.bmp", noise(40, 120, 3))
    before = save(tmp_path / "in" / "a.png", bars("ab")).read_bytes()
    for number in (2, 3):
        done = run(tmp_path, "in/a.bmp", "-o", "in", "--json", "--weights", weights)
        assert json.loads(done.stdout)["files"] == {"output": f"in/a-{number}.png"}
    assert (tmp_path / "in" / "a.png").read_bytes() == before


def test_results_of_an_earlier_run_are_replaced(tmp_path: Path, weights: Path) -> None:
    """In any folder but those of named pictures, be it the current one."""
    save(tmp_path / "in" / "a.png", noise(40, 120, 3))
    for _ in range(2):
        run(tmp_path, "in", "-o", ".", "--weights", weights)
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".png") == ["a.png"]


def test_names_like_options_come_after_two_dashes(tmp_path: Path, weights: Path) -> None:
    for name in ("-dash.png", "b.png"):
        save(tmp_path / name, bars("ab"))
    done = run(tmp_path, "b.png", "--weights", weights, "--", "-dash.png", "--json")
    assert done.stdout.splitlines() == ["b.png\tab\t1.0000", "-dash.png\tab\t1.0000"]
    assert (done.returncode, done.stderr) == (1, "rectify-ocr: --json: No such file or directory\n")


def test_a_picture_is_one_line_whatever_its_name(tmp_path: Path, weights: Path) -> None:
    save(tmp_path / "in" / "a.png", bars("ab")).rename(tmp_path / "in" / "new\nline\tand tab.png")
    assert run(tmp_path, "in", "--weights", weights).stdout == "in/new\\nline\\tand tab.png\tab\t1.0000\n"


def test_an_output_folder_has_a_name(tmp_path: Path, weights: Path) -> None:
    save(tmp_path / "a.png", bars("ab"))
    done = run(tmp_path, "a.png", "-o", "", "--weights", weights)
    assert (done.returncode, done.stdout) == (2, "") and "argument -o: empty" in done.stderr


def test_results_below_the_inputs_are_not_read_the_next_time(tmp_path: Path, weights: Path) -> None:
    save(tmp_path / "c" / "a.png", bars("a"))
    first = run(tmp_path, "c", "-o", "c/flat", "--weights", weights)
    assert run(tmp_path, "c", "-o", "c/flat", "--weights", weights).stdout == first.stdout
    assert sorted(p.name for p in (tmp_path / "c" / "flat").iterdir()) == ["a.png"]


def test_each_failure_is_one_line_and_the_others_are_read(tmp_path: Path, weights: Path) -> None:
    good = save(tmp_path / "good.png", bars("ab"))
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:-40])
    save(tmp_path / "dot.png", noise(1, 1, 3))
    save(tmp_path / "long.png", np.full((20, 20000, 3), 255, np.uint8))
    (tmp_path / "folder").mkdir()
    names = ["text.png", "empty.jpg", "none.png", "good.png", "cut.png", "dot.png", "folder", "long.png"]
    done = run(tmp_path, *names, "--weights", weights)
    assert done.returncode == 1
    assert [line.split("\t")[:2] for line in done.stdout.splitlines()] == [["good.png", "ab"], ["long.png", ""]]
    assert sorted(done.stderr.splitlines()) == [
        "rectify-ocr: cut.png: truncated PNG",
        "rectify-ocr: dot.png: too small: 1x1 pixels",
        "rectify-ocr: empty.jpg: empty file",
        "rectify-ocr: folder: no pictures in this folder",
        "rectify-ocr: none.png: No such file or directory",
        "rectify-ocr: text.png: not an image, or a damaged one",
    ]


def test_more_than_one_batch(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rectify.stream.stream", partial(stream, batch=2))
    texts = ["a", "b", "ab", "ba", "aa"]
    for number, text in enumerate(texts):
        save(tmp_path / f"{number}.png", bars(text))
    assert cli.main([str(tmp_path), "--weights", str(weights)]) == 0
    assert [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()] == texts


def test_a_result_that_cannot_be_saved_is_one_line(tmp_path: Path, weights: Path) -> None:
    save(tmp_path / "a.png", bars("ab"))
    (tmp_path / "file").touch()
    done = run(tmp_path, "a.png", "-o", "file/below", "--weights", weights)
    assert (done.returncode, done.stdout) == (1, "ab\n")
    assert done.stderr.startswith("rectify-ocr: a.png: cannot save: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name at least one IMAGE"),
        (["a.png", "--engine", "none"], "--engine none reads nothing"),
        (["a.png", "--engine", "other"], "--engine"),
        (["a.png", "--decoder", "best"], "--decoder"),
        (["a.png", "--weights", "nowhere"], "nowhere: no such weight file"),
        (["--unknown"], "--unknown"),
    ],
)
def test_wrong_usage_is_code_two(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = run(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_version_and_help(tmp_path: Path) -> None:
    assert run(tmp_path, "--version").stdout.startswith("rectify-ocr 0.")
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    for word in ("-o DIR", "--overlay DIR", "--json", "--no-rectify", "--weights", *cli.COMMANDS):
        assert word in done.stdout


def test_every_option_is_explained() -> None:
    assert all(action.help for action in read_command.build_parser()._actions)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(cli.COMMANDS, "eval", "lmdb.absent_part_of_it")
    monkeypatch.setitem(sys.modules, "lmdb", None)
    assert cli.main(["eval", "x"]) == 1
    assert capsys.readouterr().err == ('rectify-ocr: needs the Python package lmdb: pip install "rectify-ocr[eval]"\n')


@pytest.mark.parametrize(("module", "target"), [("torch", "rectify-ocr[train]"), ("onnxruntime", "rectify-ocr")])
def test_extras_by_module(module: str, target: str) -> None:
    error = ModuleNotFoundError(f"No module named '{module}.part'", name=f"{module}.part")
    assert cli.missing_package(error).endswith(f'pip install "{target}"')


def test_closed_output_is_no_traceback(tmp_path: Path, weights: Path) -> None:
    for number in range(3):
        save(tmp_path / "c" / f"{number}.png", bars("ab"))
    command = [sys.executable, "-m", "rectify.cli", "c", "--weights", str(weights)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 1


def test_cold_start(tmp_path: Path, weights: Path) -> None:
    """The CPU time of reading one picture, the start of Python included. Loose: the machine may be busy."""
    save(tmp_path / "a.png", bars("abba"))
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN); print(used.ru_utime + used.ru_stime)"
    )
    command = [sys.executable, "-c", code, sys.executable, "-m", "rectify.cli", "a.png", "--weights", str(weights)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert float(done.stdout) < 1.0
