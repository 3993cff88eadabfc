"""The localization network and the spatial transformer around it (torch)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rectify.arrays import without_autocast
from rectify.conventions import canonical_points, pixel_grid
from rectify.families import ThinPlateSpline
from rectify.sampler import sample, tps_grid
from rectify.tps import affine_projection


@dataclass(frozen=True)
class LocalizationConfig:
    """Shape of a localization network."""

    rows: int = 7
    """Rows of control points; 2 is the two edges of RARE and ASTER. With perfect points, 5 × 5 still cuts text off on
    one word in twenty, 7 × 7 on one in a thousand."""
    cols: int = 7
    thumbnail: tuple[int, int] = (96, 32)
    """(width, height) of the copy of the crop that the network looks at."""
    channels: tuple[int, ...] = (16, 32, 64, 128)
    """Of each stage of a ``VotingNetwork``, which halves the resolution; of each 3 × 3 convolution of a
    ``LocalizationNetwork``, every second one of which, from the first, halves it."""
    blocks: tuple[int, ...] = (0, 1, 1, 1)
    """Residual blocks of each stage of a ``VotingNetwork``; none for the fully connected ``LocalizationNetwork``."""
    hidden: int = 256
    """Units of the fully connected layer of a ``LocalizationNetwork``."""
    family: str = "tps"
    """``affine`` brings the control points onto the affine map nearest to them, to compare with: no bend remains."""


class Localizer(nn.Module, ABC):
    """A network that finds the word in a thumbnail of the crop: features of the picture, and points placed by them."""

    config: LocalizationConfig
    features: nn.Module
    """(N, 3, h, w), standardized, to feature maps."""

    @abstractmethod
    def reset_to_identity(self) -> None:
        """Predict the crop's own rectangle for whatever crop."""

    @abstractmethod
    def place(self, features: Tensor) -> Tensor:
        """Control points (N, rows·cols, 2) from what ``features`` gives."""

    def forward(self, thumbnail: Tensor) -> Tensor:
        """Control points of crops.

        Args:
            thumbnail: (N, 3, h, w) RGB in 0..255, any dtype, of the configured size.

        Returns:
            (N, rows·cols, 2) normalised (x, y) in the crop.
        """
        return self.place(self.features(standardize(thumbnail)))


class LocalizationNetwork(Localizer):
    """Regresses the control points from a thumbnail of the crop.

    The features are flattened, not pooled, since positions are what is asked for. It starts as the identity: the last
    layer's weights are zero and its bias is the crop's own rectangle.
    """

    def __init__(self, config: LocalizationConfig = LocalizationConfig()) -> None:
        super().__init__()
        self.config = config
        width, height = config.thumbnail
        layers: list[nn.Module] = []
        before = 3
        for index, channels in enumerate(config.channels):
            stride = 2 - index % 2
            layers += convolution(before, channels, stride=stride)
            width, height = (math.ceil(side / stride) for side in (width, height))
            before = channels
        self.features = nn.Sequential(*layers)
        self.hidden = nn.Linear(before * height * width, config.hidden)
        self.points = nn.Linear(config.hidden, 2 * config.rows * config.cols)
        self.reset_to_identity()

    def reset_to_identity(self) -> None:
        nn.init.zeros_(self.points.weight)
        identity = torch.tensor(canonical_points(self.config.rows, self.config.cols))
        with torch.no_grad():
            self.points.bias.copy_(identity.flatten())

    def place(self, features: Tensor) -> Tensor:
        hidden = F.relu(self.hidden(features.flatten(1)))
        return self.points(hidden).reshape(-1, self.config.rows * self.config.cols, 2)


class VotingNetwork(Localizer):
    """Regresses the control points from a thumbnail of the crop.

    Each cell of the last feature map votes where each control point lies, as an offset from the cell's own place, and
    says how much its vote counts; a point is the weighted mean of its votes. So what moves in the picture moves the
    points, without a fully connected layer over all places, which needs four times the parameters and is no more exact.
    It starts as the identity: no cell counts more than another, and no vote has an offset.

    Source: anchors that vote for joints, Xiong et al., A2J, ICCV 2019, section 3.
    """

    def __init__(self, config: LocalizationConfig = LocalizationConfig()) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        before = 3
        width, height = config.thumbnail
        for channels, blocks in zip(config.channels, config.blocks, strict=True):
            layers += [*convolution(before, channels, 2), *(ResidualBlock(channels) for _ in range(blocks))]
            width, height = math.ceil(width / 2), math.ceil(height / 2)
            before = channels
        self.features = nn.Sequential(*layers)
        self.votes = nn.Conv2d(before, 3 * config.rows * config.cols, 1)
        canonical, cells = canonical_points(config.rows, config.cols), pixel_grid(height, width)
        self.register_buffer("canonical", torch.tensor(canonical).float(), persistent=False)
        self.register_buffer("cells", torch.from_numpy(cells).float(), persistent=False)
        self.reset_to_identity()

    def reset_to_identity(self) -> None:
        nn.init.zeros_(self.votes.weight)
        nn.init.zeros_(self.votes.bias)

    def place(self, features: Tensor) -> Tensor:
        votes = self.votes(features).flatten(2).unflatten(1, (3, -1))  # (N, 3, rows·cols, cells)
        shares, offsets = votes.split([1, 2], dim=1)
        places = offsets + self.cells.T[:, None, :]
        return self.canonical + (shares.softmax(3) * places).sum(3).transpose(1, 2)


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions beside a shortcut (He et al., CVPR 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*convolution(channels, channels), *convolution(channels, channels)[:-1])

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(features + self.body(features))


