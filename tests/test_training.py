from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors import SafetensorError

from data.loader import Source
from recognizer.attention_network import AttentionConfig
from recognizer.network import RecognizerConfig
from rectify.network import LocalizationConfig
from rectify.weights_io import find_weights, read_weight_file
from train import checkpoint
from train.calibrate import store
from train.config import Config, Losses, Sampling, load_config
from train.loop import Training
from train.train_command import CONFIGS, main
from train.validation import Validation
from train.weights import find_safetensors, write_tensors

SMALL = LocalizationConfig(rows=3, cols=3, channels=(8, 8, 8, 8), blocks=(), hidden=16)
HEAD = AttentionConfig(units=32, embedding=16, steps=16, dropout=0.0)
READER = RecognizerConfig(stem=8, channels=(16, 24, 32), blocks=(0, 0, 0), hidden=32, dropout=0.1)


def configuration(out: Path, data: Path, **changes: object) -> Config:
    config = Config(
        steps=6,
        out=str(out),
        sources={"words": Source((str(data),))},
        validation={"words": Source((str(data),))},
        batch_size=8,
        groups=(0.5, 0.5),
        workers=0,
        threads=1,
        localization=SMALL,
        recognizer=READER,
        attention=HEAD,
        evaluate_every=100,
        warmup_steps=1,
    )
    return replace(config, **changes)  # type: ignore[arg-type]


def state(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read(folder / checkpoint.FILE)[0]


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, synthetic: Path) -> None:
    whole = Training(configuration(tmp_path / "whole", synthetic))
    whole.run()
    Training(configuration(tmp_path / "parts", synthetic)).run(until=3)
    second = Training(configuration(tmp_path / "parts", synthetic))
    second.resume()
    assert second.step == 3
    second.run()
    expected, resumed = state(tmp_path / "whole"), state(tmp_path / "parts")
    assert expected.keys() == resumed.keys()
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)


def test_training_changes_every_part_and_its_average(tmp_path: Path, synthetic: Path) -> None:
    training = Training(configuration(tmp_path / "run", synthetic))
    before = {name: value.clone() for name, value in training.average.state_dict().items()}
    training.run()
    changed = {name for name, value in training.average.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in changed} == {"localization", "recognition", "attention"}
    assert all(value.isfinite().all() for value in training.average.state_dict().values())


def test_eight_words_are_learnt_by_heart(tmp_path: Path, fonts: Path, words_file: Path) -> None:
    from data.synth_command import main as synth

    data = tmp_path / "eight"
    assert (
        synth([str(data), "--count", "8", "--fonts", str(fonts), "--words", str(words_file), "--processes", "1"]) == 0
    )
    config = configuration(
        tmp_path / "run",
        data,
        groups=(1.0,),
        steps=250,
        # One width for all: eight words are too few for widths that each word sees alone.
        sampling=Sampling(min_width=128, max_width=128),
        learning_rate=3e-3,
        recognizer=replace(READER, hidden=64, dropout=0.0),
        attention=replace(HEAD, units=64),
        losses=Losses(alignment_share=0.3),
        ema=0.9,
        evaluate_every=250,
        weight_decay=0.0,
        width_jitter=0.0,
    )
    training = Training(config)
    training.run()
    table = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    figures = dict(line.split(",")[1:] for line in table if line.startswith("250,words/"))
    assert float(figures["words/word_accuracy"]) == 100.0
    assert float(figures["words/attention_accuracy"]) == 100.0
    assert (tmp_path / "run" / "rectified-000250.jpg").stat().st_size > 1000


def test_geometry_alone_lowers_the_end_point_error(tmp_path: Path, synthetic: Path) -> None:
    config = configuration(
        tmp_path / "run", synthetic, recognizer=None, steps=80, evaluate_every=40, learning_rate=3e-3, batch_size=16
    )
    training = Training(config)
    identity = _end_point_error(training)
    training.run()
    assert _end_point_error(training) < 0.6 * identity


