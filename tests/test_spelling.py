"""Asking the attention head about texts, against every text that there is."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from recognizer.attention_network import AttentionConfig, AttentionHead
from recognizer.charset import Charset
from recognizer.lexicon import Lexicon
from recognizer.lexicon_spelling import near_words
from recognizer.network import RecognitionNetwork, RecognizerConfig
from recognizer.networks import build_attention
from recognizer.recognizer import Recognizer
from recognizer.spelling import Speller
from rectify.engine import load_engine
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
    """What is missing to one is that of the texts that are longer."""
    sums = np.exp(speller.log_probabilities(features, TEXTS, np.zeros(len(TEXTS), int))).sum(0)
    assert (sums < 1).all()
    more = [text for length in range(9) for text in itertools.product((1, 2), repeat=length)]
    longer = np.exp(speller.log_probabilities(features, more, np.zeros(len(more), int))).sum(0)
    assert (longer >= sums).all() and (longer < 1 + 1e-5).all()


def test_torch_and_onnx_agree(speller: Speller, exported: Path, features: np.ndarray) -> None:
    ours = Speller(load_engine(exported / "attention.safetensors", build=build_attention))
    owners = np.zeros(len(TEXTS), int)
    expected = ours.log_probabilities(features, TEXTS, owners)
    np.testing.assert_allclose(speller.log_probabilities(features, TEXTS, owners), expected, atol=1e-4)


def test_a_wide_beam_finds_the_most_probable_text(speller: Speller, features: np.ndarray) -> None:
    for word, (text, confidence) in enumerate(speller.beam(features, width=100, most=3)):
        scores = speller.log_probabilities(features, TEXTS, np.full(len(TEXTS), word)).max(1)
        assert tuple(text) == TEXTS[int(scores.argmax())]
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


def test_no_near_words_where_none_fits(speller: Speller, features: np.ndarray) -> None:
    logits = np.zeros((3, 2, 3), np.float32)
    assert near_words(speller, logits, features, [Lexicon(["aaaa"])] * 3, Charset("ab")) == [None] * 3
    mixed = near_words(speller, logits, features, [Lexicon([word]) for word in ("aaaa", "b", "aaaa")], Charset("ab"))
    assert [near is None for near in mixed] == [True, False, True]


@pytest.mark.parametrize("decoder", ["attention", "attention-beam", "both", "greedy", "auto"])
def test_a_recogniser_reads_words_of_a_list(exported: Path, decoder: str) -> None:
    pictures = np.random.default_rng(5).integers(0, 256, (2, 32, 96, 3), dtype=np.uint8)
    lexicon = Lexicon(["ab", "bab"])
    readings = Recognizer(exported, decoder=decoder, lexicon=lexicon).read(pictures)
    assert all(reading.text in lexicon.words and 0 <= reading.confidence <= 1 for reading in readings)
    assert Recognizer(exported, decoder=decoder).read(pictures, [lexicon] * 2) == readings


def test_beam_search_by_a_recogniser(exported: Path, weights: Path) -> None:
    pictures = np.random.default_rng(5).integers(0, 256, (2, 32, 96, 3), dtype=np.uint8)
    readings = Recognizer(exported, decoder="attention-beam").read(pictures)
    halves = Recognizer(weights, decoder="attention-beam").read(pictures)
    assert [reading.text for reading in readings] == [reading.text for reading in halves]


def test_weights_that_cannot_be_asked_say_so(exported: Path, tmp_path: Path) -> None:
    for name in ("recognizer.onnx", "attention.onnx"):
        (tmp_path / name).write_bytes((exported / name).read_bytes())
    with pytest.raises(ValueError, match="hold no `spelling`"):
        Recognizer(tmp_path, decoder="attention-beam")
    pictures = np.zeros((1, 32, 96, 3), np.uint8)
    assert Recognizer(tmp_path, lexicon=Lexicon(["ab"])).read(pictures)[0].text == "ab"
