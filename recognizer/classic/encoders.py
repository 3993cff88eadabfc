"""Classic convolutional encoders: pictures (N, C, H, W) to features (N, channels, rows, T) along the word (torch)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RESNET_BLOCKS = (1, 2, 5, 3)
"""Residual blocks of the stages of ``resnet``."""
ASTER_STAGES = ((16, 3, (2, 2)), (8, 4, (2, 2)), (4, 6, (2, 1)), (2, 6, (2, 1)), (1, 3, (2, 1)))
"""How many times fewer channels than the output, blocks and stride of the stages of ``aster``."""
GATED_STEPS = 5
"""Iterations of a gated recurrent convolution."""


def vgg(inputs: int, channels: int) -> nn.Sequential:
    """Seven convolutions, T = W/4 - 1. Source: Shi et al., CRNN, PAMI 2017, table 1."""
    a, b, c, d = channels // 8, channels // 4, channels // 2, channels
    return nn.Sequential(
        *(nn.Conv2d(inputs, a, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(b, c, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(c, c, 3, padding=1), nn.ReLU(), nn.MaxPool2d((2, 1))),
        *_convolution(c, d),
        *(*_convolution(d, d), nn.MaxPool2d((2, 1))),
        *(nn.Conv2d(d, d, 2), nn.ReLU()),
    )


def rcnn(inputs: int, channels: int) -> nn.Sequential:
    """Gated recurrent convolutions, T = W/4 + 1. Source: Wang and Hu, NIPS 2017, table 1."""
    a, b, c, d = channels // 8, channels // 4, channels // 2, channels
    return nn.Sequential(
        *(nn.Conv2d(inputs, a, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(GatedRecurrentConvolution(a, a), nn.MaxPool2d(2)),
        *(GatedRecurrentConvolution(a, b), nn.MaxPool2d(2, (2, 1), (0, 1))),
        *(GatedRecurrentConvolution(b, c), nn.MaxPool2d(2, (2, 1), (0, 1))),
        *(nn.Conv2d(c, d, 2, bias=False), nn.BatchNorm2d(d), nn.ReLU()),
    )


class GatedRecurrentConvolution(nn.Module):
    """A convolution that looks at its own output again and again, through a gate.

    Source: Wang and Hu, Gated Recurrent Convolution Neural Network for OCR, NIPS 2017, section 3.
    """

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.gate_input = nn.Conv2d(inputs, channels, 1, bias=False)
        self.gate_state = nn.Conv2d(channels, channels, 1, bias=False)
        self.input = nn.Conv2d(inputs, channels, 3, padding=1, bias=False)
        self.state = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.steps = nn.ModuleList(GatedStep(channels) for _ in range(GATED_STEPS))

    def forward(self, features: Tensor) -> Tensor:
        gate, seen = self.gate_input(features), self.input(features)
        state = F.relu(self.norm(seen))
        for step in self.steps:
            state = step(gate, self.gate_state(state), seen, self.state(state))
        return state


class GatedStep(nn.Module):
    """One look; each has normalisations of its own, the convolutions are shared."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate_input = nn.BatchNorm2d(channels)
        self.gate_state = nn.BatchNorm2d(channels)
        self.input = nn.BatchNorm2d(channels)
        self.state = nn.BatchNorm2d(channels)
        self.gated = nn.BatchNorm2d(channels)

    def forward(self, gate_input: Tensor, gate_state: Tensor, seen: Tensor, state: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate_input(gate_input) + self.gate_state(gate_state))
        return F.relu(self.input(seen) + self.gated(self.state(state) * gate))


def resnet(inputs: int, channels: int) -> nn.Sequential:
    """Residual blocks, T = W/4 + 1. Source: Cheng et al., Focusing Attention, ICCV 2017, table 1."""
    widths = (channels // 4, channels // 2, channels, channels)
    pools = (nn.MaxPool2d(2), nn.MaxPool2d(2, (2, 1), (0, 1)))
    first = [*_convolution(inputs, channels // 16), *_convolution(channels // 16, channels // 8), nn.MaxPool2d(2)]
    stages = [nn.Sequential(*first)]
    before = channels // 8
    for index, (width, count) in enumerate(zip(widths, RESNET_BLOCKS, strict=True)):
        blocks = [ResidualBlock(before if i == 0 else width, width, 3) for i in range(count)]
        after = [*_convolution(width, width), pools[index]] if index < 2 else [*_convolution(width, width)]
        stages.append(nn.Sequential(*blocks, *(after if index < 3 else _last(width))))
        before = width
    return nn.Sequential(*stages)


def aster(inputs: int, channels: int) -> nn.Sequential:
    """Residual blocks, T = W/4. Source: Shi et al., ASTER, PAMI 2018, table 2."""
    before = channels // 16
    stages = [nn.Sequential(*_convolution(inputs, before))]
    for part, count, stride in ASTER_STAGES:
        width = channels // part
        blocks = [
            ResidualBlock(before if i == 0 else width, width, 1, stride if i == 0 else (1, 1)) for i in range(count)
        ]
        stages.append(nn.Sequential(*blocks))
        before = width
    return nn.Sequential(*stages)


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, which is a 1 × 1 convolution where the shape changes (He et al., CVPR 2016).

    Args:
        kernel: of the first convolution; the second is 3 × 3.
    """

    def __init__(self, inputs: int, channels: int, kernel: int, stride: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(inputs, channels, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(channels)),
            nn.ReLU(),
            *(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)),
        )
        self.shortcut: nn.Module = nn.Identity()
        if inputs != channels or stride != (1, 1):
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.body(features) + self.shortcut(features))


ENCODERS = {"vgg": vgg, "rcnn": rcnn, "resnet": resnet, "aster": aster}
"""By name; each takes the channels of its input and of its output."""


def _convolution(inputs: int, channels: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]


def _last(channels: int) -> list[nn.Module]:
    """The two convolutions of ``resnet`` that take the height down to one row."""
    return [
        *(nn.Conv2d(channels, channels, 2, (2, 1), (0, 1), bias=False), nn.BatchNorm2d(channels), nn.ReLU()),
        *(nn.Conv2d(channels, channels, 2, bias=False), nn.BatchNorm2d(channels), nn.ReLU()),
    ]
