"""Classifiers with and without spatial transformers on distorted digits, as in section 4.1 of the paper.

    python -m train.experiments distorted-mnist --mnist DIR --out DIR

Every cell is a kind of network on a kind of distortion from a seed. Within the convolutional and within the fully
connected networks all have the same number of parameters: the classifier of a network with a transformer is narrower.

Source: Jaderberg et al., Spatial Transformer Networks, NIPS 2015, table 1 (left).
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rectify.families import Affine, Family, Projective, ThinPlateSpline
from rectify.transformer import Transformer
from train.experiments.distortions import DISTORTIONS, SIDE, SIDES
from train.experiments.fit import Schedule, batches, error_percent, fit_classes, seeded
from train.experiments.glyphs import drawn_digits
from train.experiments.networks import (
    Straightened,
    cnn,
    connected_localization,
    convolutional_localization,
    fcn,
    matched,
    parameter_count,
)
from train.experiments.pictures import RED, marked, outline, picture, save_png, sheet
from train.experiments.runs import Figures, Report, Run, figures_of, finished
from train.output import number, table

FAMILIES: dict[str, Family] = {"affine": Affine(), "projective": Projective(), "TPS": ThinPlateSpline(4, 4)}
KINDS = ["FCN", "CNN", *(f"ST-{base} {family}" for base in ("FCN", "CNN") for family in FAMILIES)]
BARS = {"R": 0.65, "RTS": 0.65, "P": 0.65, "E": 0.85}
"""What the best transformer's error is to be at most, as a share of the plain CNN's."""
PAPER = {
    "FCN": (2.1, 5.2, 3.1, 3.2),
    "CNN": (1.2, 0.8, 1.5, 1.4),
    "ST-FCN affine": (1.2, 0.8, 1.5, 2.7),
    "ST-FCN projective": (1.3, 0.9, 1.4, 2.6),
    "ST-FCN TPS": (1.1, 0.8, 1.4, 2.4),
    "ST-CNN affine": (0.7, 0.5, 0.8, 1.2),
    "ST-CNN projective": (0.8, 0.6, 0.8, 1.3),
    "ST-CNN TPS": (0.7, 0.5, 0.8, 1.1),
}
"""Errors in percent of the paper's table 1 for R, RTS, P and E."""
TEST_SEED = 1_000_000
"""The test digits are distorted once, the same for all."""


@dataclass(frozen=True)
class Settings:
    """Size of the experiment."""

    schedule: Schedule
    seeds: int = 3
    train_digits: int | None = None
    test_digits: int | None = None
    cnn_first: int = 16
    """Filters of the first convolution; the second has more by far of the parameters, the first takes half the time."""
    cnn_width: int = 32
    """Filters of the second convolution behind a transformer; the plain CNN's follow from its number of parameters."""
    fcn_width: int = 128


FULL = Settings(schedule=Schedule(steps=2400, batch=64))
QUICK = replace(
    FULL,
    schedule=Schedule(steps=2, batch=16),
    seeds=1,
    train_digits=200,
    test_digits=50,
    cnn_first=4,
    cnn_width=4,
    fcn_width=16,
)


class Cell(NamedTuple):
    """One training."""

    distortion: str
    kind: str
    seed: int


def run(run: Run) -> Report:
    """Trains all cells and sums up."""
    settings = QUICK if run.quick else FULL
    cells = {
        f"{distortion} / {kind} / {seed}": Cell(distortion, kind, seed)
        for seed in range(settings.seeds)  # one seed of everything before the next, so that a part shows all
        for distortion in DISTORTIONS
        for kind in KINDS
    }
    figures = finished(run, settings, cells, train_cell)
    errors = {
        (distortion, kind): [figures[f"{distortion} / {kind} / {seed}"]["error"] for seed in range(settings.seeds)]
        for distortion in DISTORTIONS
        for kind in KINDS
    }
    ratios = {distortion: _ratio(errors, distortion) for distortion in DISTORTIONS}
    count = len(run.digits("train", settings.train_digits).labels)
    return Report(figures_of(run, settings, figures, ratios=ratios), _markdown(settings, errors, ratios, count))


