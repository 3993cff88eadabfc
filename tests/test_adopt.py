"""Training goes on with imported weights: they learn, stay what they are, and read on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from data.loader import BatchDataset, Source, View
from foreign_networks import dtrb_tensors
from recognizer.recognizer import Recognizer
from rectify.weights_io import read_weight_file
from train.adopt import adopt_imported
from train.config import Config, as_tree, config_from
from train.foreign import import_state
from train.loop import Training, plain
from train.losses import letter_loss, padded
from train.validation import Validation
from train.weights import save_network


def imported(tmp_path: Path, head: str, channels: int = 64) -> Path:
    classes = {256: 97}.get(channels, 37 if head == "CTC" else 38)
    result = import_state(dtrb_tensors("None", "VGG", "BiLSTM", head, classes, channels))
    save_network(tmp_path / "imported", result.network, result.description, torch.float32)
    return tmp_path / "imported"


def configuration(tmp_path: Path, init: Path, synthetic: Path) -> Config:
    return Config(
        steps=4,
        out=str(tmp_path / "run"),
        sources={"synthetic": Source((str(synthetic),), hold_out=4)},
        batch_size=6,
        workers=0,
        threads=1,
        init=str(init),
        warmup_steps=1,
    )


@pytest.mark.parametrize("head", ["CTC", "Attn"])
def test_imported_weights_train_on(tmp_path: Path, synthetic: Path, head: str) -> None:
    init = imported(tmp_path, head)
    config = adopt_imported(configuration(tmp_path, init, synthetic))
    assert config.sampling.height == 32 and config.sampling.min_width == config.sampling.max_width == 100
    assert not config.rectify and config.recognizer is not None and len(config.recognizer.charset) == 36
    assert config_from(plain(as_tree(config))).imported["head"] == config.imported["head"]  # type: ignore[arg-type]
    training = Training(config)
    training.initialize(str(init))
    before = Recognizer(init)
    view = View.of(config.localization, config.recognizer)
    dataset = BatchDataset(config.sources, config.batch_size, view, config.seed)
    losses = [training.take_step(dataset[0])["ctc"] for _ in range(4)]
    assert all(map(math.isfinite, losses)) and losses[-1] < losses[0]
    figures = Validation(config).evaluate(training.average, tmp_path, 1)
    assert 0 <= figures["synthetic/word_accuracy"] <= 100
    training.out.mkdir()
    training.save()
    after = Recognizer(training.out)
    assert after.config == before.config | {"margins": [0.05, 0.05], "thumbnail": [64, 32]}
    crop = np.random.default_rng(0).integers(0, 256, (1, 30, 80, 3), np.uint8)
    assert np.abs(after.logits(crop) - before.logits(crop)).max() > 1e-4
    assert read_weight_file(training.out / "recognizer.safetensors").kind == "recognizer"


def test_networks_of_any_width_keep_the_proportions(tmp_path: Path, synthetic: Path) -> None:
    config = adopt_imported(configuration(tmp_path, imported(tmp_path, "CTC", channels=256), synthetic))
    assert (config.sampling.height, config.sampling.min_width, config.sampling.width_multiple) == (64, 64, 64)


def test_other_configurations_stay_as_they_are(tmp_path: Path, synthetic: Path) -> None:
    config = configuration(tmp_path, imported(tmp_path, "CTC"), synthetic)
    fresh = replace(config, init="")
    assert adopt_imported(fresh) is fresh
    locator = replace(config, recognizer=None)
    assert adopt_imported(locator) is locator
    with pytest.raises(FileNotFoundError, match="nothing: no such weight file"):
        adopt_imported(replace(config, init=str(tmp_path / "nothing")))


def test_the_loss_of_letters_counts_the_end_and_no_padding() -> None:
    words = [[2, 3], [4]]
    assert padded(words, 1).tolist() == [[2, 3], [4, 1]]
    logits = torch.zeros(2, 3, 5)
    for word, targets in enumerate(([2, 3, 1], [4, 1])):
        for step, target in enumerate(targets):
            logits[word, step, target] = 50.0
    logits[1, 2, 0] = 1000.0
    assert float(letter_loss(logits, words, end=1)) == pytest.approx(0, abs=1e-5)
    logits[1, 1] = 0
    assert float(letter_loss(logits, words, end=1)) == pytest.approx(math.log(5) / 5, abs=1e-5)
