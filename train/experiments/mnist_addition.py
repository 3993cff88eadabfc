"""The sum of two digits, each in a channel of its own and distorted on its own, from the sum alone as the label.

    python -m train.experiments mnist-addition --mnist DIR --out DIR

One transformer moves both channels alike and can straighten one digit; two in parallel, each seeing both channels and
sampling both, can each take care of one. The classifier is fully connected, so that it depends on them, and all
networks have the same number of parameters.

Source: Jaderberg et al., Spatial Transformer Networks, NIPS 2015, appendix, MNIST addition.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rectify.families import Affine
from rectify.transformer import Parallel, Transformer, concatenated
from train.experiments.distortions import RTS_SIDE, SIDE, rotation_translation_scale
from train.experiments.fit import Batch, Schedule, batches, error_percent, fit_classes, seeded
from train.experiments.glyphs import drawn_digits
from train.experiments.idx import Digits
from train.experiments.networks import convolutional_localization, fcn, matched, parameter_count
from train.experiments.pictures import GREEN, RED, marked, outline, picture, save_png, sheet
from train.experiments.runs import Figures, Report, Run, figures_of, finished
from train.output import number, table

SUMS = 19
KINDS = {"no transformer": 0, "one transformer": 1, "two in parallel": 2}
TEST_SEED = 1_000_001
EASED = 0.4
"""Share of the steps over which the distortions grow to their full strength: a sum says so little of two distorted
digits that nothing is learnt from them at the start."""


@dataclass(frozen=True)
class Settings:
    """Size of the experiment."""

    schedule: Schedule
    seeds: int = 2
    train_digits: int | None = None
    test_digits: int | None = None
    width: int = 128
    """Hidden units of the classifier behind two transformers."""


FULL = Settings(schedule=Schedule(steps=5000, batch=64))
QUICK = replace(FULL, schedule=Schedule(steps=3, batch=16), seeds=1, train_digits=200, test_digits=50, width=16)


class Cell(NamedTuple):
    """One training."""

    kind: str
    seed: int


class Adder(nn.Module):
    """Transformers in parallel on both channels, their outputs concatenated for a classifier."""

    def __init__(self, transformers: int, width: int) -> None:
        super().__init__()
        family = Affine()
        self.transformers = Parallel(
            Transformer(family, convolutional_localization(family, RTS_SIDE, channels=2), (SIDE, SIDE))
            for _ in range(transformers)
        )
        self.classifier = fcn(SIDE, width, 2 * transformers, SUMS) if transformers else fcn(RTS_SIDE, width, 2, SUMS)

    def forward(self, images: Tensor) -> Tensor:
        outputs = self.transformers(images)
        return self.classifier(concatenated(outputs) if outputs else images)


def run(run: Run) -> Report:
    """Trains all cells and sums up."""
    settings = QUICK if run.quick else FULL
    cells = {f"{kind} / {seed}": Cell(kind, seed) for seed in range(settings.seeds) for kind in KINDS}
    figures = finished(run, settings, cells, train_cell)
    errors = {kind: [figures[f"{kind} / {seed}"]["error"] for seed in range(settings.seeds)] for kind in KINDS}
    rows = [
        [kind, str(figures[f"{kind} / 0"]["parameters"]), number(statistics.fmean(errors[kind]), 2)]
        + [number(error, 2) for error in errors[kind]]
        for kind in KINDS
    ]
    header = ["", "parameters", "error %", *(f"seed {seed}" for seed in range(settings.seeds))]
    share = statistics.fmean(errors["two in parallel"]) / max(statistics.fmean(errors["one transformer"]), 1e-9)
    markdown = (
        f"{table(header, rows)}\n\nTwo in parallel have {share:.2f} of the error of one (asked for: at most 0.5)."
    )
    return Report(figures_of(run, settings, figures, share=share), markdown)


def train_cell(run: Run, settings: Settings, cell: Cell) -> Figures:
    """Trains an adder; its error on the test pairs."""
    torch.manual_seed(cell.seed)
    transformers = KINDS[cell.kind]
    target = parameter_count(Adder(2, settings.width))
    network = matched(lambda width: Adder(transformers, width), target)
    digits = run.digits("train", settings.train_digits)
    fit_classes(network, settings.schedule, pairs(digits, settings.schedule, cell.seed))
    images, sums = test_pairs(run.digits("test", settings.test_digits))
    if transformers and cell.seed == 0:
        shown, _ = test_pairs(drawn_digits(10))
        _save_sheet(run.out / f"{cell.kind.replace(' ', '-')}.png", network.transformers, shown)
    return {"error": error_percent(network, images, sums), "parameters": parameter_count(network)}


def pairs(digits: Digits, schedule: Schedule, seed: int) -> Callable[[], Batch]:
    """Draws batches of pairs (N, 2, 42, 42) and their sums, the first ones hardly distorted (see ``EASED``)."""
    first, second = (batches(digits, schedule.batch, seeded(1000 * part + seed)) for part in (1, 2))
    generator = seeded(3000 + seed)
    steps = count()

    def draw() -> Batch:
        strength = min(1.0, next(steps) / (EASED * schedule.steps))
        (a, a_labels), (b, b_labels) = first(), second()
        distorted = [rotation_translation_scale(part, generator, strength) for part in (a, b)]
        return torch.cat(distorted, 1), a_labels + b_labels

    return draw


def test_pairs(digits: Digits) -> Batch:
    """Each digit with another one that is drawn at random."""
    generator = seeded(TEST_SEED)
    other = torch.randperm(len(digits.labels), generator=generator)
    distorted = [rotation_translation_scale(part, generator) for part in (digits.images, digits.images[other])]
    return torch.cat(distorted, 1), digits.labels + digits.labels[other]


@torch.no_grad()
def _save_sheet(path: Path, transformers: Parallel, images: Tensor) -> None:
    """Pairs, one channel red and one green, with what each transformer samples, and their outputs below."""
    outputs = transformers(images)
    colors = (RED, GREEN)
    inputs = [
        marked(
            picture(image),
            [(outline(output.grid[index]), color) for output, color in zip(outputs, colors, strict=False)],
        )
        for index, image in enumerate(images)
    ]
    save_png(path, sheet([inputs, *([picture(image) for image in output.image] for output in outputs)]))
