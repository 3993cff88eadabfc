"""Each named recogniser has its published size, learns, exports with agreement and reads through the command."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from data.loader import BatchDataset, View
from data.reader import LmdbReader
from recognizer.attention_network import AttentionConfig
from recognizer.recognizer import Recognizer
from rectify.cli import main
from train.adopt import adopt_imported, describe, with_classic
from train.config import Config, ConfigError, Sampling, load_config
from train.export import export
from train.loop import Training
from train.system import System
from train.train_command import CONFIGS

LOWER36 = "0123456789abcdefghijklmnopqrstuvwxyz"
NAMES = ("crnn", "rare", "aster", "light")
TINY = {
    "light": [
        *("recognizer.stem=8", "recognizer.channels=[8,12,16]", "recognizer.blocks=[0,0,0]", "recognizer.hidden=16"),
        *("precision=float32", "attention.units=8", "attention.embedding=8", "attention.steps=4"),
    ],
    "aster": ["classic.channels=256", "classic.hidden=16", "classic.attention=16", "classic.steps=4"],
}
TINY_CLASSIC = ["classic.channels=32", "classic.hidden=16", "classic.attention=16", "classic.steps=4"]


def configuration(name: str, *settings: str) -> Config:
    return load_config(CONFIGS / f"{name}.yaml", settings)


def tiny(name: str, out: Path, data: Path, *settings: str) -> Config:
    return configuration(
        name,
        *(f"out={out}", f"sources.synthetic.paths=[{data}]", "sources.real.share=0"),
        *("batch_size=8", "groups=[1]", "workers=0", "threads=1", "warmup_steps=1", "learning_rate=5e-3"),
        *("localization.channels=[8,8,8,8]", "localization.hidden=8", "localization.blocks=[]"),
        *TINY.get(name, TINY_CLASSIC),
        *settings,
    )


def millions(config: Config) -> dict[str, float]:
    parts = System(config).parts()
    return {part: sum(p.numel() for p in network.parameters()) / 1e6 for part, network in parts.items()}


def test_crnn_has_the_published_size_and_no_rectifier() -> None:
    found = millions(configuration("crnn", f"recognizer.charset={LOWER36}"))
    assert found == {"recognizer": pytest.approx(8.33, abs=0.01)}


def test_aster_is_near_the_published_size_and_has_two_rows_of_points() -> None:
    config = configuration("aster")
    assert millions(config) == {"rectifier": pytest.approx(0.49, abs=0.01), "recognizer": pytest.approx(19.1, abs=0.1)}
    assert (config.localization.rows, config.localization.cols) == (2, 10)


def test_rare_is_the_encoder_of_crnn_with_a_small_decoder() -> None:
    rare, crnn = configuration("rare"), configuration("crnn")
    recognizer = millions(rare)["recognizer"]
    assert 0 < recognizer - millions(crnn)["recognizer"] < 1.1
    assert (rare.localization.rows, rare.localization.cols) == (2, 10)


def test_light_is_light() -> None:
    assert sum(millions(configuration("light")).values()) <= 8.0


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_exports_and_reads(
    name: str, tmp_path: Path, synthetic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny(name, tmp_path / "run", synthetic)
    training = Training(config)
    batch = BatchDataset(config.sources, 8, View.of(config.localization, config.recognizer), 1)[0]
    losses = [training.take_step(batch) for _ in range(10)]
    sums = [sum(step.values()) for step in losses]
    assert all(map(math.isfinite, sums)) and sums[-1] < sums[0]
    assert losses[-1]["ctc"] < losses[0]["ctc"]
    training.save()

    # The localization network is exported elsewhere, see test_export.py.
    differences = export(tmp_path / "run" / "recognizer.safetensors", tmp_path / "weights")
    assert differences.keys() == {"recognizer"} and differences["recognizer"] <= 1e-4

    pictures = tmp_path / "words"
    pictures.mkdir()
    reader = LmdbReader(synthetic)
    for index in range(3):
        (pictures / f"{index}.jpg").write_bytes(reader.image_bytes(index))
    for weights, rectified in ((tmp_path / "run", config.rectify), (tmp_path / "weights", False)):
        assert main([str(pictures), "--json", "--weights", str(weights)]) == 0
        read = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [Path(one["path"]).name for one in read] == ["0.jpg", "1.jpg", "2.jpg"]
        assert all(0 <= one["confidence"] <= 1 for one in read)
        points = config.localization.rows * config.localization.cols if rectified else 4
        assert {(one["rectified"], len(one["control_points"])) for one in read} == {(rectified, points)}


def test_crnn_reads_any_width_and_rare_one(tmp_path: Path, synthetic: Path) -> None:
    widths = {}
    for name in ("crnn", "rare"):
        training = Training(tiny(name, tmp_path / name, synthetic))
        training.save()
        recognizer = Recognizer(tmp_path / name)
        assert recognizer.preparation is None and recognizer.height == 32
        widths[name] = [recognizer.width(length, 20.0) for length in (10.0, 200.0)]
    assert widths["crnn"][0] == 100 and widths["crnn"][1] > 200
    assert widths["rare"] == [100, 100]


def test_a_classic_attention_head_is_read_greedily(tmp_path: Path, synthetic: Path) -> None:
    """The language network would take its scores for those of CTC."""
    training = Training(tiny("rare", tmp_path, synthetic))
    training.save()
    picture = np.random.default_rng(0).integers(0, 256, (1, 32, 100, 3), dtype=np.uint8)
    assert Recognizer(tmp_path).read(picture) == Recognizer(tmp_path, decoder="greedy").read(picture)


def test_a_charset_without_capitals_reads_them_as_small(tmp_path: Path, synthetic: Path) -> None:
    config = tiny("rare", tmp_path / "run", synthetic, f"recognizer.charset={LOWER36}")
    labels = [LmdbReader(synthetic).label(index) for index in range(32)]
    assert any(label != label.lower() for label in labels)
    dataset = BatchDataset(config.sources, 32, View.of(config.localization, config.recognizer), 1)
    expected = {"".join(c for c in label.lower() if c in LOWER36) for label in labels}
    assert set(dataset[0].labels) == expected
    system = System(config)
    assert system.config.imported["classes"] == 37 and system.config.imported["letters"] == {"first": 0, "end": 36}


def test_letters_and_ends_are_classes_of_their_own() -> None:
    for head, special in (("ctc", 1), ("lstm", 2), ("gru", 1)):
        config = with_classic(configuration("crnn", f"classic.head={head}", "recognizer.charset=abc"))
        classes, letters = config.imported["classes"], config.imported["letters"]
        assert classes == 3 + special
        if letters:
            used = {letters["end"], *range(letters["first"], letters["first"] + 3)}
            assert len(used) == 4 and max(used) < classes
        # Frames are aligned to letters where there are frames.
        assert config.losses.alignment == (1.0 if head == "ctc" else 0.0)


def test_a_run_of_another_configuration_goes_on_with_its_network(tmp_path: Path, synthetic: Path) -> None:
    Training(tiny("rare", tmp_path / "first", synthetic)).save()
    config = tiny("crnn", tmp_path / "second", synthetic, f"init={tmp_path / 'first'}", "localization.rows=2")
    adopted = adopt_imported(replace(config, attention=AttentionConfig()))
    assert adopted.attention is None and adopted.imported["head"] == "gru" and adopted.sampling.max_width == 100
    assert not adopted.rectify and adopted.losses.alignment == 0
    training = Training(adopted)
    training.initialize(config.init)
    training.save()
    before, after = Recognizer(tmp_path / "first"), Recognizer(tmp_path / "second")
    crop = np.random.default_rng(0).integers(0, 256, (1, 32, 100, 3), np.uint8)
    np.testing.assert_array_equal(after.logits(crop), before.logits(crop))


def test_imported_weights_and_the_light_network_stay_what_they_are() -> None:
    light = configuration("light")
    assert with_classic(light) is light
    locator = configuration("crnn", "recognizer=null")
    assert with_classic(locator) is locator


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("classic.encoder=vg", "classic.encoder: 'vg' is none of vgg, rcnn, resnet, aster"),
        ("classic={encoder: aster, channels: 128}", "classic.channels: the encoder aster needs 256 or more, got 128"),
        ("classic.head=lstn", "classic.head: 'lstn' is none of ctc, lstm, gru"),
    ],
)
def test_unknown_networks_are_named(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        System(configuration("crnn", setting))


def test_unknown_settings_are_named() -> None:
    with pytest.raises(ConfigError, match=r"unknown key classic\.encodr; did you mean encoder"):
        configuration("crnn", "classic.encodr=vgg")


def test_the_description_holds_no_rectifier_of_other_projects() -> None:
    config = configuration("crnn")
    assert config.classic is not None
    description = describe(config.classic, "abc", Sampling())
    assert "transformation" not in description and "preparation" not in description
    assert description["height"] == 32 and description["stretch"] == 1.2
