"""What a classic recogniser is made of; everything its weight file says of the network."""

from __future__ import annotations

from dataclasses import dataclass

ARCHITECTURE = "classic"
"""Value of a description's ``architecture`` that asks for these networks."""


@dataclass(frozen=True, kw_only=True)
class ClassicShape:
    """Encoder, sequence model and head: what a configuration chooses when such a network is trained from the start."""

    encoder: str = "vgg"
    """``vgg``, ``rcnn``, ``resnet`` or ``aster``."""
    head: str = "ctc"
    """``ctc``, ``lstm`` or ``gru``; the last two with attention."""
    input_channels: int = 1
    """1 is grey, 3 is RGB."""
    channels: int = 512
    """Of the encoder's output."""
    sequence: bool = True
    """A bidirectional LSTM of two layers between encoder and head."""
    projection: bool = True
    """A linear layer after the second LSTM, too, as deep-text-recognition-benchmark has it and the papers do not;
    ASTER's has none in either case."""
    hidden: int = 256
    """Units of the LSTM in each direction, and of the head of kind ``lstm``."""
    attention: int = 512
    """Units of the attention, of its embedding and of the state in the head of kind ``gru``."""
    steps: int = 26
    """Outputs of an attention head."""


@dataclass(frozen=True, kw_only=True)
class ClassicConfig(ClassicShape):
    """A classic recognition network: transformation, encoder, sequence model, head."""

    classes: int
    height: int
    width: int
    """Pixels of the encoder's input; rectified pictures have this size. Without a rectifier, any width will do."""
    transformation: str = "none"
    """``none``, ``rare`` or ``aster``: whose spline rectifies the pictures."""
    points: int = 20
    """Control points, half of them along either edge."""
    thumbnail: tuple[int, int] = (64, 32)
    """(width, height) of what ASTER's localization network sees."""
    margins: tuple[float, float] = (0.05, 0.05)
    """Of ASTER's canonical points to the sides and to top and bottom, shares of the picture."""
    align_corners: bool = False
    """How ASTER's grid is sampled: False is what its code does under torch 1.3 and later, True before."""
