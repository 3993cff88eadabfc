"""The ablation: its cells differ in what they say, resume, and its quick form writes the table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from train import ablation
from train.ablation import CELLS, Cell, main, report, train_cell
from train.experiments.runs import Run
from train.weights import find_safetensors, load_tensors


def arguments(out: Path, data: Path) -> list[str]:
    places = ["--synthetic", str(data), "--real", str(data), "--unseen", str(data)]
    return [*places, "--out", str(out), "--quick"]


def settings(data: Path) -> ablation.Settings:
    return ablation.make_settings(ablation._parser().parse_args(arguments(Path("unused"), data)))


def test_each_cell_differs_from_the_whole_in_one_thing() -> None:
    assert list(CELLS.values()).count(Cell()) == 1
    differing = [
        {key for key in vars(cell) if getattr(cell, key) != getattr(Cell(), key)} - {"cols"}
        for cell in CELLS.values()
        if cell != Cell()
    ]
    assert all(len(keys) == 1 for keys in differing)
    sizes = {(cell.rows, cell.cols) for cell in CELLS.values()}
    assert sizes == {(3, 3), (4, 4), (5, 5), (6, 6), (7, 7), (2, 10)}


def test_the_quick_form_writes_and_prints_the_table(
    tmp_path: Path, synthetic: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n<!-- figures -->\nold\n<!-- /figures -->\nrest\n")
    cells = {name: CELLS[name] for name in ("no transformer", "affine", "TPS 2 × 10")}
    monkeypatch.setattr(ablation, "CELLS", cells)
    assert main([*arguments(tmp_path / "out", synthetic), "--update", str(page)]) == 0
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(found["cells"]) == list(cells)
    assert found["cells"]["no transformer"]["outline"] is None and found["cells"]["affine"]["outline"] > 0
    for name, figures in found["cells"].items():
        (row,) = (line for line in printed.splitlines() if line.startswith(f"| {name} "))
        assert f"{figures['real']:.1f}" in row and f"{figures['unseen']:.1f}" in row
    assert "--steps 2 --start-steps 2\n" in printed
    text = page.read_text()
    assert "old" not in text and text.startswith("# Title\n") and text.endswith("rest\n") and printed.strip() in text

    # What is there already is not trained again; another length is refused.
    monkeypatch.setattr(ablation, "train_cell", None)
    assert main(arguments(tmp_path / "out", synthetic)) == 0
    assert main([*arguments(tmp_path / "out", synthetic), "--steps", "3"]) == 1
    assert "results of another settings" in capsys.readouterr().err


def test_a_stopped_cell_goes_on(tmp_path: Path, synthetic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, chosen = Run("ablation", tmp_path, quick=True), settings(synthetic)
    cell = Cell(rectify=False)
    stopped = ablation.Training.run
    monkeypatch.setattr(ablation.Training, "run", lambda training: stopped(training, until=1))
    with pytest.raises(KeyboardInterrupt):
        train_cell(run, chosen, cell)
    monkeypatch.setattr(ablation.Training, "run", stopped)
    with pytest.raises(ValueError, match="holds a run of other settings"):
        train_cell(run, replace(chosen, start=replace(chosen.start, steps=3)), cell)
    figures = train_cell(run, chosen, cell)
    assert figures["outline"] is None and 0 <= figures["real"] <= 100 and figures["crops"] == {"real": 4, "unseen": 8}
    for folder in ("start", "tps-7x7-no-rectify"):
        steps = {line.split(",")[0] for line in (tmp_path / folder / "metrics.csv").read_text().splitlines()[1:]}
        assert steps == {"2"}


def test_separate_training_leaves_the_rectifier_as_it_was(tmp_path: Path, synthetic: Path) -> None:
    run, chosen = Run("ablation", tmp_path, quick=True), settings(synthetic)
    weights = {}
    for cell in (Cell(joint=False), Cell()):
        train_cell(run, chosen, cell)
    for folder in ("tps-7x7-alone", "tps-7x7-no-joint", "tps-7x7"):
        file = find_safetensors(tmp_path / folder)["rectifier"]
        weights[folder] = {name: value for name, value in load_tensors(file).items() if name.endswith("weight")}
    before, separate, joint = weights.values()
    assert all(torch.equal(before[name], separate[name]) for name in before)
    assert any(not torch.equal(before[name], joint[name]) for name in before)


def test_without_the_geometry_loss_nothing_is_learned_of_geometry(tmp_path: Path, synthetic: Path) -> None:
    chosen = settings(synthetic)
    train_cell(Run("ablation", tmp_path, quick=True), chosen, Cell(geometry=False))
    assert {path.name for path in tmp_path.iterdir()} == {"start", "init", "tps-7x7-no-geometry"}
    rows = (tmp_path / "tps-7x7-no-geometry" / "config.yaml").read_text()
    assert "geometry: 0.0" in rows and "quad: 0.0" in rows


def test_the_table_names_chance(synthetic: Path) -> None:
    figures = {"real": 50.0, "unseen": 80.0, "crops": {"real": 100, "unseen": 400}, "outline": None}
    text = report(settings(synthetic), {"no transformer": figures}).replace("\n", " ")
    assert "standard errors up to 5.0 and 2.0 points" in text and "– |" in text


@pytest.mark.parametrize("steps", ["0", "-1", "many"])
def test_bad_usage(steps: str, tmp_path: Path, synthetic: Path) -> None:
    with pytest.raises(SystemExit) as error:
        main([*arguments(tmp_path, synthetic), "--steps", steps])
    assert error.value.code == 2
