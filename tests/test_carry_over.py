"""Weights for another charset: what both hold is carried over exactly, the rest is fresh, and the program says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings
from hypothesis import strategies as st

from recognizer.attention_network import AttentionConfig, AttentionHead
from recognizer.network import RecognitionNetwork, RecognizerConfig
from train.adopt import adopt_shapes
from train.carry_over import CLASS_ROWS, carry_over, describe
from train.config import Config, as_tree, config_from
from train.loop import Training, plain
from train.weights import find_safetensors, load_tensors

TINY = RecognizerConfig(charset="abc1", stem=4, channels=(4, 4, 4), blocks=(0, 0, 0), hidden=4)


def network(charset: str) -> torch.nn.Module:
    """Encoder, CTC and attention; their tensors as each network names its own."""
    head = AttentionHead(AttentionConfig(charset, features=8, units=8, embedding=4, heads=2, steps=3))
    both = torch.nn.Module()
    for network in (RecognitionNetwork(replace(TINY, charset=charset)), head):
        for name, child in network.named_children():
            both.add_module(name, child)
    return both


charsets = st.lists(st.sampled_from("abcdeą1ż"), min_size=1, max_size=8, unique=True).map("".join)


@settings(deadline=None, max_examples=20)
@given(charsets, charsets)
def test_rows_of_shared_characters_are_equal_and_all_others_fresh(old: str, new: str) -> None:
    source, fresh = network(old).state_dict(), network(new).state_dict()
    tensors, partly_fresh = carry_over(source, old, fresh, new)
    assert tensors.keys() == fresh.keys()
    for name in tensors.keys() - CLASS_ROWS.keys():
        assert torch.equal(tensors[name], source[name])
    assert CLASS_ROWS.keys() <= tensors.keys()
    for name, first in CLASS_ROWS.items():
        assert tensors[name].shape == fresh[name].shape
        assert torch.equal(tensors[name][:first], source[name][:first])
        for place, character in enumerate(new):
            row = source[name][first + old.index(character)] if character in old else fresh[name][first + place]
            assert torch.equal(tensors[name][first + place], row)
    assert partly_fresh == (set(CLASS_ROWS) if set(new) - set(old) else set())


def test_classes_after_the_characters_keep_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an end of the text would be."""
    monkeypatch.setitem(CLASS_ROWS, "letters", 0)
    source, fresh = {"letters": torch.tensor([1.0, 2, 3, 9])}, {"letters": torch.tensor([-1.0, -2, -9])}
    tensors, _ = carry_over(source, "abc", fresh, "cd")
    assert tensors["letters"].tolist() == [3, -2, 9]


def test_layers_of_another_shape_are_left_to_the_loader_to_refuse() -> None:
    source, fresh = network("ab").state_dict(), RecognitionNetwork(replace(TINY, charset="xyz", hidden=8)).state_dict()
    assert carry_over(source, "ab", fresh, "xyz")[0]["ctc.weight"] is source["ctc.weight"]


def test_what_happened_is_told() -> None:
    assert describe("abc", "abc") == "carried over whole"
    assert describe("abc", "bcą") == "carried over with 2 of its 3 characters; 1 start fresh: ą; 1 are left out: a"
    assert describe("a", "".join(map(chr, range(200, 300)))).endswith("1 are left out: a")
    assert "…" in describe("a", "".join(map(chr, range(200, 300))))


def configuration(out: Path, data: Path, charset: str) -> Config:
    from test_training import configuration as small

    reader = replace(TINY, charset=charset)
    return replace(small(out, data, steps=3, recognizer=reader, attention=None), carried_rate=0.25)


