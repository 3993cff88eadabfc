"""The language network and what it decides: of two texts that look alike, the likelier one is read."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from data.synth.words import WordSource
from recognizer.charset import ASCII94, Charset
from recognizer.ctc import log_softmax
from recognizer.language import END, Choice, LanguageModel, Weighing
from recognizer.language_network import LanguageConfig, LanguageNetwork
from recognizer.network import RecognitionNetwork, RecognizerConfig
from recognizer.networks import load_language
from recognizer.recognizer import Recognizer
from train.export import export
from train.language import Texts, bits, main, train
from train.losses import padded
from train.tune_language import Word
from train.weights import save_network

CONFIG = LanguageConfig(charset="abc", embedding=4, units=8)


class Table:
    """Stands in for a loaded network: texts by their logarithms, -20 for all others."""

    def __init__(self, **known: float) -> None:
        self.config = {"charset": "abc"}
        self._known = {tuple(Charset("abc").encode(text)): score for text, score in known.items()}

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        texts = [tuple(int(c) for c in row if c != END) for row in batch]
        return np.array([[self._known.get(text, -20.0)] for text in texts], np.float32)

    def outputs(self, batch: np.ndarray) -> list[np.ndarray]:
        return [self(batch)]


def seen(*frames: dict[str, float]) -> np.ndarray:
    """Log probabilities (1, T, 4) of frames that name some characters ('' the blank) and their probabilities."""
    table = np.full((1, len(frames), 4), 1e-6)
    for row, named in zip(table[0], frames, strict=True):
        for character, probability in named.items():
            row["abc".index(character) + 1 if character else 0] = probability
    return log_softmax(np.log(table))


AB_OR_CB = seen({"a": 0.4, "c": 0.6}, {"": 1.0}, {"b": 1.0})


def test_probabilities_of_all_texts_add_up_to_at_most_one() -> None:
    torch.manual_seed(0)
    network = LanguageNetwork(CONFIG)
    texts = [text for length in range(5) for text in itertools.product((1, 2, 3), repeat=length)]
    with torch.inference_mode():
        probabilities = network(padded([list(text) for text in texts], END)).sum(1).exp()
        letters = network(torch.tensor([[1, 2]]))
    assert 0.5 < probabilities.sum() < 1
    assert letters.shape == (1, 3)
    assert probabilities[texts.index((1, 2))] == pytest.approx(math.exp(letters.sum()), rel=1e-5)


def test_what_fills_a_row_up_does_not_count() -> None:
    network = LanguageNetwork(CONFIG)
    with torch.inference_mode():
        short, filled = network(torch.tensor([[1, 2]])), network(torch.tensor([[1, 2, END, END]]))
    torch.testing.assert_close(filled[:, :3], short)
    assert not filled[:, 3:].any()


def test_the_likelier_word_wins_where_both_may_be_seen() -> None:
    (choice,) = LanguageModel(Table(ab=-2.0, cb=-9.0)).choices([AB_OR_CB], [(3, 2)])
    assert choice.texts[:2] == [(3, 2), (1, 2)]
    assert choice.texts[choice.best(Weighing(0.5, 0.0, 0.0))[0]] == (1, 2)
    assert choice.texts[choice.best(Weighing(0.0, 0.0, 0.0))[0]] == (3, 2)
    _, probability = choice.best(Weighing(0.0, 0.0, 0.0, temperature=1.0))
    assert probability == pytest.approx(0.6, abs=1e-3)
    assert choice.best(Weighing(0.0, 0.0, 0.0, temperature=100.0))[1] == pytest.approx(1 / len(choice.texts), abs=0.1)


def test_what_is_not_seen_is_not_read_however_likely() -> None:
    (choice,) = LanguageModel(Table(bbb=-0.1)).choices([AB_OR_CB], [(2, 2, 2)])
    assert (2, 2, 2) in choice.texts
    assert choice.texts[choice.best(Weighing(0.5, 1.0, 1.0))[0]] == (3, 2)


def test_what_the_heads_have_read_is_not_given_up_for_nothing() -> None:
    (choice,) = LanguageModel(Table(ab=-2.0, cb=-3.5)).choices([AB_OR_CB], [(3, 2)])
    assert choice.texts[choice.best(Weighing(0.5, 0.0, 0.0))[0]] == (1, 2)
    assert choice.texts[choice.best(Weighing(0.5, 0.0, 1.0))[0]] == (3, 2)


def test_the_looks_at_a_word_count_equally() -> None:
    clear = seen({"a": 0.9, "c": 0.1}, {"": 1.0}, {"b": 1.0}, {"": 1.0})
    (choice,) = LanguageModel(Table()).choices([AB_OR_CB, clear], [(3, 2)])
    assert choice.texts[choice.best(Weighing(0.0, 0.0, 0.0))[0]] == (1, 2)
    assert choice.seen[choice.texts.index((1, 2))] == pytest.approx(math.log((0.4 + 0.9) / 2), abs=1e-4)


def test_letters_make_up_for_the_price_of_long_texts() -> None:
    choice = Choice([(1,), (1, 2)], np.array([-1.0, -1.2]), np.array([-2.0, -4.0]), np.array([False, False]))
    assert choice.best(Weighing(0.5, 0.0, 0.0))[0] == 0
    assert choice.best(Weighing(0.5, 1.5, 0.0))[0] == 1


def test_it_learns_words_from_a_list(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("table\nchair\nwindow\n")
    torch.manual_seed(0)
    network = LanguageNetwork(LanguageConfig(ASCII94, 8, 32))
    charset = Charset()
    train(network, Texts([WordSource(vocabulary=words)], ["door"], charset, 48, seed=1), steps=300)
    with torch.inference_mode():
        word, real, string = network(padded([charset.encode(t) for t in ("table", "door", "tbale")], END)).sum(1)
    assert min(word, real) > string + 3


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recogniser with a language network, exported."""
    folder = tmp_path_factory.mktemp("language")
    torch.manual_seed(3)
    config = RecognizerConfig(charset="abc", stem=4, channels=(4, 4, 4), blocks=(0, 0, 0), hidden=4)
    sampling = {"height": 32, "width_multiple": 16, "min_width": 64, "max_width": 512, "stretch": 1.2}
    described = {"format": 1, "kind": "recognizer", **vars(config), **sampling}
    save_network(folder / "recognizer.safetensors", RecognitionNetwork(config), described, torch.float32)
    described = {"format": 1, "kind": "language", **vars(CONFIG)}
    save_network(folder / "language.safetensors", LanguageNetwork(CONFIG), described, torch.float32)
    assert set(export(folder, folder / "out")) == {"recognizer", "language"}
    return folder / "out"


