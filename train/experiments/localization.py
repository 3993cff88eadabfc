"""Where a digit is in a large image with clutter, learnt from its class alone.

    python -m train.experiments localization --mnist DIR --out DIR

A transformer that can only look at an upright square (attention: scale and place) feeds a classifier. What it learns to
look at is compared with the square that the digit was put into, which no training ever saw.

Source: Jaderberg et al., Spatial Transformer Networks, NIPS 2015, sections 3.2 and 4.1, cluttered digits.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from rectify.families import Attention
from rectify.sampler import sample_trilinear
from rectify.transformer import Transformer
from train.experiments.clutter import Scene, attended_boxes, box_overlap, scenes
from train.experiments.distortions import SIDE
from train.experiments.fit import Batch, Schedule, batches, error_percent, fit_classes, in_parts, seeded
from train.experiments.glyphs import drawn_digits
from train.experiments.networks import Straightened, convolutional_localization, matched, parameter_count, small_cnn
from train.experiments.pictures import GREEN, RED, box, marked, picture, save_png, sheet
from train.experiments.runs import Figures, Report, Run, figures_of, finished
from train.output import number, table

KINDS = ["plain CNN", "attention"]
TEST_SEED = 1_000_002


@dataclass(frozen=True)
class Settings:
    """Size of the experiment."""

    schedule: Schedule
    seeds: int = 2
    train_digits: int | None = None
    test_digits: int | None = None
    side: int = 60
    """Of the images, pixels; a digit's square has 28."""
    pieces: int = 6
    """Of clutter in each."""
    attended: int = 16
    """Side of what the transformer gives to the classifier, pixels: the whole image would be too small in it to read,
    so that it pays to look at the digit alone."""
    shrink: int = 3
    """How many times smaller the copy is that the localization network sees."""
    width: int = 16
    """Of the classifier behind the transformer."""


FULL = Settings(schedule=Schedule(steps=2000, batch=64))
QUICK = replace(FULL, schedule=Schedule(steps=3, batch=16), seeds=1, train_digits=200, test_digits=50, width=4)


class Cell(NamedTuple):
    """One training."""

    kind: str
    seed: int


def run(run: Run) -> Report:
    """Trains all cells and sums up."""
    settings = QUICK if run.quick else FULL
    cells = {f"{kind} / {seed}": Cell(kind, seed) for seed in range(settings.seeds) for kind in KINDS}
    figures = finished(run, settings, cells, train_cell)

    def mean(kind: str, figure: str) -> float | None:
        found = [figures[f"{kind} / {seed}"] for seed in range(settings.seeds)]
        return statistics.fmean(one[figure] for one in found) if figure in found[0] else None

    rows = [
        [kind, str(figures[f"{kind} / 0"]["parameters"])]
        + [number(mean(kind, figure), digits) for figure, digits in (("error", 2), ("iou", 3), ("found", 1))]
        for kind in KINDS
    ]
    header = ["", "parameters", "error %", "mean IoU", "IoU over 0.5, %"]
    markdown = (
        f"{table(header, rows)}\n\nMean of {settings.seeds} seeds; asked for: a mean IoU of at least 0.6. The box of "
        f"the whole image would have {(SIDE / settings.side) ** 2:.2f}."
    )
    return Report(figures_of(run, settings, figures, iou=mean("attention", "iou")), markdown)


def train_cell(run: Run, settings: Settings, cell: Cell) -> Figures:
    """Trains a classifier of scenes; its error, and where it looked."""
    torch.manual_seed(cell.seed)
    network = build(settings, cell.kind)
    draw = batches(run.digits("train", settings.train_digits), settings.schedule.batch, seeded(cell.seed))
    generator = seeded(1000 + cell.seed)

    def scene() -> Batch:
        images, labels = draw()
        return scenes(images, settings.side, settings.pieces, generator).images, labels

    fit_classes(network, settings.schedule, scene)
    digits = run.digits("test", settings.test_digits)
    test = scenes(digits.images, settings.side, settings.pieces, seeded(TEST_SEED))
    figures: Figures = {
        "error": error_percent(network, test.images, digits.labels),
        "parameters": parameter_count(network),
    }
    if isinstance(network, Straightened):
        theta = in_parts(lambda images: network.transformer(images).theta, test.images)
        overlap = box_overlap(attended_boxes(Attention(), theta), test.boxes)
        figures |= {"iou": float(overlap.mean()), "found": 100 * float((overlap > 0.5).float().mean())}
        if cell.seed == 0:
            shown = scenes(drawn_digits(10).images, settings.side, settings.pieces, seeded(TEST_SEED))
            _save_sheet(run.out / "attention.png", network.transformer, shown)
    return figures


def build(settings: Settings, kind: str) -> nn.Module:
    """A classifier of scenes; both kinds have the same number of parameters."""

    localization = convolutional_localization(Attention(), settings.side, shrink=settings.shrink)
    # Trilinear, since at the start the image is shrunk almost four times.
    transformer = Transformer(Attention(), localization, (settings.attended, settings.attended), sample_trilinear)
    network = Straightened(transformer, small_cnn(settings.attended, settings.width))
    if kind == "attention":
        return network
    return matched(lambda units: small_cnn(settings.side, settings.width, units=units), parameter_count(network))


@torch.no_grad()
def _save_sheet(path: Path, transformer: Transformer, scene: Scene) -> None:
    """Scenes with the digit's box green and the attended one red, above what is attended to."""
    output = transformer(scene.images)
    looked = attended_boxes(Attention(), output.theta)
    inputs = [
        marked(picture(image, 2), [(box(true), GREEN), (box(seen), RED)])
        for image, true, seen in zip(scene.images, scene.boxes, looked, strict=True)
    ]
    save_png(path, sheet([inputs, [picture(image, 4) for image in output.image]]))
