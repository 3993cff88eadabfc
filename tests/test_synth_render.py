from __future__ import annotations

import multiprocessing
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.reader import LmdbReader
from data.synth.fonts import Face, FontBook, MissingGlyph, set_word
from data.synth.geometry import WordGeometry
from data.synth.ink import ROWS, decode_ink, encode_ink
from data.synth.render import Renderer
from data.synth.words import WordSource, _capitals, in_split
from data.synth_command import _render, main
from data.writer import LmdbWriter


def test_sample_depends_on_seed_and_index_alone(fonts: Path, words_file: Path) -> None:
    first, second = (Renderer([fonts], 7, vocabulary=words_file) for _ in range(2))
    second(0)
    assert first(5) == second(5)
    assert first(5) != first(6)
    assert first(5) != Renderer([fonts], 8, vocabulary=words_file)(5)


def test_any_number_of_processes_and_any_start_give_the_same_bytes(
    tmp_path: Path, fonts: Path, words_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.synth_command._BLOCK", 5)
    common = ["--seed", "3", "--fonts", str(fonts), "--words", str(words_file)]
    assert main([str(tmp_path / "one"), "--count", "12", "--processes", "1", *common]) == 0
    assert main([str(tmp_path / "two"), "--count", "12", "--processes", "2", *common]) == 0
    assert main([str(tmp_path / "later"), "--count", "4", "--start", "8", "--processes", "1", *common]) == 0
    one, two, later = (list(LmdbReader(tmp_path / name)) for name in ("one", "two", "later"))
    assert one == two
    assert [(r.image, r.label, r.geometry) for r in one[8:]] == [(r.image, r.label, r.geometry) for r in later]


@pytest.mark.parametrize("killed", [[0], [1], [0, 1]])
def test_a_process_that_is_killed_ends_the_rendering(fonts: Path, words_file: Path, killed: list[int]) -> None:
    settings = ([fonts], 3, "all", words_file, "en", None, 0.0)
    others = set(multiprocessing.active_children())
    samples = _render(settings, range(100_000), processes=2)
    next(samples)
    rendering = sorted(set(multiprocessing.active_children()) - others, key=lambda process: process.pid or 0)
    assert len(rendering) == 2
    for number in killed:
        rendering[number].kill()
    with pytest.raises(ValueError, match="was killed, or ran out of memory"):
        list(samples)
    assert not set(multiprocessing.active_children()) - others


def test_what_a_process_cannot_render_is_told_as_it_is(
    tmp_path: Path, fonts: Path, words_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(fonts, tmp_path / "fonts")
    (tmp_path / "fonts" / "Zed.ttf").write_text("garbage")
    arguments = ["--count", "200", "--fonts", str(tmp_path / "fonts"), "--words", str(words_file), "--processes", "2"]
    assert main([str(tmp_path / "out"), *arguments]) == 2
    told = capfd.readouterr().err
    assert "Zed.ttf: not a font" in told and "Traceback" not in told and "killed" not in told


def test_rendering_that_is_given_up_leaves_no_process(fonts: Path, words_file: Path) -> None:
    others = set(multiprocessing.active_children())
    samples = _render(([fonts], 3, "all", words_file, "en", None, 0.0), range(100_000), processes=2)
    next(samples)
    samples.close()
    assert not set(multiprocessing.active_children()) - others


def test_folders_of_fonts_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: no such folder"):
        FontBook([tmp_path / "nowhere"])


def test_samples_decode_and_carry_their_geometry(synthetic: Path) -> None:
    for record in LmdbReader(synthetic):
        image = cv2.imdecode(np.frombuffer(record.image, np.uint8), cv2.IMREAD_COLOR)
        assert record.geometry is not None
        geometry = WordGeometry.from_json(record.geometry)
        assert geometry.size == image.shape[1::-1]
        assert len(geometry.characters) == len(record.label)
        assert min(geometry.size) >= 8 and geometry.size[0] * geometry.size[1] <= 1.1 * 64 * 192


def test_samples_carry_their_ink(synthetic: Path) -> None:
    reader = LmdbReader(synthetic)
    for index in range(len(reader)):
        ink, record = reader.ink(index), reader[index]
        assert ink is not None and ink.shape[0] <= ROWS and record.geometry is not None
        assert all(line.any() for line in (ink[0], ink[-1], ink[:, 0], ink[:, -1]))
        assert ink.shape[1] / ink.shape[0] == pytest.approx(record.geometry["length"], rel=0.1)


def test_ink_keeps_strokes_of_a_hair() -> None:
    coverage = np.zeros((400, 300), np.uint8)
    coverage[0] = coverage[-1] = coverage[:, 0] = coverage[:, 150] = 9
    ink = decode_ink(encode_ink(coverage))
    assert ink.shape == (ROWS, 18)
    assert ink[:, 0].any() and not ink[5, 1:9].any()


def test_damaged_ink_is_named(tmp_path: Path) -> None:
    with LmdbWriter(tmp_path / "set") as writer:
        writer.add(b"picture", "word", {"ink": b"nonsense"})
        writer.add(b"picture", "word")
    reader = LmdbReader(tmp_path / "set")
    with pytest.raises(ValueError, match="set: ink-000000001 is not a picture of ink"):
        reader.ink(0)
    assert reader.ink(1) is None


def test_set_word_fills_its_ink_box_and_orders_the_letters(fonts: Path) -> None:
    word = set_word("Hip", Face(str(fonts / "Aileron-Regular.ttf")), spacing=0.1)
    assert word.ink_size == word.coverage.shape[::-1]
    assert all(line.any() for line in (word.coverage[0], word.coverage[-1], word.coverage[:, 0], word.coverage[:, -1]))
    lefts = [left for left, _ in word.characters]
    assert lefts == sorted(lefts) and word.characters[0][0] == -1 and word.characters[-1][1] == 1


def test_a_character_that_the_font_lacks_is_refused(fonts: Path) -> None:
    with pytest.raises(MissingGlyph):
        Face(str(fonts / "Aileron-Regular.ttf")).glyph("語")


def test_no_fonts_is_an_error_that_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=str(tmp_path)):
        FontBook([tmp_path])


def test_splits_share_nothing_and_make_up_all(words_file: Path) -> None:
    names = [f"word{i}" for i in range(1000)]
    seen = [name for name in names if in_split(name, "seen")]
    unseen = [name for name in names if in_split(name, "unseen")]
    assert not set(seen) & set(unseen) and len(seen) + len(unseen) == 1000
    assert 50 < len(unseen) < 150
    assert all(in_split(name, "all") for name in names)


def test_english_words_come_in_several_cases() -> None:
    rng = np.random.default_rng(0)
    texts = [WordSource().draw(rng) for _ in range(300)]
    assert all(1 <= len(text) <= 25 and text.isascii() and " " not in text for text in texts)
    assert any(text.isupper() for text in texts) and any(text.islower() for text in texts)
    assert any(text.isdigit() for text in texts) and any(not text.isalnum() for text in texts)


GREEK = "0123456789αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ.,-%"


def test_words_numbers_and_codes_of_a_language_come_from_its_charset() -> None:
    rng = np.random.default_rng(0)
    texts = [WordSource(language="el", charset=GREEK).draw(rng) for _ in range(400)]
    assert all(text and set(text) <= set(GREEK) for text in texts)
    assert any(text.isdigit() for text in texts) and any(text[-1] == "ς" for text in texts if text.islower())
    assert any(set(text) & set("0123456789") and set(text) & set(GREEK[10:]) for text in texts), "no code"
    # The lists have one sigma for both; a small word never ends in the other one, save in random strings.
    words = [text for text in texts if len(text) > 8 and text.islower()]
    assert words and not any(text.endswith("σ") for text in words)


@pytest.mark.parametrize(
    ("word", "capitals"), [("καλημέρα", "ΚΑΛΗΜΕΡΑ"), ("ή", "Η"), ("μαΐου", "ΜΑΪΟΥ"), ("żółw", "ŻÓŁW"), ("été", "ÉTÉ")]
)
def test_capitals_are_written_as_the_script_has_them(word: str, capitals: str) -> None:
    assert _capitals(word) == capitals


def test_words_of_other_characters_are_left_out_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("żółw\nzolw\nzo\u0301lw\nвода\n", encoding="utf-8")
    source = WordSource(vocabulary=file, charset="abcdefghijklmnopqrstuvwxyzżółŻÓŁ")
    assert source.words == ["żółw", "zolw", "zólw"] and source.left_out == 1
    with pytest.raises(ValueError, match=r"no word of the all split in these characters in .*words\.txt"):
        WordSource(vocabulary=file, charset="xyz")


def test_words_with_spaces_are_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "towns.txt").write_text("New York\nParis\n")
    source = WordSource(vocabulary=tmp_path / "towns.txt")
    assert (source.words, source.left_out) == (["Paris"], 1)


