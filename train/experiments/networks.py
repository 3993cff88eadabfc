"""The small networks of the experiments: classifiers, localization networks, and both joined."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from rectify.families import Family
from rectify.transformer import Localization, Transformer

FILTERS = 20
"""Of the localization network's convolutions."""


def cnn(side: int, width: int, channels: int = 1, classes: int = 10, first: int = 32) -> nn.Sequential:
    """The paper's convolutional classifier: 9 × 9 and 7 × 7 convolutions, each followed by 2 × 2 max pooling.

    Args:
        side: of its square input.
        width: filters of the second convolution.
        first: filters of the first one.
    """
    left = ((side - 8) // 2 - 6) // 2
    return nn.Sequential(
        nn.Conv2d(channels, first, 9),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, width, 7),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(width * left * left, classes),
    )


def small_cnn(side: int, width: int, channels: int = 1, classes: int = 10) -> nn.Sequential:
    """A light classifier for larger images: three 3 × 3 convolutions of half, one and one times ``width`` filters,
    each followed by 2 × 2 max pooling."""
    layers: list[nn.Module] = []
    for filters in (max(width // 2, 1), width, width):
        layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels, side = filters, side // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * side * side, classes))


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


def convolutional_localization(family: Family, side: int, channels: int = 1, units: int = 32) -> Localization:
    """Two 5 × 5 convolutions on a halved copy of a square input, then a fully connected layer."""
    last = side // 4
    body = nn.Sequential(
        nn.AvgPool2d(2),
        nn.Conv2d(channels, FILTERS, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(FILTERS, FILTERS, 5, padding=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(FILTERS * last * last, units),
        nn.ReLU(),
    )
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
