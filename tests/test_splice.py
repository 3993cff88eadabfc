"""New words out of photographed ones: what is written is what is shown, and any sample can be made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data import splice
from data.loader import SampleSet, Source
from data.reader import LmdbReader
from data.splice import CutWord, Splicer, cut_words
from data.splice_command import main
from data.synth.geometry import WordGeometry
from data.synth.words import WordSource
from recognizer.pipeline import Pipeline
from rectify.images import read_image

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
COLUMNS = 12


def painted(label: str, height: int = 32) -> CutWord:
    """A word whose every letter is a block of a grey of its own."""
    row = np.repeat([9 * LETTERS.index(letter) + 10 for letter in label], COLUMNS)
    image = np.tile(row[None, :, None], (height, 1, 3)).astype(np.uint8)
    return CutWord(image, label, tuple(range(0, len(row) + 1, COLUMNS)))


def shown(image: np.ndarray, label: str) -> str:
    """The letters whose greys are in the middles of as many equal parts as the label has letters."""
    middles = (np.arange(len(label)) + 0.5) * image.shape[1] / len(label)
    greys = image[len(image) // 2, middles.astype(int), 0].astype(int)
    return "".join(LETTERS[round((grey - 10) / 9)] for grey in greys.tolist())


@pytest.fixture
def vocabulary(tmp_path: Path) -> WordSource:
    path = tmp_path / "words.txt"
    path.write_text("HOUSE\nMOUSE\nLAMP\n")
    return WordSource(vocabulary=path, charset=LETTERS)


def test_what_is_written_is_what_is_shown(vocabulary: WordSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splice, "MATCHED", 0.0)
    splicer = Splicer([painted(label) for label in ("HORSE", "USE", "MOLE", "CLAMP", "AIR")], vocabulary)
    made = [splicer(np.random.default_rng([1, index])) for index in range(200)]
    for image, label in made:
        assert image.dtype == np.uint8 and image.shape[0] == 32 and shown(image, label) == label
    labels = {label for _, label in made}
    assert {"HOUSE", "LAMP"} <= labels and len(labels) > 40


def test_pieces_get_the_first_ones_height_and_colours(vocabulary: WordSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splice, "MATCHED", 1.0)
    rng = np.random.default_rng(0)
    dark, light = (
        CutWord(rng.integers(low, low + 40, (height, 40, 3)).astype(np.uint8), "HI", (0, 20, 40))
        for low, height in ((20, 32), (200, 16))
    )
    splicer = Splicer([dark, light], vocabulary)
    for index in range(20):
        image, _ = splicer(np.random.default_rng(index))
        first = dark if len(image) == 32 else light
        assert len(image) in (16, 32) and abs(image.mean() - first.image.mean()) < 15


def test_words_of_another_shape_are_not_mixed(vocabulary: WordSource) -> None:
    blank = np.zeros((32, 40, 3), np.uint8)
    small, tall = ([CutWord(blank, label, (0, 20, 40)) for label in labels] for labels in (("ac", "no"), ("HI", "Ab")))
    splicer = Splicer([*small, *tall], vocabulary)
    for index in range(60):
        _, label = splicer(np.random.default_rng(index))
        assert set(label) <= set("acno") or set(label) <= set("HIAb")


def test_too_few_words(vocabulary: WordSource) -> None:
    with pytest.raises(ValueError, match="too few words"):
        Splicer([painted("AB"), CutWord(np.zeros((32, 24, 3), np.uint8), "ac", (0, 12, 24))], vocabulary)


def test_words_are_cut_between_their_letters(synthetic: Path) -> None:
    samples = SampleSet(Source((str(synthetic),)))
    usable = [sample for index in range(len(samples)) if (sample := samples.usable(index))]
    inside = total = 0
    words = cut_words([s.image for s in usable], [s.label for s in usable], Pipeline(decoder="greedy"))
    assert len(words) >= len(usable) // 2
    for word in words:
        assert len(word.cuts) == len(word.label) + 1 and word.cuts[-1] == word.image.shape[1]
        assert all(np.diff(word.cuts) >= 0)
        geometry = next(s.geometry for s in usable if s.label == word.label)
        assert isinstance(geometry, WordGeometry)
        middles = np.array(geometry.characters).mean(1)
        # The flat image has a margin, and the word lies in its middle.
        flat = (np.array(word.cuts[1:-1]) / word.image.shape[1] * 2 - 1) * 1.12
        inside += int(((middles[:-1] < flat) & (flat < middles[1:])).sum())
        total += len(flat)
    assert inside > 0.9 * total


def test_the_command_makes_any_sample_again(
    tmp_path: Path, synthetic: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("house\nlamp\n")
    common = ["--seed", "3", "--hold-out", "0", "--words", str(words)]
    assert main([str(synthetic), str(tmp_path / "all"), "--count", "6", *common]) == 0
    assert main([str(synthetic), str(tmp_path / "rest"), "--count", "2", "--start", "4", *common]) == 0
    assert "words can be cut at their letters" in capsys.readouterr().err
    whole, rest = LmdbReader(tmp_path / "all"), LmdbReader(tmp_path / "rest")
    assert len(whole) == 6 and [rest[0].image, rest[1].image] == [whole[4].image, whole[5].image]
    assert len({record.image for record in whole}) == 6
    for record in whole:
        assert record.label and read_image(record.image).shape[2] == 3
    assert main([str(synthetic), str(tmp_path / "all"), "--count", "1", *common]) == 2
    assert "exists already" in capsys.readouterr().err


def test_words_for_validation_are_left_out(tmp_path: Path, synthetic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(synthetic), str(tmp_path / "none"), "--count", "1", "--hold-out", "1"]) == 2
    assert "no samples to train on" in capsys.readouterr().err and not (tmp_path / "none").exists()
