"""How many control points a thin-plate spline needs for rotated digits, and what a bound on them costs.

    python -m train.experiments tps-bounds --mnist DIR --out DIR

Many implementations squash the control points by tanh, so that they stay within the image. Then the corners of a square
that is turned by 45° cannot be reached, and the identity only nearly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rectify.arrays import Array, namespace
from rectify.families import Family, ThinPlateSpline
from rectify.transformer import Transformer
from train.experiments.distortions import SIDE, angles_within, rotated
from train.experiments.fit import Batch, Schedule, batches, error_percent, fit_classes, seeded
from train.experiments.glyphs import drawn_digits
from train.experiments.networks import Straightened, convolutional_localization, fcn
from train.experiments.pictures import Picture, marked, picture, save_gif, sheet
from train.experiments.plots import Panel, save_plot
from train.experiments.runs import Figures, Report, Run, figures_of, finished
from train.output import table

BOUNDS = {"free": False, "tanh": True}
TEST_SEED = 1_000_005


@dataclass(frozen=True)
class BoundedSpline(Family):
    """A thin-plate spline whose control points are the tanh of its parameters, within ±1."""

    spline: ThinPlateSpline
    start: float = 0.95
    """Where the outermost points start, since tanh never reaches 1: the start zooms in by as much."""

    @property
    def parameters(self) -> int:
        return self.spline.parameters

    def identity(self) -> NDArray[np.float64]:
        return np.arctanh(self.start * self.spline.identity())

    def transform(self, theta: Array, points: Array) -> Array:
        return self.spline.transform(namespace(theta).tanh(theta), points)

    def grid(self, theta: Array, height: int, width: int) -> Array:
        return self.spline.grid(namespace(theta).tanh(self.checked(theta)), height, width)


@dataclass(frozen=True)
class Settings:
    """Size of the experiment."""

    schedule: Schedule
    ranges: tuple[int, ...] = (30, 60, 90)
    """Digits are rotated within ± this many degrees."""
    sizes: tuple[int, ...] = (2, 3, 4, 5, 6, 7, 8)
    """Rows and columns of control points."""
    animated: int = 4
    """The size whose control points are shown as training goes."""
    frames: int = 40
    train_digits: int | None = None
    test_digits: int | None = None
    width: int = 64
    """Of the classifier; it is fully connected, so that it depends on the transformer."""


FULL = Settings(schedule=Schedule(steps=800, batch=64))
QUICK = replace(
    FULL,
    schedule=Schedule(steps=3, batch=16),
    sizes=(2, 4),
    frames=3,
    train_digits=200,
    test_digits=50,
    width=4,
)


class Cell(NamedTuple):
    """One training."""

    range: int
    size: int
    bound: str


def run(run: Run) -> Report:
    """Trains all cells, plots the curves and sums up."""
    settings = QUICK if run.quick else FULL
    cells = {
        f"±{degrees}° / {size}x{size} / {bound}": Cell(degrees, size, bound)
        for degrees in settings.ranges
        for size in settings.sizes
        for bound in BOUNDS
    }
    figures = finished(run, settings, cells, train_cell)
    accuracy = {cell: 100 - figures[name]["error"] for name, cell in cells.items()}
    panels = [
        Panel(
            title=f"rotated within ±{degrees}°",
            x_label="control points along each side",
            y_label="accuracy %",
            lines={
                bound: (settings.sizes, [accuracy[Cell(degrees, size, bound)] for size in settings.sizes])
                for bound in BOUNDS
            },
        )
        for degrees in settings.ranges
    ]
    save_plot(run.out / "accuracy.png", panels)
    header = ["accuracy %", *(f"{size} × {size}" for size in settings.sizes)]
    rows = [
        [f"±{degrees}°, {bound}", *(f"{accuracy[Cell(degrees, size, bound)]:.2f}" for size in settings.sizes)]
        for degrees in settings.ranges
        for bound in BOUNDS
    ]
    return Report(figures_of(run, settings, figures), table(header, rows))


def train_cell(run: Run, settings: Settings, cell: Cell) -> Figures:
    """Trains one network, following its control points; its error."""
    torch.manual_seed(0)
    spline = ThinPlateSpline(cell.size, cell.size)
    family: Family = BoundedSpline(spline) if BOUNDS[cell.bound] else spline
    localization = convolutional_localization(family, SIDE)
    network = Straightened(Transformer(family, localization), fcn(SIDE, settings.width))
    draw = batches(run.digits("train", settings.train_digits), settings.schedule.batch, seeded(0))
    generator = seeded(1000)

    def turned() -> Batch:
        images, labels = draw()
        return rotated(images, angles_within(len(images), cell.range, 0, generator)), labels

    digits = run.digits("test", settings.test_digits)
    images = rotated(digits.images, angles_within(len(digits.labels), cell.range, 0, seeded(TEST_SEED)))
    frames: list[Picture] = []
    shown = drawn_digits(10).images[::2]
    shown = rotated(shown, angles_within(len(shown), cell.range, 0, seeded(TEST_SEED)))
    every = max(1, settings.schedule.steps // settings.frames)

    def watch(step: int) -> None:
        if cell.size == settings.animated and step % every == 0:
            frames.append(_frame(network.transformer, shown))

    fit_classes(network, settings.schedule, turned, watch)
    if frames:
        frames.append(_frame(network.transformer, shown))
        save_gif(run.out / f"points-{cell.range}-{cell.bound}.gif", frames)
    return {"error": error_percent(network, images, digits.labels)}


@torch.no_grad()
def _frame(transformer: Transformer, images: Tensor) -> Picture:
    """Digits with their control points, above what is sampled; some room around, since points may leave the image."""
    room = 7
    output = transformer(images)
    points = output.theta.tanh() if isinstance(transformer.family, BoundedSpline) else output.theta
    scale = SIDE / (SIDE + 2 * room)
    inputs = [
        marked(picture(torch.nn.functional.pad(image, [room] * 4), 2), points=scale * one.reshape(-1, 2))
        for image, one in zip(images, points, strict=True)
    ]
    return sheet([inputs, [picture(image) for image in output.image]])
