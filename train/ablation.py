"""What each part of the system is worth: trainings of equal length that differ in one thing.

    python -m train.ablation --synthetic LMDB... --real LMDB... --unseen LMDB --out DIR [--steps N] [--update FILE.md]

SYNTHETIC, REAL and UNSEEN are those of train/configs/light.yaml, whose settings are taken, with the CTC head alone and
four of its residual blocks, which learn to read in less time. All go on from one recogniser, which learned to read
crops as they are for so long that what differs afterwards is not when CTC begins to read. A run that was stopped goes
on where it was when it is called again with the same --out. --update replaces what stands between the lines
``<!-- figures -->`` and ``<!-- /figures -->`` of a file. --quick shows in seconds that everything works; its figures
mean nothing.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from data.reader import LmdbReader
from recognizer.network import RecognizerConfig
from rectify.arguments import positive
from rectify.network import LocalizationConfig
from rectify.rectifier import Rectifier
from train import checkpoint
from train.config import Config, config_from, load_config
from train.experiments.runs import RESULTS, Figures, Run, figures_of, finished
from train.loop import Training
from train.output import number, table, write_json, write_text
from train.quality import measure
from train.tables import replaced
from train.train_command import CONFIGS
from train.validation import Validation
from train.weights import SUFFIX

STEPS = 600
START_STEPS = 2000
HOLD_OUT = 8
"""Every so many photographed words are kept from training, to compare on."""
EVALUATED = 2000
"""At most so many words of each set are read in the end."""


@dataclass(frozen=True)
class Settings:
    """What all trainings have in common."""

    geometry: Config
    """Of the localization network alone, before."""
    start: Config
    """Of the recogniser without a transformer, before."""
    reading: Config
    """Of both networks; its geometry loss is what the cells without it leave out."""
    evaluated: int = EVALUATED


@dataclass(frozen=True)
class Cell:
    """One training: how it differs from the whole system."""

    rows: int = 7
    cols: int = 7
    family: str = "tps"
    rectify: bool = True
    geometry: bool = True
    """Known control points and quadrilaterals are learned from; else the words alone teach the transformer."""
    alignment: bool = True
    joint: bool = True
    """The reading losses train the transformer, too; else it stays as known geometry made it."""


CELLS: Mapping[str, Cell] = {
    "no transformer": Cell(rectify=False),
    "affine": Cell(family="affine"),
    **{f"TPS {size} × {size}": Cell(size, size) for size in (3, 4, 5, 6)},
    "TPS 7 × 7, the default": Cell(),
    "TPS 2 × 10": Cell(2, 10),
    "TPS 7 × 7 without geometry loss": Cell(geometry=False),
    "TPS 7 × 7 without alignment loss": Cell(alignment=False),
    "TPS 7 × 7 trained separately": Cell(joint=False),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the ablation; 0 done, 1 failed, 2 wrong usage."""
    options = _parser().parse_args(argv)
    try:
        settings = make_settings(options)
        for path in options.update:
            replaced(path, "")  # a file without the place for it is told now, not after hours
        run = Run("ablation", options.out, quick=options.quick)
        run.out.mkdir(parents=True, exist_ok=True)
        cells = finished(run, settings, CELLS, train_cell)
        markdown = report(settings, cells)
        write_json(run.out / RESULTS, figures_of(run, settings, cells))
        write_text(run.out / "results.md", markdown + "\n")
        for path in options.update:
            write_text(path, replaced(path, markdown))
    except (ValueError, OSError) as error:
        print(f"rectify-ocr: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("rectify-ocr: stopped; the same command goes on where it was", file=sys.stderr)
        return 130
    print(markdown)
    return 0


def make_settings(options: argparse.Namespace) -> Settings:
    """The shipped configurations with the given data and steps."""
    steps = options.steps or (2 if options.quick else STEPS)
    light, alone = (load_config(CONFIGS / f"{name}.yaml") for name in ("light", "geometry"))
    synthetic, real = light.sources["synthetic"], light.sources["real"]
    sources = {
        "synthetic": replace(synthetic, paths=tuple(options.synthetic)),
        "real": replace(real, paths=tuple(options.real), hold_out=HOLD_OUT),
    }
    unseen = {"unseen": replace(synthetic, paths=(options.unseen,))}
    shared: dict[str, Any] = {"validation": unseen, "evaluate_most": 64, "threads": options.threads}
    geometry = replace(alone, sources={"synthetic": sources["synthetic"]}, precision=light.precision, **shared)
    reading = replace(light, sources=sources, recognizer=RecognizerConfig(), attention=None, **shared)
    start = _of_length(replace(reading, rectify=False), options.start_steps or (2 if options.quick else START_STEPS))
    settings = Settings(_of_length(geometry, steps), start, _of_length(reading, steps))
    return _quick(settings) if options.quick else settings


def _of_length(config: Config, steps: int) -> Config:
    return replace(config, steps=steps, evaluate_every=steps, warmup_steps=min(config.warmup_steps, 1 + steps // 10))


def _quick(settings: Settings) -> Settings:
    small: dict[str, Any] = {"batch_size": 8, "workers": 0, "threads": 1, "evaluate_most": 8}
    localization = LocalizationConfig(channels=(8, 8), blocks=(0, 0), hidden=8)
    recognizer = RecognizerConfig(stem=8, channels=(8, 8, 8), blocks=(0, 0, 0), hidden=8)
    small |= {"localization": localization}
    start, reading = (
        replace(config, recognizer=recognizer, groups=(1.0,), **small) for config in (settings.start, settings.reading)
    )
    return Settings(replace(settings.geometry, **small), start, reading, evaluated=8)


def train_cell(run: Run, settings: Settings, cell: Cell) -> Figures:
    """Trains a cell; word accuracies in percent, and the outline's error in pixels at 64 × 192."""
    reading = settings.reading
    shape = replace(reading.localization, rows=cell.rows, cols=cell.cols, family=cell.family)
    name = f"{cell.family}-{cell.rows}x{cell.cols}"
    losses = reading.losses if cell.geometry else replace(reading.losses, geometry=0.0, quad=0.0)
    losses = losses if cell.alignment else replace(losses, alignment=0.0)
    # Cells share these: of one shape the localization network, all that learn alike the recogniser.
    start = replace(settings.start, out=str(run.out / ("start" if cell.alignment else "start-no-alignment")))
    parts = [_trained(replace(start, losses=replace(start.losses, alignment=losses.alignment))).out]
    if cell.rectify and cell.geometry:
        alone = replace(settings.geometry, out=str(run.out / f"{name}-alone"), localization=shape)
        parts.append(_trained(alone).out)
    config = replace(
        reading,
        out=str(run.out / "-".join([name, *_differences(cell)])),
        init=str(_joined(parts, run.out / "init")),
        rectify=cell.rectify,
        localization=shape,
        losses=losses,
    )
    training = _trained(config, frozen=not cell.joint)
    validation = Validation(replace(config, evaluate_most=settings.evaluated))
    accuracy = validation.evaluate(training.average, training.out, training.step)
    figures: Figures = {name: accuracy[f"{name}/word_accuracy"] for name in ("real", "unseen")}
    figures["crops"] = {name: min(settings.evaluated, len(validation.sets[name])) for name in ("real", "unseen")}
    figures["outline"] = None
    if cell.rectify:
        unseen = _First(LmdbReader(reading.validation["unseen"].paths[0]), settings.evaluated)
        figures["outline"] = measure(unseen, Rectifier(training.out)).summary().outline_error
    return figures


def _joined(runs: Sequence[Path], folder: Path) -> Path:
    """The folder, with the weights of these runs and no others."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in (path for run in runs for path in run.glob(f"*{SUFFIX}")):
        shutil.copy(path, folder)
    return folder


class _First:
    """The first samples of a set, as a ``train.crops.Reader``."""

    def __init__(self, reader: LmdbReader, most: int) -> None:
        self.folder, self.label = reader.folder, reader.label
        self.image_bytes, self.geometry, self.ink = reader.image_bytes, reader.geometry, reader.ink
        self._length = min(most, len(reader))

    def __len__(self) -> int:
        return self._length


def _differences(cell: Cell) -> list[str]:
    return [f"no-{key}" for key in ("rectify", "geometry", "alignment", "joint") if not getattr(cell, key)]


def _trained(config: Config, frozen: bool = False) -> Training:
    """A run at its end; one that was stopped goes on.

    Args:
        frozen: leave the weights of the localization network as they are. Its running statistics follow the words, as
            they do where it learns; ``Config.frozen`` would hold them, too.

    Raises:
        ValueError: its folder holds a run of other settings.
        KeyboardInterrupt: it was stopped; its state is saved.
    """
    saved = Path(config.out) / "config.yaml"
    if saved.exists() and config_from(yaml.safe_load(saved.read_text(encoding="utf-8"))) != config:
        raise ValueError(f"{config.out}: holds a run of other settings; remove it or give another --out")
    training = Training(config)
    if frozen and training.system.localization is not None:
        training.system.localization.requires_grad_(False)
    if (training.out / checkpoint.FILE).exists():
        training.resume()
    elif config.init:
        training.initialize(config.init)
    if training.step < config.steps:
        training.run()
    if training.step < config.steps:
        raise KeyboardInterrupt
    return training


def report(settings: Settings, cells: Mapping[str, Figures]) -> str:
    """The table, the command above it and how to read it below."""
    header = ["", "photographed words %", "unseen rendered words %", "outline, pixels"]
    rows = [
        [name, number(one["real"], 1), number(one["unseen"], 1), number(one["outline"], 2)]
        for name, one in cells.items()
    ]
    crops = next(iter(cells.values()))["crops"]
    errors = {key: _standard_error([one[key] for one in cells.values()], crops[key]) for key in crops}
    reading, alone = settings.reading, settings.geometry
    below = (
        f"Word accuracy, 36 characters, on {crops['real']} photographed training words that were held back and on "
        f"{crops['unseen']} rendered ones; standard errors up to {errors['real']:.1f} and {errors['unseen']:.1f} "
        "points, one seed. Outline: mean distance of the text outline from the true one on the rendered words, at "
        "64 × 192. "
        f"Each training took {reading.steps} steps of {reading.batch_size} words, after {settings.start.steps} steps "
        f"of the recogniser alone on crops as they are, and {alone.steps} steps of {alone.batch_size} of the "
        "localization network alone where there is a geometry loss."
    )
    command = "python -m train.ablation --synthetic SYNTHETIC --real REAL --unseen UNSEEN --out OUT"
    steps = f"--steps {reading.steps} --start-steps {settings.start.steps}"
    parts = [f"```bash\n{command} {steps}\n```", table(header, rows), textwrap.fill(below, 120)]
    return "\n\n".join(parts)


def _standard_error(percents: Sequence[float], count: int) -> float:
    """Largest standard error, in points, of accuracies on so many words."""
    return max(math.sqrt(percent * (100 - percent) / count) for percent in percents)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m train.ablation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--synthetic", nargs="+", required=True, metavar="LMDB", help="rendered words to train on")
    add("--real", nargs="+", required=True, metavar="LMDB", help="photographed training words; an eighth is held back")
    add("--unseen", required=True, metavar="LMDB", help="rendered words of fonts and texts that are not trained on")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the runs and results")
    add("--steps", type=positive, metavar="N", help=f"of each training (default {STEPS})")
    add("--start-steps", type=positive, metavar="N", help=f"of the recogniser before (default {START_STEPS})")
    add("--threads", type=positive, metavar="N", default=Config.threads, help="of torch (default %(default)s)")
    add("--quick", action="store_true", help="show in seconds that it works; the figures mean nothing")
    add("--update", nargs="+", type=Path, default=[], metavar="FILE.md", help="files to write the table into")
    return parser


if __name__ == "__main__":
    sys.exit(main())
