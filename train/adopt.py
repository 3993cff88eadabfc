"""Goes on training with weights of another project: the configuration takes over what they were made for."""

from __future__ import annotations

from dataclasses import replace

from recognizer.classic.config import ARCHITECTURE
from recognizer.preparation import Preparation
from train.config import Config, Sampling
from train.weights import find_safetensors

WIDEST = 512
"""Pixels up to which pictures grow that are not of one width."""


def adopt_imported(config: Config) -> Config:
    """The configuration with the network, charset and picture size of the imported weights that ``init`` names.

    Such a recogniser reads crops as they are, with its own rectifier if it has one, and has no letters aligned to its
    frames. Any other configuration comes back as it was.

    Raises:
        FileNotFoundError, ValueError: ``init`` names no weights.
    """
    file = find_safetensors(config.init).get("recognizer") if config.init else None
    if file is None or config.recognizer is None or file.config.get("architecture") != ARCHITECTURE:
        return config
    prepare = Preparation.from_config(file.config["preparation"])
    sampling = Sampling(prepare.height, 1.0, prepare.height, prepare.height, WIDEST)
    if not prepare.whole_heights:
        sampling = Sampling(prepare.height, 1.0, 1, prepare.width, prepare.width)
    return replace(
        config,
        imported=file.config,
        recognizer=replace(config.recognizer, charset=file.config["charset"]),
        sampling=sampling,
        losses=replace(config.losses, alignment=0.0),
        rectify=False,
    )
