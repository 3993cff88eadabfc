"""Training on a GPU, without one: fake tensors that know where they are and refuse to mix. Backwards and the kernels
themselves are left untested."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from data.loader import Batch, BatchDataset, View
from recognizer.attention_network import AttentionConfig
from test_training import SMALL, configuration
from train import distributed
from train.config import Config
from train.loop import Training
from train.system import System

MOVED = ("thumbnails", "views", "pixels", "control_points", "outlines")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, synthetic: Path) -> Config:
    return configuration(tmp_path_factory.mktemp("run"), synthetic, refiner=SMALL, attention=AttentionConfig(steps=6))


def loaded(config: Config) -> Batch:
    view = View.of(config.localization, config.recognizer, config.rectify, config.refiner)
    return BatchDataset(config.sources, 4, view, seed=1)[0]


def test_pixels_are_cut_where_they_are(config: Config) -> None:
    batch = loaded(config)
    crops, sizes = batch.on(torch.device("meta")).crops([2, 0])
    assert crops.device.type == "meta" and sizes.device.type == "cpu"
    assert crops.shape == batch.crops([2, 0])[0].shape


def test_all_losses_are_computed_on_one_device(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, system = loaded(config), System(config)
    (crops, sizes), where = batch.crops(range(4)), torch.device("cuda", 0)
    expected = system(batch, 0.0, np.random.default_rng(0))
    fake = FakeTensorMode(allow_non_fake_inputs=True)

    def ctc(scores: Tensor, targets: Tensor, *lengths: Any, zero_infinity: bool) -> Tensor:
        assert scores.device == targets.device == where
        return scores.sum()

    # What reads values, which fake tensors have none of.
    monkeypatch.setattr(system, "widths", lambda points, sizes: np.full(len(sizes), 64.0))
    monkeypatch.setattr("torch.nn.functional.ctc_loss", ctc)
    monkeypatch.setattr(torch.nn.LSTM, "flatten_parameters", lambda self: None)
    with torch.backends.cudnn.flags(enabled=False), torch.no_grad(), fake:
        for module in system.modules():
            for name, tensor in [*module._parameters.items(), *module._buffers.items()]:
                if tensor is not None:
                    moved = fake.from_tensor(tensor.detach()).to(where)
                    if name in module._parameters:
                        module._parameters[name] = torch.nn.Parameter(moved)
                    else:
                        module._buffers[name] = moved
        gone = replace(batch, **{name: fake.from_tensor(getattr(batch, name)) for name in MOVED}).on(where)
        pictures = fake.from_tensor(crops).to(where)
        monkeypatch.setattr(Batch, "crops", lambda self, rows: (pictures[rows], sizes[rows]))
        losses = system(gone, 0.0, np.random.default_rng(0))
    assert losses.keys() == expected.keys() >= {"geometry", "quad", "reach", "ctc", "attention", "alignment"}
    assert {loss.device for loss in losses.values()} == {where}


def test_a_device_that_is_not_there_is_named(config: Config) -> None:
    with pytest.raises(ValueError, match="device: 'gpu' is none of cpu, cuda"):
        Training(replace(config, device="gpu"))
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="finds no GPU"):
            Training(replace(config, device="cuda"))
        assert distributed.device("") == torch.device("cpu")
