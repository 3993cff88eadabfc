"""TPS-ResNet-BiLSTM-Attn, to compare with."""

from __future__ import annotations

from recognizer.classic.config import ClassicConfig
from recognizer.classic.network import ClassicNetwork


def trba(classes: int = 38) -> ClassicNetwork:
    """With random weights and the usual shape: 49.6 million parameters, grey pictures of 32 x 100."""
    return ClassicNetwork(
        ClassicConfig(encoder="resnet", head="lstm", classes=classes, height=32, width=100, transformation="rare")
    )
