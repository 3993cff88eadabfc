from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from train.config import ConfigError, as_tree, config_from, load_config

MINIMAL = "steps: 10\nout: runs/x\nsources: {a: {paths: [p]}}\n"


def written(tmp_path: Path, text: str = MINIMAL) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return path


def test_defaults_and_overrides(tmp_path: Path) -> None:
    config = load_config(
        written(tmp_path), ["steps=20", "sources.a.paths=[x, y]", "learning_rate=5e-4", "recognizer=null"]
    )
    assert config.steps == 20 and config.sources["a"].paths == ("x", "y")
    assert config.learning_rate == 5e-4 and config.recognizer is None
    assert config.localization.thumbnail == (96, 32)


def test_round_trip(tmp_path: Path) -> None:
    config = load_config(written(tmp_path), ["localization.cols=10", "localization.rows=2"])
    assert config_from(as_tree(config)) == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("learning_rte=1", "did you mean learning_rate"),
        ("losses.geometri=1", "unknown key losses.geometri; did you mean geometry"),
        ("steps=many", "steps: expected int, got 'many'"),
        ("rectify=1", "rectify: expected bool"),
        ("steps", "'steps' is not KEY=VALUE"),
        ("steps.deep=1", "steps holds a value"),
        ("sources=7", "sources: expected names"),
        ("recognizer=none", "recognizer: expected settings, got 'none'"),
        ("recognizer.charset=01234567", r"charset: expected str, got 342391; put it in quotes"),
        ("seed=-1", "seed: expected 0 or more, got -1"),
        ("batch_size=0", "batch_size: expected 1 or more, got 0"),
        ("groups=[]", "groups: expected shares above 0"),
        ("ema=2", "ema: expected 0 or more and below 1"),
        ("learning_rate=0", "learning_rate: expected more than 0"),
        ("warmup_steps=-1", "warmup_steps: expected 0 or more, got -1"),
        ("evaluate_most=0", "evaluate_most: expected 1 or more, got 0"),
        ("checkpoint_minutes=-1", "checkpoint_minutes: expected 0 or more"),
        ("sources.a.share=-1", "sources.a.share: expected 0 or more, got -1"),
        ("sources.a.share=.inf", "sources.a.share: expected a finite number, got inf"),
        ("losses.ctc=.nan", "losses.ctc: expected a finite number, got nan"),
        ("groups=[0.5, .inf]", "groups.1: expected a finite number, got inf"),
        ("gradient_norm=0", "gradient_norm: expected more than 0, got 0"),
        ("carried_rate=-1", "carried_rate: expected 0 or more, got -1"),
        ("recognizer.charset=[a]", r"charset: expected str, got \['a'\]$"),
        ("sources.a.hold_out=1", "sources.a.hold_out: expected 0 or from 2 on, or 1 with a share of 0"),
        ("sources.a.space=[0.1]", "sources.a.space: expected two shares of 0 or more"),
        ("sources.a.space=[0.1, -0.1]", "sources.a.space: expected two shares of 0 or more"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(written(tmp_path), [override])


def test_missing_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing: steps"):
        load_config(written(tmp_path, "out: x\nsources: {}\n"))


def test_shipped_configurations_load() -> None:
    import train.train_command as command

    paths = sorted(command.CONFIGS.glob("*.yaml"))
    assert {path.stem for path in paths} >= {"geometry", "light"}
    for path in paths:
        assert load_config(path).steps > 0


def test_a_charset_can_be_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "charset.txt"
    file.write_text("0123\nąę #:'\n", encoding="utf-8")
    config = load_config(written(tmp_path), [f"recognizer.charset.file={file}"])
    assert config.recognizer is not None and config.recognizer.charset == "0123ąę#:'"
    file.write_text("abca")
    with pytest.raises(ValueError, match=r"charset\.txt: a charset needs each character once, repeated: 'a'"):
        load_config(written(tmp_path), [f"recognizer.charset.file={file}"])
    with pytest.raises(ConfigError, match=r"recognizer\.charset: expected str"):
        load_config(written(tmp_path), [f"recognizer.charset.fiel={file}"])
