"""Parts of a run that do not learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from test_training import READER, configuration
from train.config import Config, ConfigError
from train.loop import Training
from train.parameters import Frozen, parameters_of


def frozen(out: Path, data: Path, *names: str) -> Config:
    return replace(configuration(out, data), frozen=names, recognizer=replace(READER, blocks=(1, 0, 0)))


def test_frozen_parts_stay_bit_equal_and_the_others_learn(tmp_path: Path, synthetic: Path) -> None:
    names = ("rectifier", "recognizer.encoder.convolutions", "recognizer.ctc.bias")
    training = Training(frozen(tmp_path / "run", synthetic, *names))
    before = {part: _copy(network) for part, network in training.system.parts().items()}
    training.run()
    for system in (training.system, training.average):
        for part, network in system.parts().items():
            for name, value in network.state_dict().items():
                held = any(f"{part}.{name}".startswith(frozen) for frozen in names)
                assert torch.equal(value, before[part][name]) == held, f"{part}.{name}"


def _copy(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rectifyer", "no part rectifyer; did you mean rectifier"),
        ("recognizer.encoder.convolution", "did you mean recognizer.encoder.convolutions"),
        ("recognizer.enc", "no part recognizer.enc"),
        ("", "no part"),
    ],
)
def test_unknown_parts_are_refused_with_the_nearest(tmp_path: Path, synthetic: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Training(frozen(tmp_path / "run", synthetic, name))


def test_a_run_that_could_learn_nothing_is_refused(tmp_path: Path, synthetic: Path) -> None:
    with pytest.raises(ConfigError, match="rectifier, recognizer, attention leaves nothing to train"):
        Training(frozen(tmp_path / "run", synthetic, "rectifier", "recognizer", "attention"))


def test_a_name_holds_what_is_below_it_and_not_what_only_begins_like_it() -> None:
    parts = {"a": torch.nn.ModuleDict({"one": torch.nn.Linear(1, 1), "one2": torch.nn.Linear(1, 1)})}
    held = Frozen(parts, ["a.one"])
    assert held.holds("a.one.weight") and not held.holds("a.one2.weight")
    assert {name for name, p in parameters_of(parts).items() if p.requires_grad} == {"a.one2.weight", "a.one2.bias"}
