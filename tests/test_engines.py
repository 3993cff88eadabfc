"""Other engines behind the rectifier: faked packages, a callable of one's own, and the real packages if there."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from data.writer import LmdbWriter
from helpers import noise, save_recognizer, save_rectifier
from recognizer import Pipeline
from recognizer.engines import ENGINES, FRAMINGS, NONE, Answer, ask, framing_for, load_engine
from recognizer.engines.tesseract_engine import parse_table
from rectify import Framing, Rectifier, cli, read_command
from rectify.conventions import MARGIN, canonical_points
from rectify.images import Image, read_image
from train import eval_command

Captured = pytest.CaptureFixture[str]
MonkeyPatch = pytest.MonkeyPatch

RED, BLUE = (200, 10, 30), (10, 30, 200)


def plain(color: tuple[int, int, int], width: int = 40, height: int = 20) -> Image:
    """A picture (height, width, 3) of one color."""
    return np.full((height, width, 3), color, np.uint8)


def color_name(rgb: Iterable[int]) -> str:
    """What the fakes read."""
    return {RED: "red", BLUE: "blue"}.get(tuple(int(value) for value in rgb), "")  # type: ignore[arg-type]


def fake_module(monkeypatch: MonkeyPatch, name: str, **content: Any) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(content)
    monkeypatch.setitem(sys.modules, name, module)
    return module


@pytest.fixture
def rapidocr(monkeypatch: MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A fake rapidocr that reads the color of the first pixel, taken for BGR; what it was built with."""
    params: dict[str, Any] = {}
    (tmp_path / "rapidocr" / "models").mkdir(parents=True)
    (tmp_path / "rapidocr" / "models" / "x_det_small.onnx").touch()
    (tmp_path / "rapidocr" / "models" / "x_rec_small.onnx").touch()

    class RapidOCR:
        def __init__(self, params: dict[str, Any]) -> None:
            seen.update(params)

        def __call__(self, image: Image) -> SimpleNamespace:
            text = color_name(image[0, 0, ::-1])
            return SimpleNamespace(txts=(text,), scores=(np.float32(0.75),)) if text else SimpleNamespace(txts=None)

    seen = params
    fake_module(monkeypatch, "rapidocr", RapidOCR=RapidOCR, __file__=str(tmp_path / "rapidocr" / "__init__.py"))
    return params


@pytest.fixture
def pytesseract(monkeypatch: MonkeyPatch) -> ModuleType:
    """A fake pytesseract that reads the color of the first pixel of each picture in a list."""

    class NotFound(EnvironmentError):
        pass

    def image_to_data(path: str, lang: str, config: str) -> str:
        assert (lang, config) == ("eng", "--psm 8")
        lines = ["level\tpage_num\t..."]
        for number, line in enumerate(Path(path).read_text().splitlines(), start=1):
            lines.append(f"1\t{number}\t0\t0\t0\t0\t0\t0\t9\t9\t-1\t")
            text = color_name(read_image(line)[0, 0])
            if text:
                lines.append(f"5\t{number}\t1\t1\t1\t1\t0\t0\t9\t9\t90.5\t{text}")
        module.__dict__["calls"] = module.__dict__.get("calls", 0) + 1
        return "\n".join(lines)

    module = fake_module(
        monkeypatch,
        "pytesseract",
        TesseractNotFoundError=NotFound,
        TesseractError=RuntimeError,
        get_languages=lambda: ["eng", "osd"],
        image_to_data=image_to_data,
    )
    return module


