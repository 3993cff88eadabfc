"""A classic recognition network: transformation, encoder, sequence model and head (torch).

Source: the four stages of Baek et al., What Is Wrong With Scene Text Recognition Model Comparisons?, ICCV 2019.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from recognizer.classic.config import ClassicConfig
from recognizer.classic.encoders import ENCODERS
from recognizer.classic.heads import GruHead, LstmHead
from recognizer.classic.localization import AsterTransformer, RareTransformer

GREY = (19595 / 65536, 38470 / 65536, 7471 / 65536)
"""Weights of red, green and blue. They add up to one without rounding, so that grey pictures stay as they are."""


class Recurrent(nn.Module):
    """A bidirectional LSTM and a linear layer over both of its directions; (N, T, inputs) to (N, T, hidden), without
    the projection to (N, T, 2·hidden)."""

    def __init__(self, inputs: int, hidden: int, projection: bool = True) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(2 * hidden, hidden) if projection else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(self.lstm(features)[0])


class StackedLstm(nn.Module):
    """ASTER's two bidirectional LSTMs, one on the other; (N, T, inputs) to (N, T, 2·hidden)."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, num_layers=2, batch_first=True, bidirectional=True)

    def forward(self, features: Tensor) -> Tensor:
        return self.lstm(features)[0]


class ClassicNetwork(nn.Module):
    """One of the field's recognisers, in its own geometry."""

    def __init__(self, config: ClassicConfig) -> None:
        super().__init__()
        self.config = config
        transformations: dict[str, Callable[[ClassicConfig], nn.Module]]
        transformations = {"rare": RareTransformer, "aster": AsterTransformer}
        kind = transformations.get(config.transformation)
        self.transformation = kind(config) if kind else nn.Identity()
        self.encoder = ENCODERS[config.encoder](config.input_channels, config.channels)
        features = config.channels
        self.sequence: nn.Module = nn.Identity()
        if config.sequence and config.encoder == "aster":
            self.sequence = StackedLstm(features, config.hidden)
            features = 2 * config.hidden
        elif config.sequence:
            hidden, projection = config.hidden, config.projection
            self.sequence = nn.Sequential(Recurrent(features, hidden), Recurrent(hidden, hidden, projection))
            features = hidden if projection else 2 * hidden
        self.head: nn.Module
        if config.head == "ctc":
            self.head = nn.Linear(features, config.classes)
        else:
            self.head = (LstmHead if config.head == "lstm" else GruHead)(features, config)

    def features(self, image: Tensor) -> Tensor:
        """Features (N, T, F) of pictures (N, 3, H, W) RGB in 0..255."""
        rectified = self.transformation(scale(image, self.config.input_channels))
        return self.sequence(self.encoder(rectified).mean(2).transpose(1, 2))

    def forward(self, image: Tensor, letters: Tensor | None = None) -> Tensor:
        """Scores.

        Args:
            image: (N, 3, H, W) RGB in 0..255, any dtype, as ``recognizer.preparation`` makes it.
            letters: (N, L) classes of the true letters, to train a head with attention on.

        Returns:
            (N, T, classes) logits, T frames with a CTC head and ``steps`` letters with attention, L + 1 in training.
        """
        features = self.features(image)
        return self.head(features) if letters is None else self.head(features, letters)


def scale(image: Tensor, channels: int) -> Tensor:
    """RGB (N, 3, H, W) in 0..255 as (N, channels, H, W) in -1..1, grey if one channel is asked for."""
    image = image.float()
    if channels == 1:
        weights = torch.tensor(GREY, dtype=image.dtype, device=image.device)[:, None, None]
        image = (image * weights).sum(1, keepdim=True)
    return (image / 255 - 0.5) / 0.5
