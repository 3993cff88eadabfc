"""Other projects' checkpoints: every tensor in its place, and scores as computed from the published description."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from foreign_networks import Reference, Table, aster_grid, aster_tensors, dtrb_tensors, rare_grid
from recognizer.classic.config import ClassicConfig
from recognizer.classic.spline import AsterSpline, RareSpline
from recognizer.pipeline import Pipeline
from recognizer.recognizer import Recognizer
from train.export import export
from train.foreign import EASYOCR_ENGLISH, PRINTABLE94, Choices, ForeignError, import_state, load_state
from train.import_command import main
from train.weights import save_network

STAGES = list(itertools.product(["None", "TPS"], ["VGG", "RCNN", "ResNet"], ["None", "BiLSTM"], ["CTC", "Attn"]))


def pictures(count: int, height: int, width: int, channels: int = 1) -> np.ndarray:
    """Noise (N, height, width, 3) uint8, grey if of one channel."""
    noise = np.random.default_rng(3).integers(0, 256, (count, height, width, channels), np.uint8)
    return np.broadcast_to(noise, (count, height, width, 3)).copy()


def scaled(images: np.ndarray, channels: int = 1) -> torch.Tensor:
    """As the projects scale: (N, channels, H, W) in -1..1."""
    return torch.from_numpy(images[..., :channels]).permute(0, 3, 1, 2).float() / 127.5 - 1


def saved(tmp_path: Path, tensors: dict[str, torch.Tensor], choices: Choices = Choices()) -> Path:
    """A weight file of an imported checkpoint."""
    imported = import_state(tensors, choices)
    path = tmp_path / "imported.safetensors"
    save_network(path, imported.network, imported.description, torch.float32)
    return path


@pytest.mark.parametrize("stages", STAGES, ids="-".join)
def test_all_networks_of_deep_text_recognition_benchmark(tmp_path: Path, stages: tuple[str, str, str, str]) -> None:
    tensors = dtrb_tensors(*stages, classes=37 if stages[3] == "CTC" else 38)
    imported = import_state(tensors)
    assert imported.name == "-".join(stages)
    used = [value for name, value in tensors.items() if "GridGenerator" not in name]
    state = imported.network.state_dict()
    assert sorted(float(v.double().sum()) for v in used) == sorted(float(v.double().sum()) for v in state.values())
    recognizer = Recognizer(saved(tmp_path, tensors))
    images = pictures(2, 32, 100)
    with torch.inference_mode():
        expected = Reference(tensors).dtrb(scaled(images), stages[1]).numpy()
    found = recognizer.logits(images)
    frames = {"VGG": 24, "RCNN": 26, "ResNet": 26}[stages[1]] if stages[3] == "CTC" else 26
    assert found.shape == expected.shape == (2, frames, len(tensors["Prediction.bias"]) if stages[3] == "CTC" else 38)
    assert np.ptp(found) > 0.1
    # The reference solves the spline in double precision; on noise, a hundredth of a pixel already shows.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3 if stages[0] == "TPS" else 1e-4)
    assert all(set(reading.text) <= set("0123456789abcdefghijklmnopqrstuvwxyz") for reading in recognizer.read(images))


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(("head", "classes"), [("CTC", 95), ("Attn", 96)])
def test_case_sensitive_weights_and_the_prefix_of_parallel_training(
    tmp_path: Path, prefix: str, head: str, classes: int
) -> None:
    tensors = dtrb_tensors("None", "VGG", "BiLSTM", head, classes)
    torch.save({prefix + name: value for name, value in tensors.items()}, tmp_path / "model.pth")
    loaded = load_state(tmp_path / "model.pth")
    assert loaded.keys() == tensors.keys()
    assert import_state(loaded).description["charset"] == PRINTABLE94


def test_colour_networks_take_colour(tmp_path: Path) -> None:
    tensors = dtrb_tensors("TPS", "VGG", "None", "CTC", 37, inputs=3)
    images = pictures(2, 32, 100, channels=3)
    with torch.inference_mode():
        expected = Reference(tensors).dtrb(scaled(images, 3), "VGG").numpy()
    np.testing.assert_allclose(Recognizer(saved(tmp_path, tensors)).logits(images), expected, rtol=1e-5, atol=1e-3)


def test_another_width_needs_no_other_weights(tmp_path: Path) -> None:
    tensors = dtrb_tensors("TPS", "ResNet", "BiLSTM", "CTC", 37)
    images = pictures(1, 32, 160)
    with torch.inference_mode():
        expected = Reference(tensors).dtrb(scaled(images), "ResNet").numpy()
    found = Recognizer(saved(tmp_path, tensors, Choices(width=160))).logits(images)
    assert found.shape == (1, 41, 37)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("lstm", "stn"), [(True, True), (False, False)])
def test_aster(tmp_path: Path, lstm: bool, stn: bool) -> None:
    tensors = aster_tensors(lstm=lstm, stn=stn)
    imported = import_state(tensors)
    assert imported.description["charset"] == PRINTABLE94
    assert imported.description["margins"] == (0.05, 0.05)
    used = [value for name, value in tensors.items() if not name.startswith("tps.")]
    assert len(used) == len(imported.network.state_dict())
    height, width = (64, 256) if stn else (32, 100)
    images = pictures(2, height, width, channels=3)
    with torch.inference_mode():
        expected = Reference(tensors).aster(scaled(images, 3), steps=30).numpy()
    found = Recognizer(saved(tmp_path, tensors, Choices(max_length=30))).logits(images)
    assert found.shape == (2, 30, 97)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_easyocr_is_told_by_its_channels(tmp_path: Path) -> None:
    tensors = dtrb_tensors("None", "VGG", "BiLSTM", "CTC", 97, channels=256)
    imported = import_state(tensors)
    assert imported.description["source"] == "easyocr" and imported.description["charset"] == EASYOCR_ENGLISH
    recognizer = Recognizer(saved(tmp_path, tensors))
    crop = pictures(1, 32, 75)[0]
    assert recognizer.preparation is not None and recognizer.preparation(crop).shape == (64, 192, 3)
    readings = recognizer.read([crop, crop[:, :40], crop[:, :, :1]])
    assert len(readings) == 3 and readings[0] == readings[2]
    wide = pictures(2, 64, 256)
    with torch.inference_mode():
        expected = Reference(tensors).dtrb(scaled(wide), "VGG").numpy()
    np.testing.assert_allclose(recognizer.logits(wide), expected, rtol=1e-5, atol=1e-4)


def test_the_grid_of_rare_is_the_published_formula() -> None:
    points = np.random.default_rng(0).normal(0, 0.2, (3, 20, 2)) + rare_identity()
    grid = RareSpline(20, 32, 100).grid(torch.from_numpy(points).float()).numpy()
    np.testing.assert_allclose(grid, rare_grid(points, 32, 100), atol=1e-4)
    identity = RareSpline(20, 32, 100).grid(torch.from_numpy(rare_identity()[None]).float()).numpy()[0]
    np.testing.assert_allclose(identity[0, 0], [1 / 100 - 1, 1 / 32 - 1], atol=1e-4)


def rare_identity() -> np.ndarray:
    x = np.linspace(-1, 1, 10)
    return np.concatenate([np.stack([x, np.full(10, y)], 1) for y in (-1, 1)])


def test_the_grid_of_aster_is_the_published_formula_and_zooms_out() -> None:
    config = ClassicConfig(encoder="aster", head="gru", classes=97, height=32, width=100, transformation="aster")
    points = np.random.default_rng(0).uniform(0, 1, (2, 20, 2))
    grid = AsterSpline(config).grid(torch.from_numpy(points).float()).numpy()
    np.testing.assert_allclose(grid, aster_grid(points, 32, 100), atol=5e-4)
    x = np.linspace(0.01, 0.99, 10)
    start = np.concatenate([np.stack([x, np.full(10, y)], 1) for y in (0.01, 0.99)])
    corner = AsterSpline(config).grid(torch.from_numpy(start[None]).float())[0, 0, 0]
    np.testing.assert_allclose(corner, [-0.0444, -0.0444], atol=1e-3)


@pytest.mark.parametrize(
    "stages",
    [("TPS", "VGG", "BiLSTM", "CTC"), ("None", "RCNN", "None", "CTC"), ("TPS", "ResNet", "None", "Attn")],
    ids="-".join,
)
def test_export_agrees(tmp_path: Path, stages: tuple[str, str, str, str]) -> None:
    tensors = dtrb_tensors(*stages, classes=37 if stages[3] == "CTC" else 38)
    path = saved(tmp_path, tensors)
    differences = export(path, tmp_path / "out")
    assert differences.keys() == {"recognizer"} and differences["recognizer"] <= 1e-4
    crops = [pictures(1, 40, 90)[0], pictures(1, 17, 130)[0]]
    onnx, torch_ = Recognizer(tmp_path / "out"), Recognizer(path)
    np.testing.assert_allclose(onnx.logits(crops), torch_.logits(crops), atol=1e-4)
    assert [r.text for r in onnx.read(crops)] == [r.text for r in torch_.read(crops)]


def test_beam_search_is_for_ctc_only(tmp_path: Path) -> None:
    path = saved(tmp_path, dtrb_tensors("None", "VGG", "None", "Attn", 38))
    with pytest.raises(ValueError, match="have an attention head"):
        Recognizer(path, decoder="beam")
    Recognizer(saved(tmp_path, dtrb_tensors("None", "VGG", "None", "CTC", 37)), decoder="beam")


class Explosive:
    """Executes something when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("exploded"),)  # type: ignore[return-value]