@pytest.fixture
def easyocr(monkeypatch: MonkeyPatch) -> dict[str, Any]:
    """A fake easyocr that reads how bright the first pixel is; what its Reader was built with."""
    seen: dict[str, Any] = {}

    class Reader:
        def __init__(self, languages: list[str], **options: Any) -> None:
            seen.update(options, languages=languages)

        def recognize(self, grey: Image) -> list[tuple[list[int], str, float]]:
            assert grey.ndim == 2
            return [([0], str(grey[0, 0]), 0.5)] if grey[0, 0] else []

    fake_module(monkeypatch, "easyocr", Reader=Reader)
    fake_module(monkeypatch, "easyocr_en_models", model_dir=lambda: "/models")
    return seen


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A rectifier that takes the left half of each crop for the word with its margin."""
    folder = tmp_path / "weights"
    folder.mkdir()
    save_recognizer(folder / "recognizer.onnx")
    save_rectifier(folder / "rectifier.onnx", canonical_points(5, 5) * (0.5, 1) - (0.5, 0))
    return folder


def halves(left: tuple[int, int, int], right: tuple[int, int, int]) -> Image:
    return np.concatenate([plain(left), plain(right)], axis=1)


@pytest.mark.parametrize("threads", [1, 2])
def test_rapidocr_reads_each_crop_in_order(rapidocr: dict[str, Any], threads: int) -> None:
    engine = load_engine("rapidocr", threads)
    assert engine([plain(RED), plain((0, 0, 0)), plain(BLUE)]) == [("red", 0.75), ("", 0.0), ("blue", 0.75)]


def test_rapidocr_only_recognises_with_the_network_of_its_wheel(rapidocr: dict[str, Any]) -> None:
    load_engine("rapidocr")
    assert rapidocr["Global.use_det"] is rapidocr["Global.use_cls"] is rapidocr["Global.use_preprocess_img"] is False
    assert Path(rapidocr["Rec.model_path"]).name == "x_rec_small.onnx"
    assert rapidocr["EngineConfig.onnxruntime.intra_op_num_threads"] == 1


def test_rapidocr_without_its_network_is_named(rapidocr: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "rapidocr" / "models" / "x_rec_small.onnx").unlink()
    with pytest.raises(FileNotFoundError, match="holds no recognition network"):
        load_engine("rapidocr")


@pytest.mark.parametrize(("threads", "calls"), [(1, 1), (2, 2), (8, 3)])
def test_tesseract_reads_a_list_of_pictures_at_once(pytesseract: Any, threads: int, calls: int) -> None:
    engine = load_engine("tesseract", threads)
    assert engine([plain(RED), plain((0, 0, 0)), plain(BLUE)]) == [("red", 0.905), ("", 0.0), ("blue", 0.905)]
    assert pytesseract.calls == calls
    assert engine([]) == []


def test_tesseract_runs_in_one_thread(pytesseract: Any, monkeypatch: MonkeyPatch) -> None:
    seen = []

    def image_to_data(*_: Any, **__: Any) -> str:
        seen.append(os.environ["OMP_THREAD_LIMIT"])
        return ""

    monkeypatch.setenv("OMP_THREAD_LIMIT", "7")
    pytesseract.image_to_data = image_to_data
    assert load_engine("tesseract")([plain(RED)]) == [("", 0.0)]
    assert (seen, os.environ["OMP_THREAD_LIMIT"]) == (["1"], "7")


def test_tesseract_words_of_a_page_are_joined() -> None:
    rows = ["5 1 1 1 1 1 0 0 9 9 80.0 TO", "5 1 1 1 1 2 0 0 9 9 60.0 GO", "5 3 1 1 1 1 0 0 9 9 95.0 #"]
    table = "\n".join(["header", *(row.replace(" ", "\t") for row in rows), "5\t2\t1\t1\t1\t1\t0\t0\t9\t9\t95\t "])
    assert parse_table(table, 3) == [("TO GO", pytest.approx(0.7)), ("", 0.0), ("#", 0.95)]


def test_tesseract_that_is_not_installed_says_what_to_install(pytesseract: Any) -> None:
    pytesseract.get_languages = lambda: ["deu"]
    with pytest.raises(FileNotFoundError, match=r"apt-get install tesseract-ocr-eng$"):
        load_engine("tesseract")

    def nowhere() -> None:
        raise pytesseract.TesseractNotFoundError

    pytesseract.get_languages = nowhere
    with pytest.raises(FileNotFoundError, match=r"apt-get install tesseract-ocr$"):
        load_engine("tesseract")


def test_tesseract_that_fails_is_one_line(pytesseract: Any) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise RuntimeError("killed")

    pytesseract.image_to_data = fail
    with pytest.raises(OSError, match="tesseract failed: killed"):
        load_engine("tesseract")([plain(RED)])


def test_easyocr_recognises_grey_without_a_download(easyocr: dict[str, Any]) -> None:
    engine = load_engine("easyocr")
    assert engine([plain((9, 9, 9)), plain((0, 0, 0))]) == [("9", 0.5), ("", 0.0)]
    assert (easyocr["languages"], easyocr["detector"], easyocr["download_enabled"]) == (["en"], False, False)
    assert easyocr["model_storage_directory"] == easyocr["user_network_directory"] == "/models"


@pytest.mark.parametrize(
    ("engine", "package"),
    [
        ("rapidocr", "rapidocr"),
        ("tesseract", "pytesseract"),
        ("easyocr", "easyocr"),
        ("easyocr", "easyocr_en_models"),
    ],
)
def test_a_missing_package_is_one_line_that_says_what_to_install(
    engine: str, package: str, easyocr: Any, monkeypatch: MonkeyPatch, tmp_path: Path, capsys: Captured
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    cv2.imwrite(str(tmp_path / "a.png"), plain(RED))
    for command in (["a.png"], ["eval", str(tmp_path)]):
        assert cli.main([*command, "--no-rectify", "--engine", engine]) == 1
        expected = f'the engine {engine} needs the Python package {package}: pip install "rectify-ocr[{engine}]"'
        assert capsys.readouterr() == ("", f"rectify-ocr: {expected}\n")


def test_unknown_engine_is_named() -> None:
    with pytest.raises(ValueError, match="'abbyy'; there are rapidocr, tesseract, easyocr, none, or give a callable"):
        load_engine("abbyy")
    with pytest.raises(ValueError, match="'abbyy'"):
        Pipeline(engine="abbyy", rectify=False)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([("a", 1.0)], "1 answers for 2 crops"),
        (["ab", "ab"], r"\(text, confidence\) to each crop, not 'ab'"),
        ([("a", 1.0), (1.0, "a")], "not \\(1.0, 'a'\\)"),
        ([("a", 1.0), None], "not None"),
    ],
)
def test_answers_are_checked(answers: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ask(lambda crops: answers, [plain(RED), plain(BLUE)])


def test_a_crop_that_is_answered_wrongly_is_an_error_of_its_own() -> None:
    def engine(crops: Sequence[Image]) -> list[Any]:
        return [("red", 1.0) if color_name(crop[0, 0]) == "red" else None for crop in crops]

    errors: list[str] = []
    pipeline = Pipeline(engine=engine, rectify=False)
    readings = pipeline.stream(
        [plain(RED), plain(BLUE), plain(RED)], on_error=lambda _, error: errors.append(str(error))
    )
    assert [reading and reading.text for reading in readings] == ["red", None, "red"]
    assert errors == ["an engine answers (text, confidence) to each crop, not None"]


def test_an_engine_may_write_into_what_it_gets() -> None:
    def engine(crops: Sequence[Image]) -> list[Answer]:
        for crop in crops:
            crop[:] = 0
        return [("", 0.0)] * len(crops)

    image = plain(RED)
    Pipeline(engine=engine, rectify=False).read(image)
    assert image.any()


def test_easyocr_in_two_threads_leaves_warnings_as_they_were() -> None:
    quiet = import_module("recognizer.engines.easyocr_engine")._quiet
    before = list(warnings.filters)
    quiet.__enter__()
    quiet.__enter__()  # a second thread, which leaves after the first
    quiet.__exit__()
    with warnings.catch_warnings(record=True) as heard:
        warnings.warn("not heard", stacklevel=1)
    quiet.__exit__()
    assert not heard and list(warnings.filters) == before


@pytest.mark.parametrize("size", [0, -1])
def test_no_batch_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="batch_size is at least 1"):
        Pipeline(batch_size=size)


def test_crops_that_no_word_fills_are_squeezed() -> None:
    seen: list[tuple[int, ...]] = []

    def engine(crops: Sequence[Image]) -> list[Answer]:
        seen.extend(crop.shape[:2] for crop in crops)
        return [("", 0.0)] * len(crops)

    ask(engine, [np.zeros((*size, 3), np.uint8) for size in ((2, 32766), (3000, 4), (10, 640))])
    assert seen == [(2, 128), (256, 4), (10, 640)]


def test_nothing_is_asked_of_no_crops() -> None:
    assert ask(lambda crops: [("text", 1.0)], []) == []


def test_a_callable_gets_the_straightened_crop_at_full_resolution(weights: Path) -> None:
    seen: list[Image] = []

    def engine(crops: Sequence[Image]) -> list[Answer]:
        seen.extend(crops)
        return [("word", 0.25)] * len(crops)

    image = noise(60, 160, 3)
    reading = Pipeline(weights, engine=engine, framing=Framing()).read(image)
    assert (reading.text, reading.confidence, reading.rectified, reading.size) == ("word", 0.25, True, (160, 60))
    np.testing.assert_array_equal(seen, [image[:, :80]])
    assert reading.crop is seen[0]


def test_a_callable_gets_more_space_above_and_below_by_default(tmp_path: Path) -> None:
    # A word that does not fill its crop, since one that does is left as it is.
    weights = save_rectifier(tmp_path / "rectifier.onnx", 0.5 * canonical_points(5, 5))
    image = noise(60, 160, 3)
    reading = Pipeline(weights, engine=lambda crops: [("", 0.0)]).read(image)
    wider = Rectifier(weights, **asdict(framing_for(None)))
    assert wider.framing.sharp
    np.testing.assert_array_equal(reading.crop, wider.rectify(image).image)
    assert reading.crop.shape[0] > Rectifier(weights).rectify(image).image.shape[0]


def test_an_engine_gets_the_margin_that_was_measured_with_it(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recognizer.pipeline.load_engine", lambda name, threads: lambda crops: [("", 0.0)] * len(crops))
    for name in ENGINES:
        rectifier = Pipeline(weights, engine=name).rectifier
        assert rectifier is not None and rectifier.framing == FRAMINGS.get(name, framing_for(None))
    assert set(FRAMINGS) <= {*ENGINES, NONE}


def test_without_rectification_a_callable_gets_the_crop_untouched(weights: Path) -> None:
    for shape in ((30, 50, 3), (30, 50), (30, 50, 1), (90, 20, 3)):
        image = noise(*shape)
        reading = Pipeline(weights, rectify=False, engine=lambda crops: [("x", 1.0)]).read(image)
        np.testing.assert_array_equal(reading.crop, np.broadcast_to(image.reshape(*shape[:2], -1), (*shape[:2], 3)))
        assert (reading.rectified, reading.rows, reading.cols) == (False, 2, 2)
        np.testing.assert_array_equal(reading.control_points[-1], [shape[1] - 0.5, shape[0] - 0.5])


def test_each_crop_reaches_the_engine_once_and_in_order(weights: Path) -> None:
    """Tall ones, too, which the built-in recogniser reads along either side as well."""
    batches: list[int] = []

    def engine(crops: Sequence[Image]) -> list[Answer]:
        batches.append(len(crops))
        return [(str(crop[0, 0, 0]), 1.0) for crop in crops]

    images = [plain((value, 0, 0), 20 + value, 90 - value) for value in range(7)]
    readings = Pipeline(weights, engine=engine, batch_size=3)(images)
    assert [reading.text for reading in readings] == list("0123456")
    assert batches == [3, 3, 1]


def test_another_engine_needs_no_recogniser(weights: Path) -> None:
    pipeline = Pipeline(weights / "rectifier.onnx", engine=lambda crops: [("a", 1.0)])
    assert pipeline.read(plain(RED)).text == "a"
    with pytest.raises(AttributeError, match="another engine reads"):
        _ = pipeline.recognizer


def test_names_of_engines_are_the_same_everywhere() -> None:
    assert list(read_command.ENGINES) == ["builtin", *ENGINES, "none"]


def test_read_command(rapidocr: Any, weights: Path, tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), halves(RED, BLUE)[:, :, ::-1])
    assert cli.main([str(path), "--engine", "rapidocr", "--weights", str(weights), "-o", str(tmp_path / "flat")]) == 0
    assert capsys.readouterr().out == "red\n"
    pipeline = Pipeline(weights, engine="rapidocr")
    np.testing.assert_array_equal(read_image(tmp_path / "flat" / "a.png"), pipeline.read(read_image(path)).crop)


def test_read_command_saves_with_the_margin_that_is_asked_for(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), noise(60, 160, 3))
    options = ["--engine", "none", "--weights", str(weights), "-o", str(tmp_path / "flat"), "--margin", "0", "0"]
    assert cli.main([str(path), *options]) == 0
    height, width = read_image(tmp_path / "flat" / "a.png").shape[:2]
    assert (width, height) == (round(80 / (1 + 2 * MARGIN[0])), round(60 / (1 + 2 * MARGIN[1])))
    (tmp_path / "flat" / "a.png").unlink()
    assert cli.main([str(path), *options, "--no-rectify"]) == 0
    assert read_image(tmp_path / "flat" / "a.png").shape[:2] == (60, 160)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "rapidocr", "--decoder", "ctc-beam"], "--decoder ctc-beam is for the builtin engine"),
        (["--engine", "rapidocr", "--margin", "-1", "0"], "a margin is"),
        (["--engine", "rapidocr", "--margin", "nan", "0"], "a margin is"),
        (["--margin", "1"], "--margin"),
    ],
)
def test_options_that_make_no_sense(
    rapidocr: Any, weights: Path, options: list[str], message: str, capsys: Any
) -> None:
    for command in ("a.png", "eval set"):
        with pytest.raises(SystemExit, match="2"):
            cli.main([*command.split(), "--weights", str(weights), *options])
        assert message in capsys.readouterr().err


def test_eval_compares_what_an_engine_reads_raw_and_rectified(
    rapidocr: Any, weights: Path, tmp_path: Path, monkeypatch: MonkeyPatch, capsys: Captured
) -> None:
    """The fake reads the first pixel: the left half raw, the right half rectified."""
    samples = [(halves(RED, RED), "red"), (halves(RED, BLUE), "blue"), (halves(BLUE, BLUE), "red")]
    with LmdbWriter(tmp_path / "set") as writer:
        for image, label in samples:
            writer.add(cv2.imencode(".png", image[:, :, ::-1])[1].tobytes(), label)
    save_rectifier(weights / "rectifier.onnx", canonical_points(5, 5) * (0.5, 1) + (0.5, 0))
    target, report = tmp_path / "figures.json", tmp_path / "report.html"
    outputs = ["--json", str(target), "--report", str(report)]
    options = ["--engine", "rapidocr", "--compare", "--margin", "0.06", "0.12", "--weights", str(weights)]
    assert eval_command.main([str(tmp_path / "set"), *options, *outputs]) == 0
    written = json.loads(target.read_text())
    assert (written["engine"], written["rectify"]) == ("rapidocr", True)
    figures = written["sets"]["set"]
    assert figures["word_accuracy"] == pytest.approx(200 / 3, abs=1e-3)
    assert figures["raw_word_accuracy"] == pytest.approx(100 / 3, abs=1e-3)
    assert (figures["fixed"], figures["harmed"]) == (1, 0)
    assert "engine rapidocr, rectification on" in report.read_text()
    assert "margins 0.06 and 0.12" in report.read_text()
    capsys.readouterr()


def word_picture(word: str) -> Image:
    """A word in dark on light, (96, W, 3), that any engine reads."""
    (width, _), _ = cv2.getTextSize(word, cv2.FONT_HERSHEY_SIMPLEX, 2, 4)
    image = plain((235, 230, 225), width + 40, 96)
    cv2.putText(image, word, (20, 68), cv2.FONT_HERSHEY_SIMPLEX, 2, (30, 25, 20), 4, cv2.LINE_AA)
    return image


WORDS = ["HARBOUR", "MUSEUM", "STREET"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "package"), [("rapidocr", "rapidocr"), ("easyocr", "easyocr")])
def test_the_real_package_reads(name: str, package: str) -> None:
    pytest.importorskip(package)
    answers = load_engine(name, threads=2)([word_picture(word) for word in WORDS])
    assert [text.upper() for text, _ in answers] == WORDS
    assert all(0 < confidence <= 1 for _, confidence in answers)
    odd: list[Image] = [plain((0, 0, 0), 2, 2), plain((255, 255, 255), 3000, 20), plain((9, 9, 9), 2, 300)]
    assert len(load_engine(name)(odd)) == len(odd)


def test_the_real_tesseract_reads() -> None:
    pytest.importorskip("pytesseract")
    try:
        engine = load_engine("tesseract", threads=2)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    answers = engine([word_picture(word) for word in WORDS])
    # It takes the picture's edge for a quotation mark or a full stop.
    assert ["".join(filter(str.isalpha, text)) for text, _ in answers] == WORDS
    assert all(0 < confidence <= 1 for _, confidence in answers)
    odd: list[Image] = [plain((0, 0, 0), 2, 2), plain((255, 255, 255), 3000, 20), word_picture("STREET")]
    assert "STREET" in engine(odd)[2][0]


def test_for_no_engine_words_are_cut_out_as_the_rectifier_does_it() -> None:
    assert framing_for("none") == Framing()
