"""Which pose a transformer turns digits to: the mean pose of its training data, not one that it knows to be upright.

    python -m train.experiments canonical-pose --mnist DIR --out DIR

The same network is trained on digits rotated within a range about upright, and about other angles. Nothing tells it
which way is up; it starts as the identity, and all poses being equally good for the classifier it settles in the one
that is nearest to all of its data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from rectify.families import Affine
from rectify.transformer import Transformer
from train.experiments.distortions import SIDE, angles_within, rotated
from train.experiments.fit import Batch, Schedule, batches, error_percent, fit_classes, seeded
from train.experiments.idx import Digits
from train.experiments.networks import Straightened, cnn, convolutional_localization
from train.experiments.pictures import Picture, picture, save_png, sheet
from train.experiments.poses import left_angles, mean_and_spread
from train.experiments.runs import Figures, Report, Run, figures_of, finished
from train.output import table

TEST_SEED = 1_000_004


@dataclass(frozen=True)
class Settings:
    """Size of the experiment."""

    schedule: Schedule
    centers: tuple[float, ...] = (0.0, 45.0, 90.0)
    """Mean angle of each training, degrees clockwise."""
    spread: float = 60.0
    """Digits are rotated within this many degrees of the mean."""
    train_digits: int | None = None
    test_digits: int | None = 3000
    first: int = 16
    width: int = 16


FULL = Settings(schedule=Schedule(steps=1500, batch=64))
QUICK = replace(FULL, schedule=Schedule(steps=3, batch=16), train_digits=200, test_digits=60, first=4, width=4)


class Cell(NamedTuple):
    """One training."""

    center: float


def run(run: Run) -> Report:
    """Trains all cells and sums up."""
    settings = QUICK if run.quick else FULL
    cells = {f"{center:g}°": Cell(center) for center in settings.centers}
    figures = finished(run, settings, cells, train_cell)
    header = ["trained about", "angle before", "spread before", "angle after", "spread after", "error %"]
    rows = [
        [name, *(f"{one[key]:.1f}°" for key in ("mean_before", "spread_before", "mean_after", "spread_after"))]
        + [f"{one['error']:.2f}"]
        for name, one in figures.items()
    ]
    markdown = (
        f"{table(header, rows)}\n\nCircular mean and standard deviation of the angle of the test digits, before and "
        "after the transformer; the pictures show each digit's mean image."
    )
    return Report(figures_of(run, settings, figures), markdown)


def train_cell(run: Run, settings: Settings, cell: Cell) -> Figures:
    """Trains one network; the angles of the test digits before and after its transformer."""
    torch.manual_seed(0)
    localization = convolutional_localization(Affine(), SIDE)
    network = Straightened(Transformer(Affine(), localization), cnn(SIDE, settings.width, first=settings.first))
    draw = batches(run.digits("train", settings.train_digits), settings.schedule.batch, seeded(0))
    generator = seeded(1000)

    def turned() -> Batch:
        images, labels = draw()
        return rotated(images, angles_within(len(images), settings.spread, cell.center, generator)), labels

    fit_classes(network, settings.schedule, turned)
    digits = run.digits("test", settings.test_digits)
    angles = angles_within(len(digits.labels), settings.spread, cell.center, seeded(TEST_SEED))
    with torch.no_grad():
        left, output = left_angles(digits.images, angles, network.transformer)
    before = rotated(digits.images, angles)
    save_png(run.out / f"mean-images-{cell.center:g}.png", _mean_images(digits, before, output.image))
    (mean_before, spread_before), (mean_after, spread_after) = mean_and_spread(angles), mean_and_spread(left)
    return {
        "error": error_percent(network, before, digits.labels),
        "mean_before": mean_before,
        "spread_before": spread_before,
        "mean_after": mean_after,
        "spread_after": spread_after,
    }


def _mean_images(digits: Digits, before: Tensor, after: Tensor) -> Picture:
    """Mean image of each class, upright, as the network got it and as the transformer left it."""
    classes = [digits.labels == label for label in digits.labels.unique()]

    def row(images: Tensor) -> list[Picture]:
        means = [images[chosen].mean(0) for chosen in classes]
        return [picture(mean / mean.max().clamp(min=1e-6), 4) for mean in means]

    return sheet([row(digits.images), row(before), row(after)])
