"""The small networks of the experiments: classifiers, localization networks, and both joined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rectify.families import Family
from rectify.transformer import Localization, Transformer

FILTERS = 16
"""Of the localization network's convolutions; the paper's 20 take twice the time, being no multiple of 8."""


class ThinConvolution(nn.Conv2d):
    """A convolution of few channels, without padding or stride.

    What torch does for the gradient of such an input takes four times as long as all the rest of the layer; behind a
    transformer that gradient is needed. Here it is a matrix product, added up where windows overlap.
    """

    def forward(self, images: Tensor) -> Tensor:
        return _ThinConvolution.apply(images, self.weight, self.bias)


class _ThinConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(images, weight)
        return F.conv2d(images, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        (gradient,) = gradients
        images, weight = ctx.saved_tensors
        by_images = None
        if ctx.needs_input_grad[0]:
            windows = torch.bmm(weight.flatten(1).T.expand(len(images), -1, -1), gradient.flatten(2))
            by_images = F.fold(windows, images.shape[2:], weight.shape[2:])
        return by_images, torch.nn.grad.conv2d_weight(images, weight.shape, gradient), gradient.sum((0, 2, 3))


def pooled() -> tuple[nn.Module, nn.Module]:
    """2 × 2 max pooling and rectification; in this order it is the same, on a quarter of the values."""
    return nn.MaxPool2d(2), nn.ReLU()


def cnn(side: int, width: int, channels: int = 1, classes: int = 10, first: int = 32) -> nn.Sequential:
    """The paper's convolutional classifier: 9 × 9 and 7 × 7 convolutions, each followed by 2 × 2 max pooling.

    Args:
        side: of its square input.
        width: filters of the second convolution.
        first: filters of the first one.
    """
    left = ((side - 8) // 2 - 6) // 2
    return nn.Sequential(
        ThinConvolution(channels, first, 9),
        *pooled(),
        nn.Conv2d(first, width, 7),
        *pooled(),
        nn.Flatten(),
        nn.Linear(width * left * left, classes),
    ).to(memory_format=torch.channels_last)


def small_cnn(side: int, width: int, channels: int = 1, classes: int = 10, units: int = 0) -> nn.Sequential:
    """A light classifier for larger images: three 3 × 3 convolutions of half, one and one times ``width`` filters,
    each followed by 2 × 2 max pooling; then, if it has ``units``, a hidden layer of so many."""
    layers: list[nn.Module] = []
    for filters in (max(width // 2, 1), width, width):
        layers += [nn.Conv2d(channels, filters, 3, padding=1), *pooled()]
        channels, side = filters, side // 2
    layers.append(nn.Flatten())
    features = channels * side * side
    if units:
        layers += [nn.Linear(features, units), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Linear(units or features, classes))
    return network.to(memory_format=torch.channels_last)


def fcn(side: int, width: int, channels: int = 1, classes: int = 10) -> nn.Sequential:
    """The paper's fully connected classifier: two hidden layers of ``width`` units."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * side * side, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, classes),
    )


def convolutional_localization(
    family: Family, side: int, channels: int = 1, units: int = 32, shrink: int = 2
) -> Localization:
    """Two 5 × 5 convolutions on a small copy of a square input, then a fully connected layer.

    Args:
        side: of the input.
        shrink: how many times smaller the copy is.
    """
    last = side // shrink // 2
    body = nn.Sequential(
        nn.AvgPool2d(shrink),
        nn.Conv2d(channels, FILTERS, 5, padding=2),
        *pooled(),
        nn.Conv2d(FILTERS, FILTERS, 5, padding=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(FILTERS * last * last, units),
        nn.ReLU(),
    ).to(memory_format=torch.channels_last)
    return Localization(family, body, units)


def connected_localization(family: Family, side: int, channels: int = 1, units: int = 32) -> Localization:
    """Two fully connected layers."""
    body = nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * side * side, units),
        nn.ReLU(),
        nn.Linear(units, units),
        nn.ReLU(),
    )
    return Localization(family, body, units)


class Straightened(nn.Module):
    """A classifier behind a spatial transformer."""

    def __init__(self, transformer: Transformer, classifier: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.transformer(images).image)


def parameter_count(network: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(parameter.numel() for parameter in network.parameters())


def matched(build: Callable[[int], nn.Module], target: int) -> nn.Module:
    """The network of ``build(width)`` whose number of parameters is nearest to ``target``."""
    low, high = 1, 2
    while parameter_count(build(high)) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if parameter_count(build(middle)) < target:
            low = middle
        else:
            high = middle
    return min((build(width) for width in (low, high)), key=lambda one: abs(parameter_count(one) - target))