def test_a_run_starts_with_what_the_other_charset_allows(
    tmp_path: Path, synthetic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Training(configuration(tmp_path / "first", synthetic, "aeiou")).run()
    second = Training(configuration(tmp_path / "second", synthetic, "eiouśt"))
    fresh_rows = second.system.recognition.ctc.weight[5:].clone()
    second.initialize(str(tmp_path / "first"))
    assert capsys.readouterr().err.splitlines() == [
        "rectify-ocr: rectifier: carried over whole",
        "rectify-ocr: recognizer: carried over with 4 of its 5 characters; 2 start fresh: śt; 1 are left out: a",
    ]
    first = {kind: load_tensors(file) for kind, file in find_safetensors(str(tmp_path / "first")).items()}
    for name, value in second.average.localization.state_dict().items():
        assert torch.equal(value, first["rectifier"][name])
    weight, old = second.average.recognition.ctc.weight, first["recognizer"]["ctc.weight"]
    assert torch.equal(weight[0], old[0]) and torch.equal(weight[1:5], old[2:6]) and torch.equal(weight[5:], fresh_rows)


def test_what_was_carried_over_learns_slower_and_still_does_after_a_resume(tmp_path: Path, synthetic: Path) -> None:
    Training(configuration(tmp_path / "first", synthetic, "aeiou")).run()

    def started(out: str) -> Training:
        training = Training(configuration(tmp_path / out, synthetic, "aeiouśt"))
        training.initialize(str(tmp_path / "first"))
        return training

    def rate(training: Training, parameter: torch.nn.Parameter) -> float:
        groups = training.optimizer.param_groups
        (found,) = [g["relative_rate"] for g in groups if any(p is parameter for p in g["params"])]
        return found

    whole = started("whole")
    assert rate(whole, whole.system.recognition.ctc.weight) == rate(whole, whole.system.recognition.ctc.bias) == 1
    assert rate(whole, whole.system.recognition.encoder.convolutions[0].weight) == 0.25
    assert rate(whole, whole.system.localization.hidden.weight) == 0.25 * 0.3
    whole.run()
    started("parts").run(until=1)
    parts = Training(replace(whole.config, out=str(tmp_path / "parts")))
    parts.resume()
    assert rate(parts, parts.system.recognition.encoder.convolutions[0].weight) == 0.25
    parts.run()
    for name, value in whole.average.state_dict().items():
        assert torch.equal(value, parts.average.state_dict()[name])


def test_networks_that_the_weights_lack_start_fresh(
    tmp_path: Path, synthetic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    geometry = replace(configuration(tmp_path / "first", synthetic, "abc"), recognizer=None)
    Training(geometry).run()
    second = Training(configuration(tmp_path / "second", synthetic, "abc"))
    second.initialize(str(tmp_path / "first"))
    assert f"recognizer: starts fresh, {tmp_path / 'first'} holds none" in capsys.readouterr().err


def test_attention_follows_the_charset_and_is_adopted(
    tmp_path: Path, synthetic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = AttentionConfig(units=8, embedding=4, heads=2, steps=20)
    first = replace(configuration(tmp_path / "first", synthetic, "aeiou"), attention=head)
    Training(first).run(until=1)
    tree = plain(as_tree(configuration(tmp_path / "second", synthetic, "eiouśt")))
    assert isinstance(tree, dict)
    del tree["attention"]
    second = Training(config_from(adopt_shapes({**tree, "init": first.out})))
    second.initialize(first.out)
    assert second.config.attention is not None and second.config.attention.units == 8
    assert "attention: carried over with 4 of its 5 characters" in capsys.readouterr().err
    old = load_tensors(find_safetensors(first.out)["attention"])["forwards.embedding.weight"]
    assert second.average.attention is not None
    new = second.average.attention.forwards.embedding.weight
    assert torch.equal(new[0], old[0]) and torch.equal(new[1:5], old[2:6])
    second.run(until=1)


def test_settings_adopt_the_shapes_of_the_weights_unless_they_say_otherwise(tmp_path: Path, synthetic: Path) -> None:
    config = configuration(tmp_path / "first", synthetic, "aeiou")
    Training(config).run(until=1)
    tree = {"init": str(tmp_path / "first"), "recognizer": {"charset": "xyz"}, "sampling": {"stretch": 2.0}}
    adopted = adopt_shapes(tree)
    assert adopted["localization"] == plain(as_tree(config.localization))
    assert adopted["recognizer"] == {**plain(as_tree(config.recognizer)), "charset": "xyz"}
    assert adopted["sampling"]["stretch"] == 2.0 and adopted["sampling"]["height"] == 32
    assert adopt_shapes({**tree, "recognizer": None})["recognizer"] is None
    assert adopt_shapes({"steps": 1}) == {"steps": 1}
