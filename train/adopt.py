"""Goes on training with weights: the configuration takes over what they were made for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from recognizer.attention_network import AttentionConfig
from recognizer.classic.config import ARCHITECTURE
from recognizer.network import RecognizerConfig
from recognizer.preparation import Preparation
from rectify.network import LocalizationConfig
from train.config import Config, Sampling
from train.weights import find_safetensors

WIDEST = 512
"""Pixels up to which pictures grow that are not of one width."""


_SHAPES: dict[str, dict[str, type]] = {
    "rectifier": {"localization": LocalizationConfig},
    "recognizer": {"recognizer": RecognizerConfig, "sampling": Sampling},
    "attention": {"attention": AttentionConfig},
}
"""Sections of the configuration that the weights of each kind of network speak of."""


def adopt_shapes(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with the shapes and the charset of the networks that ``init`` names where nothing else is set.

    Raises:
        FileNotFoundError, ValueError: ``init`` names no weights.
    """
    adopted = dict(tree)
    files = find_safetensors(str(tree["init"])) if tree.get("init") else {}
    reads = tree.get("recognizer", {}) is not None
    for kind, file in files.items():
        if "architecture" in file.config or (kind != "rectifier" and not reads):
            continue
        for section, shape in _SHAPES.get(kind, {}).items():
            known = {field.name: file.config[field.name] for field in fields(shape) if field.name in file.config}
            if kind == "attention":  # these are the recogniser's
                known = {name: value for name, value in known.items() if name not in ("charset", "features")}
            given = tree.get(section, {})
            adopted[section] = {**known, **given} if isinstance(given, Mapping) else given
    return adopted


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
