"""Weights between two networks."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from rectify.network import LocalizationConfig, build_localization
from rectify.weights_io import read_weight_file
from train.interpolate_weights import main
from train.weights import load_tensors, save_network

SHAPE = LocalizationConfig(rows=2, cols=3, thumbnail=(32, 16), channels=(4, 6), blocks=(0, 1))


def saved(
    folder: Path, kind: str, seed: int, shape: LocalizationConfig = SHAPE, **described: object
) -> torch.nn.Module:
    torch.manual_seed(seed)
    network = build_localization(shape)
    folder.mkdir(exist_ok=True)
    description = {"format": 1, "kind": kind, "rows": shape.rows, **described}
    save_network(folder / f"{kind}.safetensors", network, description, torch.float32)
    return network


@pytest.mark.parametrize("mixing", [0.0, 0.25, 1.0])
def test_each_weight_lies_between_both(tmp_path: Path, mixing: float) -> None:
    start, run = (saved(tmp_path / name, "rectifier", seed).state_dict() for seed, name in enumerate(("a", "b")))
    assert main([str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "c"), "--mixing", str(mixing)]) == 0
    file = read_weight_file(tmp_path / "c" / "rectifier.safetensors")
    for name, value in load_tensors(file).items():
        expected = start[name] + mixing * (run[name] - start[name])
        torch.testing.assert_close(value, expected if value.is_floating_point() else run[name])


def test_networks_that_one_side_lacks_are_the_others(tmp_path: Path) -> None:
    first = saved(tmp_path / "a", "rectifier", 0).state_dict()
    second = saved(tmp_path / "b", "refiner", 1).state_dict()
    assert main([str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "c")]) == 0
    for kind, expected in (("rectifier", first), ("refiner", second)):
        found = load_tensors(read_weight_file(tmp_path / "c" / f"{kind}.safetensors"))
        assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(("mixing", "temperature"), [(0.0, 0.5), (0.5, None), (1.0, 0.7)])
def test_confidences_are_calibrated_for_either_end_alone(
    tmp_path: Path, mixing: float, temperature: float | None
) -> None:
    for seed, (name, own) in enumerate((("a", 0.5), ("b", 0.7))):
        saved(tmp_path / name, "rectifier", seed, confidence_temperature=own)
    assert main([str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "c"), "--mixing", str(mixing)]) == 0
    found = read_weight_file(tmp_path / "c" / "rectifier.safetensors").config
    assert found.get("confidence_temperature") == temperature


def test_networks_of_one_shape_that_are_described_otherwise_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, charset in (("a", "abc"), ("b", "cba")):
        saved(tmp_path / name, "rectifier", 0, charset=charset)
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path / name) for name in "abc"])
    assert "has another charset" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_mistakes_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(tmp_path / "a", "rectifier", 0)
    saved(tmp_path / "b", "rectifier", 0, LocalizationConfig(rows=2, cols=3, channels=(4, 8), blocks=(0, 1)))
    a, b, c = (str(tmp_path / name) for name in "abc")
    for arguments, message in (
        ([a, b, c], "tensors of another shape"),
        ([a, a, b], "exists"),
        ([a, a, c, "--mixing", "2"], "from 0 to 1, got 2"),
        ([c, a, c], "c"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
        assert message in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
