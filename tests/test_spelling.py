"""Asking the attention head about texts, against every text that there is."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from recognizer.attention_network import AttentionConfig, AttentionHead
from recognizer.charset import Charset
from recognizer.lexicon import Lexicon
from recognizer.lexicon_spelling import NEAREST, near_words
from recognizer.network import RecognitionNetwork, RecognizerConfig
from recognizer.networks import build_attention
from recognizer.recognizer import TEMPERATURE, Recognizer
from recognizer.spelling import Speller
from rectify.engine import load_engine
from train.calibrate import KINDS, _files, store
from train.export import export
from train.weights import save_network

CONFIG = AttentionConfig(charset="ab", features=16, units=8, embedding=4, heads=2, steps=6)
READER = RecognizerConfig(charset="ab", stem=8, channels=(8, 8, 16), blocks=(0, 0, 0), hidden=8)
TEXTS = [text for length in range(4) for text in itertools.product((1, 2), repeat=length)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recogniser with an attention head of two letters, which is sure of something."""
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("weights")
    reader, head = RecognitionNetwork(READER), AttentionHead(CONFIG)
    for side in (head.forwards, head.backwards):
        torch.nn.init.normal_(side.output.weight, std=3)
    reader(255 * torch.rand(8, 3, 32, 64))
    described = {"format": 1, "height": 32, "stretch": 1.2, "width_multiple": 16, "min_width": 64, "max_width": 512}
    save_network(
        folder / "recognizer.safetensors", reader, {**described, **vars(READER), "kind": "recognizer"}, torch.float32
    )
    description = {"format": 1, "kind": "attention", **vars(CONFIG)}
    save_network(folder / "attention.safetensors", head, description, torch.float32)
    return folder


@pytest.fixture(scope="module")
def exported(weights: Path) -> Path:
    assert set(export(weights, weights / "out")) == {"recognizer", "attention", "spelling"}
    return weights / "out"


@pytest.fixture(scope="module")
def speller(exported: Path) -> Speller:
    return Speller(load_engine(exported / "spelling.onnx"))


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, 9, 16)).astype(np.float32)


def test_a_text_is_as_probable_as_its_letters_and_its_end(
    speller: Speller, exported: Path, features: np.ndarray
) -> None:
    """Beside longer texts as alone, where nothing fills it up."""
    network = load_engine(exported / "spelling.onnx")
    owners = np.arange(len(TEXTS)) % 3
    for text, owner, found in zip(TEXTS, owners, speller.log_probabilities(features, TEXTS, owners), strict=True):
        given = np.array([[text or (0,), text[::-1] or (0,)]], np.int64)
        logits = network(features[[owner]], given)[0]
        probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        for side, letters in enumerate((text, text[::-1])):
            product = np.prod([probabilities[side, place, letter] for place, letter in enumerate((*letters, 0))])
            assert found[side] == pytest.approx(np.log(product), abs=1e-4)


def test_probabilities_of_all_texts_and_longer_ones_add_up_to_one(speller: Speller, features: np.ndarray) -> None:
    """Of the texts of up to eight letters nearly; those of up to three leave more out."""
    more = [text for length in range(9) for text in itertools.product((1, 2), repeat=length)]
    few, many = (
        np.exp(speller.log_probabilities(features, texts, np.zeros(len(texts), int))).sum(0) for texts in (TEXTS, more)
    )
    assert (few < many).all() and (many < 1 + 1e-5).all() and (many > 0.5).all()


def test_torch_and_onnx_agree(speller: Speller, exported: Path, features: np.ndarray) -> None:
    ours = Speller(load_engine(exported / "attention.safetensors", build=build_attention))
    owners = np.zeros(len(TEXTS), int)
    expected = ours.log_probabilities(features, TEXTS, owners)
    np.testing.assert_allclose(speller.log_probabilities(features, TEXTS, owners), expected, atol=1e-4)


def test_a_wide_beam_finds_the_most_probable_text(speller: Speller, features: np.ndarray) -> None:
    texts = [text for length in range(CONFIG.steps) for text in itertools.product((1, 2), repeat=length)]
    for word, (text, confidence) in enumerate(speller.beam(features, width=100)):
        scores = speller.log_probabilities(features, texts, np.full(len(texts), word)).max(1)
        assert tuple(text) == texts[int(scores.argmax())]
        assert confidence == pytest.approx(np.exp(scores.max() / (len(text) + 1)), rel=1e-4)


def test_a_narrow_beam_is_never_better(speller: Speller, features: np.ndarray) -> None:
    for (narrow, sure), (wide, surer) in zip(speller.beam(features, 1), speller.beam(features, 20), strict=True):
        assert sure ** (len(narrow) + 1) <= surer ** (len(wide) + 1) * (1 + 1e-9)


def test_near_words_are_weighed_by_both_heads(speller: Speller, features: np.ndarray) -> None:
    charset, lexicon = Charset("ab"), Lexicon(["a", "ab", "bb", "abb"])
    logits = np.random.default_rng(1).normal(size=(3, 9, 3)).astype(np.float32)
    seen = lexicon.log_probabilities(logits, charset)
    texts = [charset.encode(word) for word in lexicon.words]
    for word, near in enumerate(near_words(speller, logits, features, [lexicon] * 3, charset)):
        assert near is not None
        spelled = speller.log_probabilities(features, texts, np.full(4, word)).mean(1)
        assert near.best(alone=True)[0] == lexicon.words[int(spelled.argmax())]
        place = int((spelled + seen[word]).argmax())
        text, by_ctc, by_attention = near.best(alone=False)
        assert text == lexicon.words[place]
        assert by_ctc == pytest.approx(np.exp(seen[word, place] / len(text)))
        assert by_attention == pytest.approx(np.exp(spelled[place] / (len(text) + 1)), rel=1e-4)