def test_weights_with_a_language_are_read_with_it(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = np.random.default_rng(5).integers(0, 256, (3, 32, 96, 3), dtype=np.uint8)
    plain = Recognizer(exported, decoder="greedy").read(pictures)
    asked = Recognizer(exported).read(pictures)
    assert asked == Recognizer(exported, decoder="language").read(pictures) == plain  # of nothing seen, nothing is made
    monkeypatch.setattr("recognizer.recognizer.LEGIBLE", 0.0)
    monkeypatch.setattr("recognizer.recognizer.DECIDED", 1.1)
    (choice,) = load_language(exported).choices(Recognizer(exported).looks(pictures[:1]), [()])
    monkeypatch.setattr("recognizer.recognizer.WEIGHING", Weighing(0.0, 50.0, 0.0))
    longest = Recognizer(exported).read(pictures)
    assert len(longest[0].text) == max(len(text) for text in choice.texts) > len(plain[0].text)
    monkeypatch.setattr("recognizer.recognizer.DECIDED", 0.0)
    monkeypatch.setattr(Recognizer, "looks", None)
    assert Recognizer(exported).read(pictures) != plain  # likely enough: what was seen at the one look is weighed
    monkeypatch.setattr("recognizer.recognizer.CERTAIN", 0.0)
    assert Recognizer(exported).read(pictures) == plain


def test_looks_are_at_the_word_its_negative_and_other_widths(exported: Path) -> None:
    recognizer = Recognizer(exported)
    pictures = np.random.default_rng(5).integers(0, 256, (2, 32, 96, 3), dtype=np.uint8)
    first, negative, *others = recognizer.looks(pictures)
    np.testing.assert_array_equal(first, log_softmax(recognizer.logits(pictures)))
    np.testing.assert_array_equal(negative, log_softmax(recognizer.logits(255 - pictures)))
    assert [look.shape for look in (first, negative, *others)] == [(2, frames, 4) for frames in (24, 24, 16, 36)]
    widest = recognizer.looks(np.zeros((1, 32, 512, 3), np.uint8))
    assert [look.shape[1] for look in widest] == [128, 128, 96]


def test_networks_of_one_width_are_looked_through_at_that_alone(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = Recognizer(exported)
    monkeypatch.setattr(recognizer, "config", {**recognizer.config, "min_width": 96, "max_width": 96})
    assert [look.shape[1] for look in recognizer.looks(np.zeros((1, 32, 96, 3), np.uint8))] == [24, 24]


def test_what_the_first_look_gave_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what came of the first look, the same choices come of all looks, and only new texts are asked about."""
    clear = seen({"b": 0.7, "a": 0.3}, {"": 1.0}, {"b": 1.0})
    model = LanguageModel(Table(ab=-2.0, bb=-5.0))
    (first,) = model.choices([AB_OR_CB], [(3, 2)])
    (whole,) = model.choices([AB_OR_CB, clear], [(3, 2)])
    asked: list[tuple[int, ...]] = []
    scores = model.scores
    monkeypatch.setattr(model, "scores", lambda texts: (asked.extend(texts), scores(texts))[1])
    (again,) = model.choices([AB_OR_CB, clear], [(3, 2)], [first])
    assert dict(zip(again.texts, again.written, strict=True)) == dict(zip(whole.texts, whole.written, strict=True))
    assert asked and not set(asked) & set(first.texts)
    np.testing.assert_allclose(sorted(again.seen), sorted(whole.seen))
    assert model.choices([AB_OR_CB[:0]], []) == []


def test_texts_that_are_far_from_what_is_seen_are_not_asked_about() -> None:
    """A letter more costs 13.8 nats; a text that was heard stays."""
    (choice,) = LanguageModel(Table()).choices([AB_OR_CB], [(1, 1, 1)])
    assert set(choice.texts) == {(1, 2), (3, 2), (1, 1, 1)}


def test_texts_of_all_lengths_score_as_they_do_alone(exported: Path) -> None:
    model = load_language(exported)
    texts = [(1, 2, 3) * (place % 7) + (1,) * (place % 2) for place in range(60)]
    np.testing.assert_allclose(model.scores(texts), [model.scores([text])[0] for text in texts], rtol=1e-6)
    assert model.scores([]).shape == (0,)


def test_other_characters_have_no_language(exported: Path) -> None:
    with pytest.raises(ValueError, match=r"no language network .*train\.language"):
        Recognizer(exported / "recognizer.onnx", decoder="language")
    assert Recognizer(exported / "recognizer.onnx").read(np.zeros((1, 32, 64, 3), np.uint8))


def test_the_command_writes_weights_that_export_takes(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("table\nchair\n")
    small = ["--steps", "2", "--batch-size", "4", "--units", "8", "--threads", "1"]
    main([str(tmp_path / "run"), "--words", str(words), *small])
    assert set(export(tmp_path / "run", tmp_path / "out")) == {"language"}


def test_bits_are_those_of_the_probabilities() -> None:
    network = LanguageNetwork(CONFIG)
    with torch.inference_mode():
        network.output.weight.zero_()
        network.output.bias.zero_()
    assert bits(network, [[1, 2], [3]]) == pytest.approx(math.log2(4))


def test_a_held_back_word_answers_by_the_weighing() -> None:
    choice = Choice([(1,), (1, 2)], np.array([-1.0, -1.2]), np.array([-2.0, -4.0]), np.array([False, False]))
    undecided = Choice([(1,), (1, 2)], np.array([-1.0, -1.0]), np.zeros(2), np.array([False, False]))
    word = Word([(undecided, [False, False]), (choice, [False, True])])
    assert word.answer(Weighing(0.5, 0.0, 0.0))[1] is False
    assert word.answer(Weighing(0.5, 1.5, 0.0), decided=0.75)[1] is True
    assert word.answer(Weighing(0.5, 9.0, 0.0))[1] is False  # the first look's choice decides
    assert word.answer(Weighing(0.5, 9.0, 0.0), decided=1.1)[1] is True
    assert Word([], (0.95, True)).answer(Weighing(0.5, 0.0, 0.0)) == (0.95, True)
    assert [Word(those).is_looked_at_again(0.5) for those in ([], [(choice, [])], word.choices)] == [False, True, False]
    assert word.is_looked_at_again(1.1)