def train_cell(run: Run, settings: Settings, cell: Cell) -> Figures:
    """Trains a network on digits that are distorted anew for each batch; its error on the test digits."""
    torch.manual_seed(cell.seed)
    network = build(settings, cell.kind, SIDES[cell.distortion])
    distort = DISTORTIONS[cell.distortion]
    draw = batches(run.digits("train", settings.train_digits), settings.schedule.batch, seeded(cell.seed))
    generator = seeded(1000 + cell.seed)

    def distorted() -> tuple[Tensor, Tensor]:
        images, labels = draw()
        return distort(images, generator), labels

    fit_classes(network, settings.schedule, distorted)
    digits = run.digits("test", settings.test_digits)
    images = distort(digits.images, seeded(TEST_SEED))
    if isinstance(network, Straightened) and cell.seed == 0:
        name = f"{cell.distortion}-{cell.kind}.png".replace(" ", "-").lower()
        _save_sheet(run.out / name, network.transformer, distort(drawn_digits(10).images, seeded(TEST_SEED)))
    return {"error": error_percent(network, images, digits.labels), "parameters": parameter_count(network)}


def build(settings: Settings, kind: str, side: int) -> nn.Module:
    """A network of a kind for images of a side, with as many parameters as the others of its base have."""
    base = "FCN" if "FCN" in kind else "CNN"
    if base == "FCN":
        plain, localization = fcn, connected_localization
        width = settings.fcn_width
    else:
        plain, localization = partial(cnn, first=settings.cnn_first), convolutional_localization
        width = settings.cnn_width

    def straightened(family: Family, width: int) -> nn.Module:
        return Straightened(Transformer(family, localization(family, side), (SIDE, SIDE)), plain(SIDE, width))

    target = parameter_count(straightened(FAMILIES["TPS"], width))
    if kind == base:
        return matched(lambda width: plain(side, width), target)
    return matched(lambda width: straightened(FAMILIES[kind.split()[1]], width), target)


def _ratio(errors: dict[tuple[str, str], list[float]], distortion: str) -> float:
    """Best mean error of a transformer by the plain CNN's."""
    means = {kind: statistics.fmean(errors[distortion, kind]) for kind in KINDS}
    best = min(mean for kind, mean in means.items() if kind.startswith("ST"))
    return best / max(means["CNN"], 1e-9)


def _markdown(
    settings: Settings, errors: dict[tuple[str, str], list[float]], ratios: dict[str, float], count: int
) -> str:
    header = ["error %", *DISTORTIONS, *(f"{name}, paper" for name in DISTORTIONS)]
    rows = [
        [kind, *(_spread(errors[name, kind]) for name in DISTORTIONS), *(number(value, 1) for value in PAPER[kind])]
        for kind in KINDS
    ]
    paper = [min(PAPER[k][i] for k in KINDS if k.startswith("ST")) / PAPER["CNN"][i] for i in range(len(DISTORTIONS))]
    rows.append(["best ST / CNN", *(number(ratio, 2) for ratio in ratios.values()), *(number(v, 2) for v in paper)])
    rows.append(["asked for, at most", *(number(bar, 2) for bar in BARS.values()), *("" for _ in BARS)])
    return (
        f"{table(header, rows)}\n\n"
        f"Mean and standard deviation of {settings.seeds} seeds; {count} training digits (the paper: 60,000), "
        f"distorted anew for each of {settings.schedule.steps} batches of {settings.schedule.batch}."
    )


def _spread(values: list[float]) -> str:
    return f"{statistics.fmean(values):.2f} ± {statistics.pstdev(values):.2f}"


@torch.no_grad()
def _save_sheet(path: Path, transformer: Transformer, images: Tensor) -> None:
    """Inputs with the outline of what is sampled, above what the transformer makes of them."""
    output = transformer(images)
    inputs = [marked(picture(image), [(outline(grid), RED)]) for image, grid in zip(images, output.grid, strict=True)]
    save_png(path, sheet([inputs, [picture(image) for image in output.image]]))
