"""Drawn digits, for pictures that anybody may publish: MNIST has no open licence."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from train.experiments.distortions import SIDE
from train.experiments.idx import Digits


def drawn_digits(count: int) -> Digits:
    """Digits 0, 1, …, 9, 0, … in Pillow's own font, about as large and as thick as MNIST's, in squares of 28 pixels.

    A network that was trained on handwritten digits can be shown them.
    """
    font = ImageFont.load_default(28)
    labels = np.arange(count, dtype=np.int64) % 10
    pictures = []
    for label in labels:
        image = Image.new("L", (SIDE, SIDE))
        ImageDraw.Draw(image).text((SIDE / 2, SIDE / 2), str(label), fill=255, font=font, anchor="mm")
        pictures.append(np.asarray(image, np.float32) / 255)
    return Digits(torch.from_numpy(np.stack(pictures))[:, None], torch.from_numpy(labels))
