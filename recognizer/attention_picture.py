"""A picture of where the attention head looked for each letter of a word."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from rectify.images import Image
from rectify.shape import resize

SCALE = 4
"""Enlargement of the flat word."""
_GLOW = np.array([255, 80, 64], np.float32)
_LABEL = 40
"""Pixels beside each row, for its letter."""


def draw_attention(word: Image, maps: NDArray[np.floating], text: str) -> Image:
    """The flat word once for each letter, bright where the letter was looked for, the letter beside it.

    Args:
        word: (H, W, 3) uint8, as the recogniser read it.
        maps: (L, T) shares of the frames for each of the L letters, from the first on.
        text: of L letters.

    Returns:
        (rows, columns, 3) uint8 RGB; the plain word where there are no letters.
    """
    height, width = word.shape[:2]
    picture = resize(word, (SCALE * width, SCALE * height))
    rows = [_row(picture, weights, letter) for weights, letter in zip(maps, text, strict=True)]
    return np.concatenate(rows) if rows else _labelled(picture, "")


def _row(picture: Image, weights: NDArray[np.floating], letter: str) -> Image:
    shares = (weights / max(1e-6, float(weights.max()))).astype(np.float32)
    glow = cv2.resize(shares[None], (picture.shape[1], 1), interpolation=cv2.INTER_LINEAR)[0, :, None]
    lit = picture * (0.35 + 0.25 * glow) + _GLOW * (0.4 * glow)
    return _labelled(lit.astype(np.uint8), letter)


def _labelled(picture: Image, letter: str) -> Image:
    label = np.full((picture.shape[0], _LABEL, 3), 255, np.uint8)
    baseline = picture.shape[0] // 2 + 10
    cv2.putText(label, letter, (8, baseline), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2, cv2.LINE_AA)
    framed = cv2.copyMakeBorder(picture, 1, 1, 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    return np.concatenate(
        [cv2.copyMakeBorder(label, 1, 1, 0, 0, cv2.BORDER_CONSTANT, value=(255,) * 3), framed], axis=1
    )
