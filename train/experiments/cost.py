"""What transformers cost: parameters, multiply-adds and time, as a share of the network they serve.

    python -m train.experiments cost --out DIR

Multiply-adds are those of convolutions, matrix products and recurrent layers, the grid's (two a parameter of a spline,
for each pixel) and the sampler's (four a sampled value). Times are of one image and of a batch, on one core, forward.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from recognizer.network import RecognitionNetwork
from rectify.families import Affine, Attention, Composition, Family, Projective, ThinPlateSpline
from rectify.network import SpatialTransformer, build_localization
from rectify.transformer import Transformer
from train.experiments.distortions import SIDE
from train.experiments.networks import cnn, connected_localization, convolutional_localization, fcn, parameter_count
from train.experiments.runs import Figures, Report, Run, figures_of, one_thread
from train.output import table

WORD = (32, 128)
"""(height, width) of the crop and of the rectified word."""


@dataclass(frozen=True)
class Settings:
    """Size of the experiment."""

    batch: int = 32
    repeats: int = 30
    """The shortest of so many times is taken."""


FULL = Settings()
QUICK = replace(FULL, batch=2, repeats=1)


class Part(NamedTuple):
    """A network and what it takes."""

    network: nn.Module
    inputs: Callable[[int], tuple[Any, ...]]
    """Arguments for a number of images."""


def run(run: Run) -> Report:
    """Counts and times every transformer and what it serves."""
    settings = QUICK if run.quick else FULL
    figures: dict[str, Figures] = {}
    rows = []
    with one_thread():
        for served, (network, transformers) in pairs().items():
            whole = measured(settings, network)
            figures[served] = whole
            rows.append(_row(f"**{served}**", whole, whole))
            for name, part in transformers.items():
                figures[f"{served} / {name}"] = measured(settings, part)
                rows.append(_row(name, figures[f"{served} / {name}"], whole))
    header = ["", "parameters", "%", "multiply-adds", "%", "ms, one image", "%", f"ms, {settings.batch} images", "%"]
    return Report(figures_of(run, settings, figures), table(header, rows))


def pairs() -> dict[str, tuple[Part, dict[str, Part]]]:
    """Each served network with the transformers in front of it."""

    def digit(count: int) -> tuple[Tensor]:
        return (torch.rand(count, 1, SIDE, SIDE),)

    def word(count: int) -> tuple[Tensor]:
        return (torch.rand(count, 3, *WORD) * 255,)

    def convolutional(family: Family) -> Part:
        return Part(Transformer(family, convolutional_localization(family, SIDE)), digit)

    def connected(family: Family) -> Part:
        return Part(Transformer(family, connected_localization(family, SIDE)), digit)

    families: list[Family] = [Attention(), Affine(), Projective(), ThinPlateSpline(4, 4)]
    families.append(Composition(Affine(), ThinPlateSpline(4, 4)))
    rectifiers = {
        "TPS 7x7": SpatialTransformer(),
        "TPS 7x7 and a refiner, as shipped": SpatialTransformer(refiner=build_localization()),
    }
    return {
        "digit CNN": (Part(cnn(SIDE, 32), digit), {_short(one): convolutional(one) for one in families}),
        "digit FCN": (Part(fcn(SIDE, 128), digit), {_short(one): connected(one) for one in families}),
        "word recogniser": (
            Part(RecognitionNetwork(), word),
            {name: Part(one, lambda count: (*word(count), WORD)) for name, one in rectifiers.items()},
        ),
    }


def measured(settings: Settings, part: Part) -> Figures:
    """Parameters, multiply-adds for one image, milliseconds for one image and for a batch."""
    part.network.eval()
    return {
        "parameters": parameter_count(part.network),
        "multiply_adds": multiply_adds(part.network, part.inputs(1)),
        "ms_one": milliseconds(part, 1, settings.repeats),
        "ms_batch": milliseconds(part, settings.batch, settings.repeats),
    }


@torch.no_grad()
def multiply_adds(network: nn.Module, inputs: tuple[Any, ...]) -> int:
    """How many multiplications with addition one call takes."""
    total = 0

    def count(layer: nn.Module, _: Any, output: Any) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            total += output.numel() * layer.weight[0].numel()
        elif isinstance(layer, nn.Linear):
            total += output.numel() * layer.in_features
        elif isinstance(layer, nn.LSTM):
            steps = output[0].shape[0] * output[0].shape[1]
            total += steps * sum(weight.numel() for weight in layer.parameters() if weight.ndim == 2)
        elif isinstance(layer, Transformer | SpatialTransformer):
            total += 4 * output[0].numel() + 2 * output[0][:, 0].numel() * _family_parameters(layer)

    hooks = [layer.register_forward_hook(count) for layer in network.modules()]
    network.eval()(*inputs)
    for hook in hooks:
        hook.remove()
    return total


@torch.no_grad()
def milliseconds(part: Part, count: int, repeats: int) -> float:
    """Shortest time of a forward pass."""
    torch.manual_seed(0)
    inputs = part.inputs(count)
    times = []
    for _ in range(repeats + 2):  # the first ones are slower
        start = time.perf_counter()
        part.network(*inputs)
        times.append(time.perf_counter() - start)
    return 1000 * float(np.min(times))


def _family_parameters(layer: nn.Module) -> int:
    if isinstance(layer, Transformer):
        return layer.family.parameters
    return layer.localization.config.rows * layer.localization.config.cols * 2


def _short(family: Family) -> str:
    if isinstance(family, ThinPlateSpline):
        return f"TPS {family.rows}x{family.cols}"
    if isinstance(family, Composition):
        return f"{_short(family.first)}, then {_short(family.then)}"
    return type(family).__name__.lower()


def _row(name: str, part: Figures, whole: Figures) -> list[str]:
    row = [name]
    for key, form in (("parameters", "{:,}"), ("multiply_adds", "{:,}"), ("ms_one", "{:.2f}"), ("ms_batch", "{:.2f}")):
        row += [form.format(part[key]), f"{100 * part[key] / whole[key]:.1f}"]
    return row