@pytest.mark.parametrize("charset", ["\u05d0\u05d1", "\u0643\u062a", "\u0915\u093e", "e\u0301"])
def test_scripts_that_are_not_set_letter_by_letter_are_refused(charset: str) -> None:
    with pytest.raises(ValueError, match="letter by letter from left to right"):
        WordSource(language="fr", charset=charset)


def test_hidden_files_are_no_fonts_and_broken_ones_are_named(tmp_path: Path, fonts: Path) -> None:
    for file in fonts.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
        (tmp_path / f"._{file.name}").write_bytes(b"notes")
    assert len(FontBook([tmp_path]).families) == 1
    (tmp_path / "Broken-Regular.ttf").write_bytes(b"no font")
    with pytest.raises(ValueError, match=r"Broken-Regular\.ttf: not a font"):
        FontBook([tmp_path], letters="a")


def test_a_language_needs_its_characters_and_a_list() -> None:
    with pytest.raises(ValueError, match="name the characters of the language el"):
        WordSource(language="el")
    with pytest.raises(ValueError, match=r"no list of 'xx', only of .*\bel\b"):
        WordSource(language="xx", charset=GREEK)


def test_fonts_without_the_letters_are_left_out(tmp_path: Path, fonts: Path) -> None:
    import matplotlib

    greek = tmp_path / "DejaVuSans.ttf"
    shutil.copy(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / greek.name, greek)
    book = FontBook([fonts, tmp_path], letters="αβγ")
    assert book.left_out == 1 and book.families == [[str(greek)]]
    with pytest.raises(ValueError, match="none of 1 fonts has all letters; 1 of them lack 'α'"):
        FontBook([fonts], letters="aα")


