"""Two processes of torchrun train as one does: the same losses, the same weights, one that writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn

from data.loader import Batch, BatchDataset, Source, View
from test_training import SMALL, configuration
from train import checkpoint, distributed
from train.config import Config, as_tree
from train.loop import Training

ROOT = Path(__file__).parents[1]

RUN = """
import json, os, sys
from dataclasses import replace
from pathlib import Path
from train.config import config_from
from train.distributed import disconnect
from train.loop import Training

config, folder = config_from(json.loads(sys.argv[1])), Path(sys.argv[2])

def train(name, until=None, resume=False):
    training = Training(replace(config, out=str(folder / name)))
    losses, take_step = [], training.take_step
    training.take_step = lambda batch: losses.append(take_step(batch)) or losses[-1]
    if resume:
        training.resume()
    training.run(until)
    return losses

losses = [train("whole"), train("parts", until=2) + train("parts", resume=True)]
(folder / f"losses{os.environ['RANK']}.json").write_text(json.dumps(losses))
disconnect()
"""


def torchrun(*arguments: str) -> None:
    """Two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def alone(config: Config) -> list[dict[str, float]]:
    """Losses by step of a single process."""
    training = Training(config)
    losses: list[dict[str, float]] = []
    take_step = training.take_step
    training.take_step = lambda batch: losses.append(take_step(batch)) or losses[-1]  # type: ignore[method-assign, func-returns-value]
    training.run()
    return losses


def test_two_processes_have_the_losses_of_one_and_resume(tmp_path: Path, synthetic: Path) -> None:
    """With batch normalisation, dropout, jitter, groups of uneven size and a refiner.

    Later steps drift apart: Adam makes whole steps of the rounding errors of gradients that are zero.
    """
    config = configuration(
        tmp_path / "one",
        synthetic,
        steps=3,
        learning_rate=1e-4,
        batch_size=11,
        groups=(0.6, 0.4),
        refiner=SMALL,
        evaluate_every=2,
    )
    expected = alone(config)
    (tmp_path / "run.py").write_text(RUN)
    torchrun(str(tmp_path / "run.py"), json.dumps(as_tree(config)), str(tmp_path))
    first, second = (json.loads((tmp_path / f"losses{rank}.json").read_text()) for rank in range(2))
    assert first == second
    whole, parts = first
    assert whole == parts
    assert expected[0].keys() >= {"geometry", "ctc", "alignment"}
    for one, two in zip(expected, whole, strict=True):
        assert two == pytest.approx(one, rel=1e-5, abs=1e-5)
    weights, shared = (checkpoint.read(tmp_path / run / checkpoint.FILE)[0] for run in ("one", "whole"))
    assert weights.keys() == shared.keys()
    running = [name for name in weights if name.startswith("model.") and "running" in name]
    assert running
    for name in running:
        np.testing.assert_allclose(shared[name], weights[name], rtol=1e-3, atol=1e-4)
    assert torch.equal(shared["random"], weights["random"])
    table = (tmp_path / "whole" / "metrics.csv").read_text()
    assert table.count("words/word_accuracy") == 2  # at steps 2 and 3, and by one process alone


def test_the_command_runs_under_torchrun(tmp_path: Path, synthetic: Path) -> None:
    settings = [
        f"out={tmp_path / 'run'}",
        f"sources.synthetic.paths=[{synthetic}]",
        f"validation.unseen.paths=[{synthetic}]",
        "workers=1",
        "batch_size=4",
        "steps=2",
    ]
    torchrun("-m", "rectify.cli", "train", "geometry", *settings)
    assert checkpoint.read(tmp_path / "run" / checkpoint.FILE)[1]["step"] == 2


def test_parts_of_a_batch_are_the_batch(synthetic: Path) -> None:
    view = View(5, 5, "abcdefghijklmnopqrstuvwxyz0123456789", (96, 32))
    sources = {"words": Source((str(synthetic),), share=0.7), "photos": Source((str(synthetic),), 0.3, augment=True)}
    whole = BatchDataset(sources, 10, view, seed=1)[3]
    parts = [BatchDataset(sources, 10, view, 1, (number, 3))[3] for number in range(3)]
    assert [len(part) for part in parts] == [4, 3, 3]
    joined = Batch.joined(parts)
    assert joined.labels == whole.labels
    for name in ("thumbnails", "views", "pixels", "sizes", "control_points"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))
    for one, other in zip(joined.characters, whole.characters, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("layer", "shape"), [(nn.BatchNorm1d, (6, 3)), (nn.BatchNorm2d, (6, 3, 4, 5))])
def test_shared_statistics_of_one_process_are_torchs(
    layer: type[nn.Module], shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "_Gather", SimpleNamespace(apply=lambda rows, count: rows))
    ours, theirs = nn.Sequential(layer(3)), nn.Sequential(layer(3))
    distributed.share_statistics(ours)
    assert type(ours[0]) is not layer and isinstance(ours[0], layer)
    rows = torch.randn(*shape)
    torch.testing.assert_close(ours(rows), theirs(rows))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


def test_more_processes_than_words_in_a_group_are_refused(tmp_path: Path, synthetic: Path) -> None:
    system = Training(configuration(tmp_path / "run", synthetic, groups=(0.8, 0.2))).system
    system.check_processes(2)
    with pytest.raises(ValueError, match="batch_size 8 leaves 2 words in the smallest"):
        system.check_processes(3)


def test_a_single_process_exchanges_nothing() -> None:
    rows = torch.arange(6.0).reshape(3, 2)
    (same,) = distributed.divided(lambda part: [rows[part]], 3)
    assert torch.equal(same, rows)
    assert distributed.collected("a") == ["a"]
    assert (distributed.rank(), distributed.world(), distributed.processes_here()) == (0, 1, 1)


def test_half_precision_stays_near_and_keeps_the_points(tmp_path: Path, synthetic: Path) -> None:
    config = configuration(tmp_path / "run", synthetic, steps=2)
    full = alone(config)
    half = alone(replace(config, out=str(tmp_path / "half"), precision="bf16"))
    assert half[0] != full[0]
    assert half[0]["geometry"] == full[0]["geometry"]
    assert half[0] == pytest.approx(full[0], rel=0.05)
    with pytest.raises(ValueError, match="'half' is none of float32, bf16"):
        Training(replace(config, precision="half"))
