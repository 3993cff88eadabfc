"""The attention head: reading step by step is what was taught, and the two directions mirror each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from recognizer import Recognizer
from recognizer.attention import END
from recognizer.attention_network import AttentionConfig, AttentionHead, positions
from recognizer.network import RecognitionNetwork, RecognizerConfig
from recognizer.networks import build_attention
from rectify.engine import load_engine
from train.export import export, parity, write_onnx
from train.weights import save_network

CONFIG = AttentionConfig(charset="abc", features=32, units=16, embedding=8, heads=2, steps=6)
READER = RecognizerConfig(charset="abc", stem=8, channels=(8, 8, 8), blocks=(0, 0, 0), hidden=16)


@pytest.fixture
def head() -> AttentionHead:
    torch.manual_seed(2)
    return AttentionHead(CONFIG).eval()


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(3, 12, 32, generator=torch.Generator().manual_seed(1))


def test_reading_step_by_step_equals_reading_all_its_letters_at_once(
    head: AttentionHead, features: torch.Tensor
) -> None:
    read, looked = head.outputs(features)
    assert read.shape[:2] == (3, 2) and read.shape[3] == 4
    scores, maps = head.outputs(features, read.argmax(3)[:, :, :-1])
    torch.testing.assert_close(scores, read, atol=1e-5, rtol=0)
    torch.testing.assert_close(maps, looked, atol=1e-5, rtol=0)


def set_end(head: AttentionHead, bias: float) -> None:
    """How ready a head is to end a word."""
    with torch.no_grad():
        for side in (head.forwards, head.backwards):
            side.output.bias[END] = bias


def test_reading_ends_with_the_longest_word(head: AttentionHead, features: torch.Tensor) -> None:
    set_end(head, -1e3)
    assert head(features).shape == (3, 2, CONFIG.steps, 4)
    set_end(head, 1e3)
    assert head(features).shape == (3, 2, 1, 4)
    # The longest word says how many steps there are; its neighbours read the same as alone.
    lengths: list[int] = []
    for bias in np.linspace(-0.5, 0.5, 51):
        set_end(head, float(bias))
        alone = [head(word[None]) for word in features]
        lengths = [word.shape[2] for word in alone]
        if min(lengths) < max(lengths):
            break
    scores = head(features)
    assert scores.shape[2] == max(lengths) > min(lengths)
    for together, word in zip(scores, alone, strict=True):
        torch.testing.assert_close(together[:, : word.shape[2]], word[0], atol=1e-5, rtol=0)


def test_a_letter_does_not_depend_on_later_ones(head: AttentionHead, features: torch.Tensor) -> None:
    one, other = torch.tensor([[[1, 2, 3]] * 2] * 3), torch.tensor([[[1, 3, 3]] * 2] * 3)
    first, second = head(features, one), head(features, other)
    torch.testing.assert_close(first[:, :, :2], second[:, :, :2])
    assert not torch.allclose(first[:, :, 2], second[:, :, 2])


def test_the_second_direction_reads_the_mirrored_frames(head: AttentionHead, features: torch.Tensor) -> None:
    head.backwards.load_state_dict(head.forwards.state_dict())
    read, mirrored = head(features), head(features.flip(1))
    torch.testing.assert_close(read[:, 1], mirrored[:, 0])
    letters = torch.ones(3, 2, 4, dtype=torch.long)
    maps, mirrored_maps = head.outputs(features, letters)[1], head.outputs(features.flip(1), letters)[1]
    torch.testing.assert_close(maps[:, 1], mirrored_maps[:, 0].flip(2))


def test_maps_are_shares_of_the_frames(head: AttentionHead, features: torch.Tensor) -> None:
    maps = head.outputs(features, torch.ones(3, 2, 4, dtype=torch.long))[1]
    assert maps.shape == (3, 2, 5, 12)
    torch.testing.assert_close(maps.sum(3), torch.ones(3, 2, 5))
    assert (maps >= 0).all()


def test_places_are_told_apart() -> None:
    places = positions(40, 16, torch.zeros(1))
    assert places.shape == (40, 16)
    distances = torch.cdist(places, places) + 9 * torch.eye(40)
    assert distances.min() > 0.1


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    described = {"format": 1, **vars(READER), "height": 32, "stretch": 1.2}
    described |= {"width_multiple": 16, "min_width": 64, "max_width": 512}
    reader = RecognitionNetwork(READER)
    reader(255 * torch.rand(8, 3, 32, 64))
    save_network(folder / "recognizer.safetensors", reader, {**described, "kind": "recognizer"}, torch.float32)
    description = {"format": 1, "kind": "attention", **vars(CONFIG)}
    save_network(folder / "attention.safetensors", AttentionHead(CONFIG), description, torch.float32)
    differences = export(folder, folder / "out")
    assert set(differences) == {"recognizer", "attention", "spelling"}
    return folder / "out"


def test_onnx_equals_torch_on_features_it_was_not_checked_on(exported: Path) -> None:
    features = np.random.default_rng(4).normal(size=(5, 23, 32)).astype(np.float32)
    onnx = load_engine(exported / "attention.onnx")(features)
    halves = load_engine(exported / "attention.safetensors", build=build_attention)(features)
    np.testing.assert_allclose(onnx, halves, atol=1e-4)


@pytest.mark.parametrize(("bias", "steps"), [(1e3, 1), (-1e3, CONFIG.steps), (0.2, None)])
def test_the_onnx_loop_ends_where_torch_does(
    bias: float, steps: int | None, head: AttentionHead, features: torch.Tensor, tmp_path: Path
) -> None:
    set_end(head, bias)
    write_onnx(head, {"format": 1, "kind": "attention", **vars(CONFIG)}, tmp_path / "attention.onnx")
    expected = head.outputs(features)
    assert steps in (None, expected[0].shape[2])
    for ours, theirs in zip(load_engine(tmp_path / "attention.onnx").outputs(features.numpy()), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-4)


def test_graphs_that_end_elsewhere_are_not_the_same(head: AttentionHead, tmp_path: Path) -> None:
    description = {"format": 1, "kind": "attention", **vars(CONFIG)}
    set_end(head, 1e3)
    write_onnx(head, description, tmp_path / "attention.onnx")
    assert parity(head, tmp_path / "attention.onnx", description) < 1e-4
    set_end(head, -1e3)
    assert parity(head, tmp_path / "attention.onnx", description) == np.inf


def test_a_recogniser_reads_with_either_head(exported: Path) -> None:
    pictures = np.random.default_rng(5).integers(0, 256, (2, 32, 96, 3), dtype=np.uint8)
    ctc, attention = Recognizer(exported, decoder="greedy"), Recognizer(exported, decoder="attention")
    np.testing.assert_array_equal(ctc.logits(pictures), attention.logits(pictures))
    words, sides, steps, classes = attention.letter_logits(pictures).shape
    assert (words, sides, classes) == (2, 2, 4) and 1 <= steps <= 6
    assert all(0 <= reading.confidence <= 1 and set(reading.text) <= set("abc") for reading in attention.read(pictures))
    both = Recognizer(exported, decoder="both").read(pictures)
    for chosen, *pair in zip(both, ctc.read(pictures), attention.read(pictures), strict=True):
        assert chosen.confidence == pytest.approx(max(reading.confidence for reading in pair))
        assert chosen.text in [reading.text for reading in pair]
    letters = len(attention.read(pictures[:1])[0].text)
    assert attention.draw_attention(pictures[0]).shape == (max(1, letters) * (4 * 32 + 2), 4 * 96 + 40, 3)
    assert Recognizer(exported).read(pictures) == both
    with pytest.raises(ValueError, match="attention"):
        ctc.letter_logits(pictures)


def test_a_sure_reading_does_not_ask_the_attention_head(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = np.random.default_rng(5).integers(0, 256, (2, 32, 96, 3), dtype=np.uint8)
    monkeypatch.setattr("recognizer.recognizer.SURE", 0.0)
    both = Recognizer(exported, decoder="both")
    monkeypatch.setattr(both, "_attention", _refuse)
    assert both.read(pictures) == Recognizer(exported, decoder="greedy").read(pictures)


def _refuse(features: np.ndarray) -> np.ndarray:
    raise AssertionError("asked all the same")


def test_weights_without_the_head_say_so(exported: Path) -> None:
    with pytest.raises(ValueError, match="holds no attention"):
        Recognizer(exported / "recognizer.onnx", decoder="attention")