def test_of_a_long_list_only_the_nearest_are_asked_about(speller: Speller, features: np.ndarray) -> None:
    charset = Charset("ab")
    lexicon = Lexicon(["".join("ab"[letter - 1] for letter in text) for text in TEXTS if text])
    logits = np.random.default_rng(1).normal(size=(3, 9, 3)).astype(np.float32)
    seen = lexicon.log_probabilities(logits, charset)
    for word, near in enumerate(near_words(speller, logits, features, [lexicon] * 3, charset)):
        assert near is not None
        assert near.words.tolist() == np.argsort(-seen[word])[:NEAREST].tolist()


class Cases:
    """Stands in for the attention head: it finds a text as probable as it has letters of class 3."""

    def log_probabilities(self, features: np.ndarray, texts: list[tuple[int, ...]], owners: np.ndarray) -> np.ndarray:
        return np.array([[text.count(3) - 5.0] * 2 for text in texts])


def test_a_word_is_asked_about_in_the_case_that_is_seen() -> None:
    charset, lexicon = Charset("abAB"), Lexicon(["ab", "ba"])
    frames = np.full((1, 5, 5), -9.0)
    for frame, character in enumerate((3, 0, 2, 0, 0)):  # A, then b
        frames[0, frame, character] = 0
    (near,) = near_words(Cases(), frames, np.zeros((1, 5, 16), np.float32), [lexicon], charset)  # type: ignore[arg-type]
    assert near is not None and near.words[0] == 0
    assert near.spelled[0] == 1 - 5.0  # Ab, not ab, AB or aB


def test_no_near_words_where_none_fits(speller: Speller, features: np.ndarray) -> None:
    logits = np.zeros((3, 2, 3), np.float32)
    assert near_words(speller, logits, features, [Lexicon(["aaaa"])] * 3, Charset("ab")) == [None] * 3
    mixed = near_words(speller, logits, features, [Lexicon([word]) for word in ("aaaa", "b", "aaaa")], Charset("ab"))
    assert [near is None for near in mixed] == [True, False, True]


@pytest.mark.parametrize("decoder", ["attention", "attention-beam", "both", "greedy", "beam", "auto"])
def test_a_recogniser_reads_words_of_a_list(exported: Path, speller: Speller, decoder: str) -> None:
    pictures = np.random.default_rng(5).integers(0, 256, (4, 32, 96, 3), dtype=np.uint8)
    lexicon = Lexicon(["ab", "bab", "a", "bb"])
    recognizer = Recognizer(exported, decoder=decoder, lexicon=lexicon)
    readings = recognizer.read(pictures)
    logits, features = load_engine(exported / "recognizer.onnx").outputs(pictures)
    near = near_words(speller, logits, features, [lexicon] * 4, Charset("ab"))
    if decoder in ("greedy", "beam"):
        expected = [word for word, _ in lexicon.read_ctc(logits, Charset("ab"))]
    else:
        expected = [one.best(alone=decoder.startswith("attention"))[0] for one in near if one]
    assert [reading.text for reading in readings] == expected
    assert all(0 <= reading.confidence <= 1 for reading in readings)
    assert Recognizer(exported, decoder=decoder).read(pictures, [lexicon] * 4) == readings


def test_beam_search_by_a_recogniser(exported: Path, weights: Path) -> None:
    pictures = np.random.default_rng(5).integers(0, 256, (2, 32, 96, 3), dtype=np.uint8)
    readings = Recognizer(exported, decoder="attention-beam").read(pictures)
    halves = Recognizer(weights, decoder="attention-beam").read(pictures)
    assert [reading.text for reading in readings] == [reading.text for reading in halves]


def test_nothing_to_read_is_nothing_read(exported: Path) -> None:
    none = np.zeros((0, 32, 96, 3), np.uint8)
    for decoder in ("greedy", "attention-beam", "both"):
        recognizer = Recognizer(exported, decoder=decoder)
        assert recognizer.read(none) == recognizer.glance(none) == []
        with pytest.raises(ValueError, match="no images"):
            recognizer.logits(none)


def test_a_calibrated_head_is_calibrated_in_both_graphs(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "weights")
    files = _files(str(tmp_path / "weights"), KINDS["attention"])
    assert [file.path.name for file in files] == ["attention.onnx", "attention.safetensors", "spelling.onnx"]
    for file in files:
        store(file, 0.5)
    graph = load_engine(tmp_path / "weights" / "spelling.onnx")
    assert graph.config[TEMPERATURE] == 0.5 and graph.config["kind"] == "spelling"


def test_weights_that_cannot_be_asked_say_so(exported: Path, tmp_path: Path) -> None:
    for name in ("recognizer.onnx", "attention.onnx"):
        (tmp_path / name).write_bytes((exported / name).read_bytes())
    with pytest.raises(ValueError, match="hold no `spelling`"):
        Recognizer(tmp_path, decoder="attention-beam")
    pictures = np.zeros((1, 32, 96, 3), np.uint8)
    assert Recognizer(tmp_path, lexicon=Lexicon(["ab"])).read(pictures)[0].text == "ab"