class AffineNetwork(Localizer):
    """A localization network whose control points are those of an affine map.

    They are the points of the map that is nearest to the predicted ones by least squares, which is linear in them.
    Thin-plate splines reproduce affine maps, so grid, sampler and runtime stay the same; and so does the identity.
    """

    def __init__(self, network: Localizer) -> None:
        super().__init__()
        self.config = network.config
        self.network = network
        nearest = affine_projection(self.config.rows, self.config.cols).astype(np.float32)
        self.register_buffer("nearest", torch.from_numpy(nearest), persistent=False)

    def reset_to_identity(self) -> None:
        self.network.reset_to_identity()

    @property
    def features(self) -> nn.Module:
        return self.network.features

    def place(self, features: Tensor) -> Tensor:
        return self.nearest @ self.network.place(features)


def build_localization(config: LocalizationConfig = LocalizationConfig()) -> Localizer:
    """The network of this shape, voting or fully connected.

    Raises:
        ValueError: no such family of transforms.
    """
    network: Localizer = VotingNetwork(config) if config.blocks else LocalizationNetwork(config)
    if config.family not in ("tps", "affine"):
        raise ValueError(f"localization.family: {config.family!r} is none of tps, affine")
    return AffineNetwork(network) if config.family == "affine" else network


def locate(network: Localizer, refiner: Localizer | None, thumbnail: Tensor, image: Tensor) -> list[Tensor]:
    """Control points by a localization network, and those corrected by a refiner if there is one.

    The refiner looks at the crop as it is rectified so far and finds the word in that picture. The splines are
    composed, so the crop itself is only ever sampled once.

    Args:
        network: gives the first control points.
        refiner: of as many points. As it starts, it corrects nothing.
        thumbnail: (N, 3, h, w) as the network takes it.
        image: (N, 3, H, W) in 0..255, the crops at about twice the resolution of the refiner's thumbnail.

    Returns:
        One or two tensors (N, K, 2), normalised in the crop, the last one the best.

    Source: the idea of rectifying again what is rectified, Zhan and Lu, ESIR, CVPR 2019, section 3.1.
    """
    first = _look(network, thumbnail)
    if refiner is None:
        return [first]
    config = refiner.config
    width, height = config.thumbnail
    # No gradient through the picture: each network answers for its own points.
    grid = tps_grid(first.detach(), config.rows, config.cols, 2 * height, 2 * width)
    seen = F.avg_pool2d(sample(image.float(), grid), 2)
    return [first, ThinPlateSpline(config.rows, config.cols).map(first.flatten(1), _look(refiner, seen))]


def _look(network: Localizer, picture: Tensor) -> Tensor:
    """Control points by a network whose features alone are of half precision under autocast: it would round places by
    half a pixel."""
    features = network.features(standardize(picture))
    with without_autocast(picture):
        return network.place(features.float())


class Rectification(NamedTuple):
    """What a spatial transformer returns."""

    image: Tensor
    """(N, C, height, width) sampled flat."""
    control_points: Tensor
    """(N, K, 2) normalised in the input."""


class SpatialTransformer(nn.Module):
    """Localization network, thin-plate spline and sampler: a crop in, the flat word out; identity at the start.

    Source: Jaderberg et al., Spatial Transformer Networks, NIPS 2015, section 3; with a thin-plate spline on text in
    Shi et al., Robust Scene Text Recognition with Automatic Rectification (RARE), CVPR 2016, section 3.1.
    """

    def __init__(self, localization: Localizer | None = None, refiner: Localizer | None = None) -> None:
        super().__init__()
        self.localization = localization or build_localization()
        self.refiner = refiner

    def forward(self, image: Tensor, size: tuple[int, int]) -> Rectification:
        """Rectify crops.

        Args:
            image: (N, 3, H, W) RGB float in 0..255.
            size: (height, width) of the output; any, the weights do not depend on it.
        """
        config = self.localization.config
        thumbnail = F.interpolate(image, config.thumbnail[::-1], mode="bilinear", antialias=True, align_corners=False)
        points = locate(self.localization, self.refiner, thumbnail, image)[-1]
        return Rectification(sample(image, tps_grid(points, config.rows, config.cols, *size)), points)


def standardize(image: Tensor) -> Tensor:
    """Each picture (N, C, H, W) of 0..255 with zero mean and about unit deviation, so that faint crops look like any.

    The constant under the root keeps the noise of an empty crop small.
    """
    image = image.float() if not torch.is_floating_point(image) else image
    centered = image - image.mean(dim=(1, 2, 3), keepdim=True)
    return centered * torch.rsqrt((centered * centered).mean(dim=(1, 2, 3), keepdim=True) + 25.0)


def convolution(before: int, channels: int, stride: int | tuple[int, int] = 1) -> list[nn.Module]:
    """3 × 3 convolution, batch normalisation, ReLU."""
    return [
        nn.Conv2d(before, channels, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    ]
