"""Where bilinear sampling breaks, and what a pyramid mends: error over scales, and the weights behind it.

    python -m train.experiments samplers --out DIR

A page of drawn text is known at eight times the resolution of the source image. A slightly tilted grid samples the
source at scales from 1/8 to 4; the reference is the mean of the fine page over each pixel of the output.

Source: Jaderberg et al., Spatial Transformer Networks, NIPS 2015, section 3.3, on sampling kernels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rectify.conventions import pixel_grid
from rectify.sampler import sample, sample_trilinear
from rectify.transformer import Sampler
from train.experiments.pictures import Picture, caption, picture, save_png, sheet
from train.experiments.plots import Panel, save_plot
from train.experiments.runs import Figures, Report, Run, figures_of
from train.output import table


def sample_pyramid(image: Tensor, grid: Tensor) -> Tensor:
    """Trilinear with a single tap where both axes shrink alike."""
    return sample_trilinear(image, grid, taps=1)


SAMPLERS: dict[str, Sampler] = {
    "bilinear": sample,
    "trilinear, one tap": sample_pyramid,
    "trilinear": sample_trilinear,
}
SCALES = {
    "1/8": 1 / 8,
    "1/6": 1 / 6,
    "1/4": 1 / 4,
    "1/3": 1 / 3,
    "1/2": 1 / 2,
    "1/√2": 2**-0.5,
    "1": 1.0,
    "2": 2.0,
    "4": 4.0,
}
"""Output pixels per source pixel."""
ALONG = {"1/8 × 1": (1 / 8, 1), "1/4 × 1": (1 / 4, 1), "1/4 × 1/2": (1 / 4, 1 / 2), "1/2 × 1": (1 / 2, 1)}
"""Scales along and across: text that shrinks more along."""
TEXT = "Sphinx of black quartz, judge my vow 0123456789 "
FINE = 8
"""Pixels of the page per pixel of the source, along each axis."""


@dataclass(frozen=True)
class Settings:
    """Size of the experiment."""

    width: int = 512
    """Of the source, pixels."""
    height: int = 192
    angle: float = 7.0
    """Tilt of the grid in degrees; without it some pixels would coincide by luck."""
    shown: float = 0.7
    """Share of the source, in each direction, that the grid covers."""


FULL = Settings()
QUICK = replace(FULL, width=128, height=64)


def run(run: Run) -> Report:
    """Measures all samplers at all scales, plots the errors and draws the weights."""
    settings = QUICK if run.quick else FULL
    page = draw_page(settings)
    scales = {name: (scale, scale) for name, scale in SCALES.items()} | ALONG
    errors: dict[str, Figures] = {name: scale_errors(settings, page, scale) for name, scale in scales.items()}
    save_plot(run.out / "errors.png", _panels(errors))
    save_png(run.out / "weights.png", weights_picture())
    save_png(run.out / "quarter.png", _quarter_picture(settings, page))
    header = ["scale", *(f"{name}, error" for name in SAMPLERS), "trilinear / bilinear"]
    rows = [
        [name, *(f"{one[sampler]:.2f}" for sampler in SAMPLERS), f"{one['trilinear'] / one['bilinear']:.2f}"]
        for name, one in errors.items()
    ]
    markdown = (
        f"{table(header, rows)}\n\nRoot mean square error in grey levels of 0..255. Scale is output pixels per source "
        "pixel, for the last rows along × across. What is left when enlarging is detail that the source does not have."
    )
    return Report(figures_of(run, settings, errors), markdown)


def draw_page(settings: Settings) -> Tensor:
    """Lines of text (1, 1, FINE·height, FINE·width) in 0..1, each larger than the one above."""
    height, width = settings.height * FINE, settings.width * FINE
    page = np.zeros((height, width), np.uint8)
    top, line = 0.0, 8.0 * FINE
    while top < height:
        size = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, int(0.6 * line))
        place = (0, int(top + 0.8 * line))
        cv2.putText(page, 3 * TEXT, place, cv2.FONT_HERSHEY_SIMPLEX, size, 255, int(line / 12), cv2.LINE_AA)
        top, line = top + 1.2 * line, 1.25 * line
    return torch.from_numpy(page)[None, None].float() / 255


def scale_errors(settings: Settings, page: Tensor, scale: tuple[float, float]) -> Figures:
    """Root mean square error of each sampler at a scale along and across, in grey levels."""
    source = F.avg_pool2d(page, FINE)
    grid, reference = reference_at(settings, page, scale)
    return {
        name: 255 * float((sampler(source, grid) - reference).square().mean().sqrt())
        for name, sampler in SAMPLERS.items()
    }


def reference_at(settings: Settings, page: Tensor, scale: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """The tilted grid (1, h, w, 2) of a scale along and across, and the mean (1, 1, h, w) of the fine page over each of
    its pixels."""
    size = (settings.width, settings.height)
    width, height = (max(2, round(settings.shown * side * one)) for side, one in zip(size, scale, strict=True))
    times = [max(2, round(FINE / one)) for one in scale]
    covered = (width / scale[0], height / scale[1])
    fine = tilted_grid((width * times[0], height * times[1]), covered, size, settings.angle)
    reference = F.avg_pool2d(sample(page, fine), (times[1], times[0]))
    return tilted_grid((width, height), covered, size, settings.angle), reference


def tilted_grid(count: tuple[int, int], covered: tuple[float, float], size: tuple[int, int], angle: float) -> Tensor:
    """A grid (1, h, w, 2) of ``count`` (w, h) pixels over a rectangle of ``covered`` source pixels, turned by an angle
    in degrees about the middle of a source of ``size`` (width, height)."""
    points = pixel_grid(count[1], count[0]) * (np.array(covered) / 2)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    points = points @ np.array([[cos, sin], [-sin, cos]]) / (np.array(size) / 2)
    return torch.from_numpy(points).float().reshape(1, count[1], count[0], 2)


def weights(sampler: Sampler, scale: tuple[float, float], angle: float, side: int = 32) -> Tensor:
    """With which weights the source's pixels (1, side, side) enter one pixel of the output: the sampler's gradient.

    The pixel lies a little off the middle, where four pixels of the source would share it alike.
    """
    image = torch.zeros(1, 1, side, side, requires_grad=True)
    count = 9
    grid = tilted_grid((count, count), (count / scale[0], count / scale[1]), (side, side), angle)
    grid = grid + torch.tensor([0.3, 0.2]) * (2 / side)
    (found,) = torch.autograd.grad(sampler(image, grid)[0, 0, count // 2, count // 2], image)
    return found[0]


def weights_picture() -> Picture:
    """The weights of all samplers, row by row, at several scales; each as light as its largest one allows."""
    cases = {"2": (2.0, 2.0), "1": (1.0, 1.0)} | {name: (SCALES[name],) * 2 for name in ("1/2", "1/4", "1/8")} | ALONG
    rows = [[caption(name, 32 * 4) for name in ("", *cases)]]
    for name, sampler in SAMPLERS.items():
        found = [weights(sampler, scale, angle=20.0) for scale in cases.values()]
        rows.append([caption(name, 32 * 4), *(picture(one / one.max(), 4) for one in found)])
    return sheet(rows)


def _panels(errors: dict[str, Figures]) -> list[Panel]:
    even = list(SCALES.values())
    marks = {name: scale for name, scale in SCALES.items() if name not in ("1/6", "1/3", "1/√2")}
    lines = {name: (even, [errors[scale][name] for scale in SCALES]) for name in SAMPLERS}
    ticks = (list(marks.values()), list(marks))
    places = range(len(ALONG))
    uneven = {name: (places, [errors[scale][name] for scale in ALONG]) for name in SAMPLERS}
    return [
        Panel("both axes alike", "scale", "error, grey levels", lines, log_x=True, ticks=ticks),
        Panel("along × across", "scale", "error, grey levels", uneven, ticks=(places, list(ALONG))),
    ]


def _quarter_picture(settings: Settings, page: Tensor) -> Picture:
    """The page at a quarter of the source's size by both samplers, and as it should be."""
    grid, reference = reference_at(settings, page, (1 / 4, 1 / 4))
    source = F.avg_pool2d(page, FINE)
    shown = {"bilinear": sample(source, grid), "trilinear": sample_trilinear(source, grid), "reference": reference}
    pictures = [picture(image[0], 4) for image in shown.values()]
    return sheet([[caption(name, 70), one] for name, one in zip(shown, pictures, strict=True)])
