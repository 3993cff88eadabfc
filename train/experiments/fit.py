"""Training and measuring a small network on batches drawn from a seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from train.experiments.idx import Digits

Batch = tuple[Tensor, Tensor]
"""Inputs and their classes (N,)."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast."""

    steps: int
    batch: int = 128
    rate: float = 2e-3
    """Highest learning rate of Adam; it rises over the first tenth and falls to zero along a cosine."""
    localization_rate: float = 1.0
    """That of localization networks, as a share of it."""


def seeded(seed: int) -> Generator:
    """A generator of its own for each purpose, so that one does not shift another."""
    return Generator().manual_seed(seed)


def batches(digits: Digits, size: int, generator: Generator) -> Callable[[], Batch]:
    """Draws batches of digits, all of them once before any comes again."""
    size = min(size, len(digits.labels))
    order = torch.empty(0, dtype=torch.int64)

    def draw() -> Batch:
        nonlocal order
        if len(order) < size:
            order = torch.randperm(len(digits.labels), generator=generator)
        chosen, order = order[:size], order[size:]
        return digits.images[chosen], digits.labels[chosen]

    return draw


def fit(
    network: nn.Module,
    schedule: Schedule,
    loss: Callable[[], Tensor],
    watch: Callable[[int], None] = lambda step: None,
) -> None:
    """Minimises a loss.

    Args:
        network: whose parameters are trained.
        loss: draws a batch and gives its loss.
        watch: called with the number of each step before it.
    """
    network.train()
    optimizer = torch.optim.Adam(_groups(network, schedule))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _pace(step / schedule.steps))
    for step in range(schedule.steps):
        watch(step)
        value = loss()
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        scheduler.step()
    network.eval()


def fit_classes(
    network: nn.Module,
    schedule: Schedule,
    draw: Callable[[], Batch],
    watch: Callable[[int], None] = lambda step: None,
) -> None:
    """Trains a classifier by cross-entropy on the batches that ``draw`` gives."""

    def loss() -> Tensor:
        inputs, classes = draw()
        return F.cross_entropy(network(inputs), classes)

    fit(network, schedule, loss, watch)


@torch.no_grad()
def in_parts(function: Callable[[Tensor], Tensor], inputs: Tensor, size: int = 500) -> Tensor:
    """What a function gives for inputs (N, ...), computed in parts."""
    return torch.cat([function(part) for part in inputs.split(size)])


def error_percent(network: nn.Module, inputs: Tensor, classes: Tensor) -> float:
    """Share of wrong answers, in percent."""
    network.eval()
    answers = in_parts(network, inputs).argmax(1)
    return 100 * float((answers != classes).float().mean())


def _groups(network: nn.Module, schedule: Schedule) -> list[dict[str, object]]:
    located = [parameter for name, parameter in network.named_parameters() if "localization" in name]
    others = [parameter for name, parameter in network.named_parameters() if "localization" not in name]
    groups: list[dict[str, object]] = [
        {"params": others, "lr": schedule.rate},
        {"params": located, "lr": schedule.rate * schedule.localization_rate},
    ]
    return [group for group in groups if group["params"]]


def _pace(progress: float, warmup: float = 0.1) -> float:
    if progress < warmup:
        return max(progress, 1e-3) / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
