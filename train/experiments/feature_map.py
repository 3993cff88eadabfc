"""A transformer on the input against one on feature maps, on digits rotated within ±90°.

    python -m train.experiments feature-map --mnist DIR --out DIR

Turning a feature map moves its values but does not turn the filters that made them: an edge that a horizontal filter
found stays a horizontal filter's. So a transformer behind a convolution cannot undo a rotation of the input, while one
that looks at the same features but transforms the input can.

Source: Finnveden, Jansson and Lindeberg, Understanding when spatial transformer networks do not support invariance, and
what to do about it, ICPR 2020.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rectify.families import Affine
from rectify.transformer import Localization, Transformed, Transformer
from train.experiments.distortions import SIDE, angles_within, rotated
from train.experiments.fit import Batch, Schedule, batches, error_percent, fit_classes, in_parts, seeded
from train.experiments.glyphs import drawn_digits
from train.experiments.networks import FILTERS, parameter_count, pooled
from train.experiments.pictures import picture, save_png, sheet
from train.experiments.poses import left_angles, mean_and_spread
from train.experiments.runs import Figures, Report, Run, figures_of, finished
from train.output import number, table

KINDS = {"no transformer": None, "on the input": 0, "after convolution 1": 1, "after convolution 2": 2, "shared": 2}
"""After how many convolutions the transformer looks; "shared" looks there and transforms the input."""
RANGE = 90.0
TEST_SEED = 1_000_003


@dataclass(frozen=True)
class Settings:
    """Size of the experiment."""

    schedule: Schedule
    seeds: int = 1
    train_digits: int | None = None
    test_digits: int | None = None
    posed_digits: int = 300
    """Digits that are turned to several angles to see at which the transformer leaves them."""


FULL = Settings(schedule=Schedule(steps=2500, batch=64))
QUICK = replace(FULL, schedule=Schedule(steps=3, batch=16), train_digits=200, test_digits=50, posed_digits=10)


class Cell(NamedTuple):
    """One training."""

    kind: str
    seed: int


class Network(nn.Module):
    """Two convolutions, each with pooling, and a fully connected layer; a transformer somewhere or nowhere."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.looks_after = KINDS[kind]
        self.transforms_input = kind in ("on the input", "shared")
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, filters, 5, padding=2), *pooled()) for before, filters in ((1, 8), (8, 16))
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(16 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, 10))
        self.transformer = None
        if self.looks_after is not None:
            channels, side = ((1, SIDE), (8, SIDE // 2), (16, SIDE // 4))[self.looks_after]
            self.transformer = Transformer(Affine(), _localization(channels, side))

    def forward(self, images: Tensor) -> Tensor:
        features = self.transform(images).image if self.transforms_input else images
        for index, stage in enumerate(self.stages):
            features = stage(features)
            if self.transformer is not None and not self.transforms_input and self.looks_after == index + 1:
                features = self.transformer(features).image
        return self.classifier(features)

    def transform(self, images: Tensor) -> Transformed:
        """What the transformer does, on the input or on the features of the input."""
        assert self.transformer is not None and self.looks_after is not None
        features = images
        for stage in self.stages[: self.looks_after]:
            features = stage(features)
        return self.transformer(images, features) if self.transforms_input else self.transformer(features)


def run(run: Run) -> Report:
    """Trains all cells and sums up."""
    settings = QUICK if run.quick else FULL
    cells = {f"{kind} / {seed}": Cell(kind, seed) for seed in range(settings.seeds) for kind in KINDS}
    figures = finished(run, settings, cells, train_cell)

    def mean(kind: str, figure: str) -> float | None:
        found = [figures[f"{kind} / {seed}"] for seed in range(settings.seeds)]
        return statistics.fmean(one[figure] for one in found) if figure in found[0] else None

    rows = [
        [
            kind,
            str(figures[f"{kind} / 0"]["parameters"]),
            number(mean(kind, "error"), 2),
            number(mean(kind, "spread"), 1),
        ]
        for kind in KINDS
    ]
    markdown = (
        f"{table(['transformer', 'parameters', 'error %', 'spread of the pose, °'], rows)}\n\n"
        f"The spread is the standard deviation, over one digit turned to angles within ±{RANGE:.0f}°, of the angle at "
        f"which the transformer leaves it; one that does nothing has {_idle_spread():.1f}°."
    )
    return Report(figures_of(run, settings, figures), markdown)


def train_cell(run: Run, settings: Settings, cell: Cell) -> Figures:
    """Trains one network; its error and how well it turns digits to one pose."""
    torch.manual_seed(cell.seed)
    network = Network(cell.kind)
    draw = batches(run.digits("train", settings.train_digits), settings.schedule.batch, seeded(cell.seed))
    generator = seeded(1000 + cell.seed)

    def turned() -> Batch:
        images, labels = draw()
        return rotated(images, angles_within(len(images), RANGE, 0, generator)), labels

    fit_classes(network, settings.schedule, turned)
    digits = run.digits("test", settings.test_digits)
    images = rotated(digits.images, angles_within(len(digits.images), RANGE, 0, seeded(TEST_SEED)))
    figures: Figures = {
        "error": error_percent(network, images, digits.labels),
        "parameters": parameter_count(network),
    }
    if network.transformer is not None:
        figures["spread"] = _pose_spread(network, digits.images[: settings.posed_digits])
        if network.transforms_input and cell.seed == 0:
            shown = drawn_digits(10).images
            shown = rotated(shown, angles_within(len(shown), RANGE, 0, seeded(TEST_SEED)))
            output = in_parts(lambda part: network.transform(part).image, shown)
            rows = [[picture(image) for image in part] for part in (shown, output)]
            save_png(run.out / f"{cell.kind.replace(' ', '-')}.png", sheet(rows))
    return figures


@torch.no_grad()
def _pose_spread(network: Network, digits: Tensor, turns: int = 9) -> float:
    """Mean over digits of the standard deviation of the angle at which each is left, degrees."""
    angles = torch.deg2rad(torch.linspace(-RANGE, RANGE, turns))
    left = [left_angles(digits, angle.expand(len(digits)), _Transforming(network))[0] for angle in angles]
    return statistics.fmean(mean_and_spread(one)[1] for one in torch.stack(left, 1))


class _Transforming(nn.Module):
    """The transformer of a network as a module of its own."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Transformed:
        return self.network.transform(images)


def _idle_spread(turns: int = 9) -> float:
    return mean_and_spread(torch.deg2rad(torch.linspace(-RANGE, RANGE, turns)))[1]


def _localization(channels: int, side: int) -> Localization:
    """Two 5 × 5 convolutions and a fully connected layer; large inputs are halved first."""
    shrink: list[nn.Module] = [nn.AvgPool2d(2)] if side > SIDE // 2 else []
    last = min(side, SIDE // 2) // 2
    body = nn.Sequential(
        *shrink,
        nn.Conv2d(channels, FILTERS, 5, padding=2),
        *pooled(),
        nn.Conv2d(FILTERS, FILTERS, 5, padding=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(FILTERS * last * last, 32),
        nn.ReLU(),
    )
    return Localization(Affine(), body, 32)
