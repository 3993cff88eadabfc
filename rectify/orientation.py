"""Which way up a crop is: by how many quarter turns, decided by a small network before the word is located."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rectify.engine import Engine, load_engine
from rectify.images import Image
from rectify.shape import thumbnail
from rectify.weights_io import find_weights, select_weights

if TYPE_CHECKING:
    from torch import nn

THUMBNAIL = (96, 48)
"""(width, height) of what the network sees. Wider crops are squeezed into it, others keep their shape."""

SURE = 0.8
"""Probability from which a crop is turned where most are upright; below, it is taken as it is."""

BATCH = 64

TALL = 1.5
"""Crops of at least this height to width may hold a word that runs up or down."""

TURNS = np.array([[[1, 0], [0, 1]], [[0, 1], [-1, 0]], [[-1, 0], [0, -1]], [[0, -1], [1, 0]]], np.float32)
"""By quarter turns to the left of a picture: the matrix by which normalised points (N, 2) of the turned picture are
multiplied from the right to come back to the picture as it was."""


class Orientation:
    """Tells by how many quarter turns crops are turned.

    Args:
        weights: a weight file or folder; the shipped network is taken where it holds none of this kind.
        threads: of the network.

    Raises:
        FileNotFoundError, ValueError: no such weights.
    """

    def __init__(self, weights: str | os.PathLike[str] | None = None, threads: int = 1) -> None:
        held = weights is not None and "orientation" in find_weights(weights)
        file = select_weights(weights if held else None, "orientation", __file__)
        self._engine: Engine = load_engine(file, threads, _build_network)

    def probabilities(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """(N, 4): how likely each crop is turned to the left by 0, 1, 2 and 3 quarters, to the next quarter."""
        found = np.empty((len(images), 4), np.float32)
        for start in range(0, len(images), BATCH):
            views = [view(image) for image in images[start : start + BATCH]]
            logits = self._engine(np.stack([seen for seen, _ in views]))
            scores = np.exp(logits - logits.max(1, keepdims=True))
            scores /= scores.sum(1, keepdims=True)
            # A crop that was laid on its side shows its turns one further.
            found[start : start + BATCH] = [np.roll(row, -laid) for row, (_, laid) in zip(scores, views, strict=True)]
        return found

    def turns(self, images: Sequence[Image], sure: float = SURE) -> NDArray[np.int64]:
        """(N,) quarter turns to the left of each crop, 0..3; 0 unless the network is so ``sure``, 0..1."""
        probabilities = self.probabilities(images)
        best = probabilities.argmax(1)
        return np.where(probabilities.max(1) >= sure, best, 0)


def is_available(weights: str | os.PathLike[str] | None) -> bool:
    """Whether ``Orientation(weights)`` has a network to load."""
    shipped = Path(__file__).parent / "weights" / "orientation.onnx"
    return shipped.is_file() or (weights is not None and "orientation" in find_weights(weights))


def is_tall(image: Image) -> bool:
    """Whether a crop may hold a word that runs up or down."""
    return image.shape[0] >= TALL * image.shape[1]


def view(image: Image) -> tuple[Image, int]:
    """What the network sees of a crop: RGB (48, 96, 3) uint8, lying down, and by how many quarter turns to the left it
    was laid."""
    turned = int(image.shape[0] > image.shape[1])
    image = np.rot90(image, turned)
    height, width = image.shape[:2]
    across, tall = THUMBNAIL
    if width * tall >= across * height:
        return thumbnail(np.ascontiguousarray(image), THUMBNAIL), turned
    small = thumbnail(np.ascontiguousarray(image), (max(1, round(tall * width / height)), tall))
    left = (across - small.shape[1]) // 2
    return np.pad(small, ((0, 0), (left, across - small.shape[1] - left), (0, 0)), mode="edge"), turned


def _build_network(config: Mapping[str, Any]) -> nn.Module:
    from rectify.orientation_network import OrientationNetwork

    return OrientationNetwork(tuple(config["channels"]))
