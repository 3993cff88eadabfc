"""The localization networks of other projects' rectifiers (torch)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from recognizer.classic.config import ClassicConfig
from recognizer.classic.spline import AsterSpline, RareSpline


class RareTransformer(nn.Module):
    """Rectifies as deep-text-recognition-benchmark does: convolutions, a mean over the picture, two linear layers.

    Source: Shi et al., RARE, CVPR 2016, section 3.1.1.
    """

    def __init__(self, config: ClassicConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = config.input_channels
        for channels in (64, 128, 256, 512):
            layers += [nn.Conv2d(before, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if channels < 512 else []
            before = channels
        self.features = nn.Sequential(*layers)
        self.hidden = nn.Linear(before, 256)
        self.points = nn.Linear(256, 2 * config.points)
        self.spline = RareSpline(config.points, config.height, config.width)

    def control_points(self, image: Tensor) -> Tensor:
        """(N, K, 2) over [-1, 1] of pictures (N, C, H, W)."""
        features = self.features(image).mean(dim=(2, 3))
        return self.points(F.relu(self.hidden(features))).unflatten(1, (-1, 2))

    def forward(self, image: Tensor) -> Tensor:
        """The rectified pictures (N, C, height, width)."""
        return self.spline(image, self.control_points(image))


class AsterTransformer(nn.Module):
    """Rectifies as aster.pytorch does: from a thumbnail, with more convolutions and pools.

    Source: Shi et al., ASTER, PAMI 2018, section 3.1 and table 1.
    """

    def __init__(self, config: ClassicConfig) -> None:
        super().__init__()
        self.thumbnail = config.thumbnail[::-1]
        widths = (32, 64, 128, 256, 256, 256)
        layers: list[nn.Module] = []
        before = config.input_channels
        for index, channels in enumerate(widths):
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if index < len(widths) - 1 else []
            before = channels
        self.features = nn.Sequential(*layers)
        places = (self.thumbnail[0] >> 5) * (self.thumbnail[1] >> 5)
        self.hidden = nn.Sequential(nn.Linear(before * places, 512), nn.BatchNorm1d(512), nn.ReLU())
        self.points = nn.Linear(512, 2 * config.points)
        self.spline = AsterSpline(config)

    def control_points(self, image: Tensor) -> Tensor:
        """(N, K, 2) over [0, 1] of pictures (N, C, H, W)."""
        small = F.interpolate(image, self.thumbnail, mode="bilinear", align_corners=True)
        # The tenth keeps the first steps of training near the identity (ASTER, section 3.1).
        return self.points(0.1 * self.hidden(self.features(small).flatten(1))).unflatten(1, (-1, 2))

    def forward(self, image: Tensor) -> Tensor:
        """The rectified pictures (N, C, height, width)."""
        return self.spline(image, self.control_points(image))
