"""The network that tells which way up a crop is (torch)."""

from __future__ import annotations

from torch import Tensor, nn

from rectify.network import convolution, standardize

CHANNELS = (20, 40, 80, 80, 160, 160, 160)
"""Of the 3 × 3 convolutions; those that raise the number halve the resolution."""


class OrientationNetwork(nn.Module):
    """Scores the four quarter turns of a crop; what it finds anywhere in the picture counts alike."""

    def __init__(self, channels: tuple[int, ...] = CHANNELS) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for count in channels:
            layers += convolution(before, count, stride=1 if count == before else 2)
            before = count
        self.features = nn.Sequential(*layers)
        self.turns = nn.Linear(before, 4)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (N, 4) of 0, 1, 2 and 3 quarter turns to the left.

        Args:
            image: (N, 3, h, w) RGB in 0..255, any dtype, as ``orientation.view`` gives it.
        """
        return self.turns(self.features(standardize(image)).mean((2, 3)))