def test_files_that_are_no_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"none\.pth: no such file"):
        load_state(tmp_path / "none.pth")
    for name, content in {"empty.pth": b"", "text.pth": b"nothing", "evil.pth": pickle.dumps(Explosive())}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ForeignError, match=f"{name}: not a checkpoint"):
            load_state(tmp_path / name)
    torch.save({"weights": Explosive()}, tmp_path / "evil2.pth")
    with pytest.raises(ForeignError, match="not a checkpoint"):
        load_state(tmp_path / "evil2.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ForeignError, match="no table of tensors"):
        load_state(tmp_path / "list.pth")
    assert not (tmp_path / "exploded").exists()


def test_checkpoints_around_a_state_are_opened(tmp_path: Path) -> None:
    tensors = aster_tensors(lstm=False, stn=False)
    torch.save({"state_dict": tensors, "iters": 3, "best_res": np.float64(0.9)}, tmp_path / "aster.pth.tar")
    assert load_state(tmp_path / "aster.pth.tar").keys() == tensors.keys()


def test_errors_name_the_tensor() -> None:
    tensors = dtrb_tensors("None", "VGG", "None", "CTC", 37)
    with pytest.raises(ForeignError, match=r"what to do with the tensor surplus\.weight"):
        import_state({**tensors, "surplus.weight": torch.zeros(1)})
    with pytest.raises(ForeignError, match=r"tensor FeatureExtraction\.ConvNet\.3\.bias has the shape \(3,\)"):
        import_state({**tensors, "FeatureExtraction.ConvNet.3.bias": torch.zeros(3)})
    with pytest.raises(ForeignError, match=r"lacks 1 tensors.*encoder\.3\.bias"):
        import_state({name: value for name, value in tensors.items() if name != "FeatureExtraction.ConvNet.3.bias"})
    with pytest.raises(ForeignError, match=r"not a recogniser of deep-text-recognition-benchmark.*x\.weight"):
        import_state({"x.weight": torch.zeros(1)})
    with pytest.raises(ForeignError, match="its 41 classes need 40 characters; name them with --charset"):
        import_state(dtrb_tensors("None", "VGG", "None", "CTC", 41))
    with pytest.raises(ForeignError, match="need 40 characters; 3 are given"):
        import_state(dtrb_tensors("None", "VGG", "None", "CTC", 41), Choices(charset="abc"))


def test_weights_from_before_batches_were_counted() -> None:
    tensors = dtrb_tensors("None", "VGG", "None", "CTC", 37)
    old = {name: value for name, value in tensors.items() if not name.endswith("num_batches_tracked")}
    assert import_state(old).name == "None-VGG-None-CTC"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(dtrb_tensors("TPS", "VGG", "None", "CTC", 5), tmp_path / "model.pth")
    out = tmp_path / "out" / "named-as-asked"
    assert main([str(tmp_path / "model.pth"), str(out), "--charset", "abcd", "--pad"]) == 0
    assert capsys.readouterr().out.startswith(f"{out}\tTPS-VGG-None-CTC\t")
    assert [path.name for path in out.parent.iterdir()] == ["named-as-asked"]
    recognizer = Recognizer(out)
    assert recognizer.charset.characters == "abcd"
    assert recognizer.preparation is not None and recognizer.preparation.pad
    assert recognizer.rectifies and Pipeline(out).lacks_rectifier is None
    assert main([str(tmp_path / "model.pth"), str(out), "--charset", "abcd"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([str(tmp_path / "model.pth"), str(tmp_path / "other")]) == 2
    assert "need 4 characters" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_tables_differ() -> None:
    """The references would not notice swapped tensors if these were equal."""
    table = Table()
    table.add("a", 3, 3)
    table.add("b", 3, 3)
    assert not torch.equal(table.tensors["a"], table.tensors["b"])
