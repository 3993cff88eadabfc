"""The recogniser at run time: flat words of the right size to texts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recognizer.charset import Charset
from recognizer.ctc import DECODERS
from rectify.engine import Engine, load_engine, pick_config
from rectify.shape import sample_width
from rectify.weights_io import select_weights

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Reading:
    """What a word reads."""

    text: str
    confidence: float
    """0..1: the probability of the text as a geometric mean over its characters."""


class Recognizer:
    """Reads flat words.

    Args:
        weights: a weight file or folder; None takes the shipped ones.
        threads: of the network.
        decoder: ``greedy`` or ``beam``.

    Raises:
        FileNotFoundError, ValueError: no weights there, none of a recogniser, or no such decoder.
    """

    def __init__(
        self, weights: str | os.PathLike[str] | None = None, threads: int = 1, decoder: str = "greedy"
    ) -> None:
        if decoder not in DECODERS:
            raise ValueError(f"no decoder {decoder!r}; there are {', '.join(DECODERS)}")
        self._decode = DECODERS[decoder]
        file = select_weights(weights, "recognizer", __file__)
        self._engine: Engine = load_engine(file, threads, _build_network)
        self.config = self._engine.config
        self.charset = Charset(self.config["charset"])
        self.height = int(self.config["height"])

    def width(self, length: float, height: float) -> int:
        """Width at which to sample a word of this shape (see ``shape.sample_width``)."""
        return sample_width(length, height, self.config)

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """CTC logits (N, W/4, 1 + characters); class 0 is the blank.

        Args:
            images: (N, height, W, 3) uint8 RGB, W as ``width`` gives it.

        Raises:
            ValueError: images of another shape or type.
        """
        if images.ndim != 4 or images.shape[1] != self.height or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ValueError(f"expected uint8 (N, {self.height}, W, 3), got {images.dtype} {images.shape}")
        return self._engine(images)

    def read(self, images: NDArray[np.uint8]) -> list[Reading]:
        """One reading an image of ``images`` (see ``logits``)."""
        decoded = self._decode(self.logits(images))
        return [Reading(self.charset.decode(indices), confidence) for indices, confidence in decoded]


def _build_network(config: Mapping[str, Any]) -> nn.Module:
    from recognizer.network import RecognitionNetwork, RecognizerConfig

    return RecognitionNetwork(pick_config(RecognizerConfig, config))