def test_the_command_renders_another_alphabet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import matplotlib

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    charset = tmp_path / "greek.txt"
    charset.write_text("\n".join([GREEK[:10], GREEK[10:]]), encoding="utf-8")
    common = ["--count", "12", "--language", "el", "--fonts", str(fonts)]
    assert main([str(tmp_path / "one"), *common, "--charset-file", str(charset), "--processes", "2"]) == 0
    assert "fonts lack letters" in capsys.readouterr().err
    assert main([str(tmp_path / "two"), *common, "--charset", GREEK, "--processes", "1"]) == 0
    one, two = (list(LmdbReader(tmp_path / name)) for name in ("one", "two"))
    assert one == two and all(set(record.label) <= set(GREEK) for record in one)


def test_existing_output_is_refused(synthetic: Path, fonts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(synthetic), "--count", "1", "--fonts", str(fonts)]) == 2
    assert "exists" in capsys.readouterr().err


def test_signs_are_nearly_straight_and_upright(fonts: Path, words_file: Path) -> None:
    render = Renderer([fonts], 7, vocabulary=words_file, signs=1.0)
    geometries = [render(index).geometry for index in range(40)]
    assert max(abs(geometry.curve.amount) for geometry in geometries) <= 0.6
    for geometry in geometries:
        (x0, y0), (x1, y1) = geometry.map([[-1.0, 0.0], [1.0, 0.0]]) * np.array(geometry.size)
        assert abs(y1 - y0) < 0.6 * (x1 - x0)


def test_small_capitals_stand_on_the_baseline_of_the_first(fonts: Path) -> None:
    face = Face(str(fonts / "Aileron-Regular.ttf"))
    word, full = set_word("HEH", face, 0.0, small=0.7), set_word("HEH", face, 0.0)
    (_, first), (top, second), (_, third) = word.heights
    assert first == second == third == 1
    assert (second - top) / 2 == pytest.approx(0.7, abs=0.03)
    assert word.ink_size[0] < 0.9 * full.ink_size[0] and word.ink_size[1] == full.ink_size[1]
