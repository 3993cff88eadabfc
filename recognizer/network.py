"""The recognition network: a light CRNN with a CTC head (torch)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from recognizer.charset import ASCII94
from rectify.network import ResidualBlock, convolution, standardize


@dataclass(frozen=True)
class RecognizerConfig:
    """Shape of a recognition network."""

    charset: str = ASCII94
    stem: int = 32
    """Channels at half resolution."""
    channels: tuple[int, int, int] = (48, 96, 192)
    """Channels at 8, 4 and 2 rows."""
    blocks: tuple[int, int, int] = (1, 2, 1)
    """Residual blocks at 8, 4 and 2 rows."""
    hidden: int = 128
    """Units of the LSTM in each direction."""
    dropout: float = 0.1
    """Before the CTC head."""


class Encoder(nn.Module):
    """Pictures (N, 3, 32, W) to features (N, W/4, 2·hidden) along the word.

    Source: convolutions followed by a bidirectional LSTM, Shi et al., An End-to-End Trainable Neural Network for
    Image-based Sequence Recognition (CRNN), PAMI 2017, section 2; the convolutions are residual and far lighter.
    """

    def __init__(self, config: RecognizerConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = [*convolution(3, config.stem, 2), *convolution(config.stem, config.stem)]
        before = config.stem
        for index, (channels, blocks) in enumerate(zip(config.channels, config.blocks, strict=True)):
            layers += convolution(before, channels, 2 if index == 0 else (2, 1))
            layers += [ResidualBlock(channels) for _ in range(blocks)]
            before = channels
        self.convolutions = nn.Sequential(*layers)
        self.collapse = nn.Sequential(
            nn.Conv2d(before, 2 * config.hidden, (2, 1), bias=False),
            nn.BatchNorm2d(2 * config.hidden),
            nn.ReLU(inplace=True),
        )
        self.sequence = nn.LSTM(2 * config.hidden, config.hidden, batch_first=True, bidirectional=True)

    def forward(self, image: Tensor) -> Tensor:
        columns = self.collapse(self.convolutions(standardize(image)))
        return self.sequence(columns.squeeze(2).transpose(1, 2))[0]


class RecognitionNetwork(nn.Module):
    """Encoder and CTC head."""

    def __init__(self, config: RecognizerConfig = RecognizerConfig()) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.dropout = nn.Dropout(config.dropout)
        self.ctc = nn.Linear(2 * config.hidden, 1 + len(config.charset))

    def forward(self, image: Tensor) -> Tensor:
        """CTC logits.

        Args:
            image: (N, 3, 32, W) RGB in 0..255, any dtype; W a multiple of 4.

        Returns:
            (N, W/4, 1 + characters) logits; class 0 is the blank, class 1 + i the i-th character of the charset.
        """
        return self.outputs(image)[0]

    def outputs(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and the encoder's features (N, W/4, 2·hidden), which an attention head reads."""
        features = self.encoder(image)
        return self.ctc(self.dropout(features)), features