def test_a_refiner_starts_from_the_rectifier_and_lowers_its_error(
    tmp_path: Path, synthetic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings: dict[str, Any] = {"recognizer": None, "learning_rate": 3e-3, "batch_size": 16, "evaluate_every": 100}
    first = Training(configuration(tmp_path / "first", synthetic, steps=40, **settings))
    first.run()
    error = _end_point_error(first)
    config = configuration(
        tmp_path / "second", synthetic, steps=80, refiner=replace(SMALL, rows=7), frozen=("rectifier",), **settings
    )
    second = Training(config)
    second.initialize(str(tmp_path / "first"))
    assert "refiner: starts with the features of the rectifier" in capsys.readouterr().err
    assert second.system.refiner is not None and second.system.refiner.config == SMALL  # of the first one's points
    assert _end_point_error(second) == pytest.approx(error, rel=1e-4)
    second.run()
    assert _end_point_error(second) < 0.9 * error
    assert set(second.system.parts()) == {"rectifier", "refiner"}


def test_deeper_networks_start_where_shallower_ones_ended(
    tmp_path: Path, synthetic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shallow = replace(SMALL, channels=(8, 8), blocks=(0, 1))
    first = Training(configuration(tmp_path / "first", synthetic, steps=3, localization=shallow))
    first.run()
    deep = {"refiner": replace(shallow, blocks=(1, 2)), "recognizer": replace(READER, blocks=(1, 0, 2))}
    second = Training(configuration(tmp_path / "second", synthetic, steps=5, localization=shallow, **deep))
    second.initialize(str(tmp_path / "first"))
    notes = capsys.readouterr().err
    assert "refiner: starts with the features of the rectifier" in notes
    assert "recognizer: carried over; more residual blocks, which start as the identity" in notes
    picture = torch.rand(2, 3, 32, 64) * 255
    with torch.inference_mode():
        expected, found = (t.average.recognition.eval()(picture) for t in (first, second))  # type: ignore[union-attr]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert _end_point_error(second) == pytest.approx(_end_point_error(first), rel=1e-4)
    second.run()


def _end_point_error(training: Training) -> float:
    from train.validation import Validation

    training.out.mkdir(parents=True, exist_ok=True)
    return Validation(training.config).evaluate(training.average, training.out, 0)["words/end_point_error"]


def test_without_rectification_the_crop_is_read_as_it_is(tmp_path: Path, synthetic: Path) -> None:
    training = Training(configuration(tmp_path / "run", synthetic, rectify=False, steps=2))
    training.run()
    assert set(training.system.parts()) == {"recognizer", "attention"}
    assert not (tmp_path / "run" / "rectifier.safetensors").exists()


def test_an_exported_run_starts_another(tmp_path: Path, synthetic: Path) -> None:
    Training(configuration(tmp_path / "first", synthetic, steps=2)).run()
    second = Training(configuration(tmp_path / "second", synthetic))
    second.initialize(str(tmp_path / "first"))
    first = state(tmp_path / "first")
    for name, value in second.system.state_dict().items():
        assert torch.equal(value, first[f"average.{name}"])


def test_a_run_keeps_the_calibration_of_the_weights_it_starts_from(tmp_path: Path, synthetic: Path) -> None:
    Training(configuration(tmp_path / "first", synthetic, steps=1)).run()
    store(read_weight_file(tmp_path / "first" / "recognizer.safetensors"), 0.4)
    second = Training(configuration(tmp_path / "second", synthetic, steps=2))
    second.initialize(str(tmp_path / "first"))
    second.run(until=1)
    resumed = Training(configuration(tmp_path / "second", synthetic, steps=2))
    resumed.resume()
    resumed.run()
    described = read_weight_file(tmp_path / "second" / "recognizer.safetensors").config
    assert described["confidence_temperature"] == 0.4
    assert "confidence_temperature" not in read_weight_file(tmp_path / "second" / "attention.safetensors").config


def test_weights_of_another_shape_are_refused(tmp_path: Path, synthetic: Path) -> None:
    Training(configuration(tmp_path / "first", synthetic, steps=1)).run()
    other = Training(configuration(tmp_path / "second", synthetic, recognizer=replace(READER, hidden=16)))
    with pytest.raises(ValueError, match="does not fit"):
        other.initialize(str(tmp_path / "first"))


def test_an_existing_run_is_not_overwritten(
    tmp_path: Path, synthetic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Training(configuration(tmp_path / "run", synthetic, steps=1)).run()
    arguments = [f"sources.synthetic.paths=[{synthetic}]", f"validation.unseen.paths=[{synthetic}]"]
    assert main(["geometry", f"out={tmp_path / 'run'}", *arguments]) == 2
    assert "--resume" in capsys.readouterr().err


def test_a_folder_of_weights_is_not_trained_into(
    tmp_path: Path, synthetic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Training(configuration(tmp_path / "run", synthetic, steps=1)).run()
    (tmp_path / "run" / checkpoint.FILE).unlink()
    assert main(["geometry", f"out={tmp_path / 'run'}", f"sources.synthetic.paths=[{synthetic}]"]) == 2
    assert "holds weights that are of no run" in capsys.readouterr().err


def test_a_run_may_go_on_to_another_end(tmp_path: Path, synthetic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    Training(configuration(run, synthetic, steps=9)).run(until=1)
    assert main(["--resume", str(run), "steps=2", "learning_rate=1e-4"]) == 0
    assert checkpoint.read(run / checkpoint.FILE)[1]["step"] == 2
    assert load_config(run / "config.yaml").learning_rate == 1e-4
    assert main(["--resume", str(run), "steps=3", "recognizer.hidden=16"]) == 2
    assert "its state is of a run with another recognizer" in capsys.readouterr().err
    for wrong in ("light", "out=elsewhere", "init=shipped"):
        assert main(["--resume", str(run), "steps=3", wrong]) == 2
        assert f"remove {wrong!r}" in capsys.readouterr().err
    for setting, message in (
        ("steps=1", "its state is of step 2, after the last one of steps=1"),
        ("carried_rate=0.1", "another carried_rate"),
        ("sampling.height=48", "another sampling.height"),
    ):
        assert main(["--resume", str(run), "steps=3", setting]) == 2
        assert message in capsys.readouterr().err
    assert load_config(run / "config.yaml").steps == 2  # what was refused has left no trace
    assert main(["--resume", str(run)]) == 0
    assert "all 2 steps are taken" in capsys.readouterr().err
    assert checkpoint.read(run / checkpoint.FILE)[1]["step"] == 2


def test_settings_that_end_a_run_do_not_replace_its_own(tmp_path: Path, synthetic: Path) -> None:
    Training(configuration(tmp_path / "run", synthetic)).run(until=2)
    before = (tmp_path / "run" / "config.yaml").read_bytes()
    training = Training(configuration(tmp_path / "run", synthetic, losses=Losses(ctc=float("nan"))))
    training.resume()
    with pytest.raises(ValueError, match="no longer a number"):
        training.run()
    assert (tmp_path / "run" / "config.yaml").read_bytes() == before


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_state(tmp_path: Path, synthetic: Path) -> None:
    Training(configuration(tmp_path / "run", synthetic)).run(until=2)
    training = Training(configuration(tmp_path / "run", synthetic, losses=Losses(ctc=float("nan"))))
    training.resume()
    with pytest.raises(ValueError, match=r"no longer a number after step 2: lower learning_rate"):
        training.run()
    assert checkpoint.read(tmp_path / "run" / checkpoint.FILE)[1]["step"] == 2


def test_a_run_of_other_networks_is_not_gone_on_with(tmp_path: Path, synthetic: Path) -> None:
    Training(configuration(tmp_path / "run", synthetic)).run(until=1)
    with pytest.raises(ValueError, match=r"another recognizer, frozen; .* init="):
        Training(
            configuration(tmp_path / "run", synthetic, recognizer=replace(READER, hidden=16), frozen=("attention",))
        ).resume()
    state = tmp_path / "run" / checkpoint.FILE
    tensors, notes = checkpoint.read(state)
    for key in ("frozen", "imported"):  # as settings that came later
        del notes["config"][key]
    write_tensors(state, tensors, {"rectify-ocr": json.dumps(notes)})
    slower = Training(configuration(tmp_path / "run", synthetic, learning_rate=1e-5, steps=7))
    slower.resume()
    assert slower.step == 1


def test_figures_after_the_last_state_go_when_a_run_goes_on(tmp_path: Path, synthetic: Path) -> None:
    Training(configuration(tmp_path / "run", synthetic, evaluate_every=1)).run(until=2)
    table = tmp_path / "run" / "metrics.csv"
    kept = table.read_text()
    kept += '2,"a set, named",1\n'
    table.write_text(kept + "4,ctc,1.5\n5,ctc,")  # killed while it wrote, after the state of step 2
    training = Training(configuration(tmp_path / "run", synthetic, evaluate_every=1))
    training.resume()
    training.run(until=3)
    steps = [int(line.split(",")[0]) for line in table.read_text().splitlines()[1:]]
    assert table.read_text().startswith(kept) and set(steps) == {1, 2, 3} and steps == sorted(steps)


def test_weights_that_cannot_be_written_leave_the_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"a": torch.zeros(2)}, {})
    before = path.read_bytes()

    def full(tensors: Any, partial: Path, metadata: Any) -> None:
        partial.write_bytes(b"half")
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("train.weights.save_file", full)
    with pytest.raises(OSError, match=r"a\.safetensors: cannot be written: No space left"):
        write_tensors(path, {"a": torch.ones(2)}, {})
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def test_of_two_weight_files_of_a_kind_training_takes_the_one_that_is_read(tmp_path: Path, synthetic: Path) -> None:
    Training(configuration(tmp_path / "run", synthetic, steps=1)).run()
    shutil.copy(tmp_path / "run/rectifier.safetensors", tmp_path / "run/rectifier-old.safetensors")
    assert find_safetensors(tmp_path / "run")["rectifier"].path == find_weights(tmp_path / "run")["rectifier"].path


def test_a_run_that_never_saved_may_start_again(
    tmp_path: Path, synthetic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    small = ["steps=1", "batch_size=2", "workers=0", "threads=1", "localization.channels=[8,8,8,8]"]
    command = ["geometry", f"out={out}", f"sources.synthetic.paths=[{synthetic}]", *small]
    assert main([*command, "validation.unseen.paths=[nowhere]"]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert main(command) == 0
    assert (out / checkpoint.FILE).exists()


@pytest.mark.parametrize("name", ["light", "geometry", "crnn", "rare", "aster"])
def test_shipped_configurations_need_no_words_to_validate_on(name: str, synthetic: Path) -> None:
    config = load_config(CONFIGS / f"{name}.yaml", [f"sources.synthetic.paths=[{synthetic}]"])
    sources = {key: replace(source, paths=(str(synthetic),)) for key, source in config.sources.items()}
    held_out = {key for key, source in sources.items() if source.hold_out}
    assert Validation(replace(config, sources=sources)).sets.keys() == held_out
    without = {key: replace(source, paths=(), share=0.0) for key, source in sources.items() if source.hold_out}
    assert not Validation(replace(config, sources=sources | without)).sets


def test_evaluation_may_wait_for_the_end(tmp_path: Path, synthetic: Path) -> None:
    Training(configuration(tmp_path / "run", synthetic, steps=2, evaluate_every=0)).run()
    assert [path.name for path in (tmp_path / "run").glob("*.jpg")] == ["rectified-000002.jpg"]


def test_ctrl_c_saves_and_the_run_goes_on(tmp_path: Path, synthetic: Path) -> None:
    out = tmp_path / "run"
    settings = [
        f"out={out}",
        f"sources.synthetic.paths=[{synthetic}]",
        f"validation.unseen.paths=[{synthetic}]",
        "workers=0",
        "batch_size=4",
        "threads=1",
        "steps=100000",
        "localization.channels=[8,8,8,8]",
    ]
    command = [sys.executable, "-m", "rectify.cli", "train", "geometry", *settings]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not _has_steps(out / "metrics.csv") and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "--resume" in errors and "Traceback" not in errors
    assert checkpoint.read(out / checkpoint.FILE)[1]["step"] >= 50


def _has_steps(metrics: Path) -> bool:
    return metrics.exists() and len(metrics.read_text().splitlines()) > 1


def test_width_of_a_group_suffices_for_its_longest_word(tmp_path: Path, synthetic: Path) -> None:
    system = Training(configuration(tmp_path / "run", synthetic)).system
    assert system._group_width(np.array([64.0, 80.0, 96.0]), longest=3) == 80
    assert system._group_width(np.array([64.0]), longest=14) == 128
