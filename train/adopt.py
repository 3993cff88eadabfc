"""The networks that a configuration means: shapes that weights bring along, imported ones, and classic recognisers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from recognizer.attention_network import AttentionConfig
from recognizer.classic.config import ARCHITECTURE, ClassicShape
from recognizer.classic.encoders import ENCODERS
from recognizer.network import RecognizerConfig
from recognizer.preparation import Preparation
from rectify.engine import pick_config
from rectify.network import LocalizationConfig
from train.config import Config, Sampling
from train.weights import find_safetensors

WIDEST = 512
"""Pixels up to which pictures grow that are not of one width."""
ASTER_LEAST = 256
"""Channels of ASTER's encoder that its first stages, 16 times fewer, can be trained with: torch 2.14 on the CPU writes
beyond its memory in the backward pass of strided 1 × 1 convolutions (channels last) with fewer than 16 channels."""


_SHAPES: dict[str, dict[str, type]] = {
    "rectifier": {"localization": LocalizationConfig},
    "refiner": {"refiner": LocalizationConfig},
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
        if "architecture" in file.config or (kind not in ("rectifier", "refiner") and not reads):
            continue
        for section, shape in _SHAPES.get(kind, {}).items():
            known = {field.name: file.config[field.name] for field in fields(shape) if field.name in file.config}
            if kind == "attention":  # these are the recogniser's
                known = {name: value for name, value in known.items() if name not in ("charset", "features")}
            given = tree.get(section, {})
            adopted[section] = {**known, **given} if isinstance(given, Mapping) else given
    return adopted


def adopt_imported(config: Config) -> Config:
    """The configuration with the network, charset and picture size of the classic recogniser that ``init`` names.

    An imported one reads crops as they are, with its own rectifier if it has one; one that was trained here has the
    configuration's in front of it. Any other configuration comes back as it was.

    Raises:
        FileNotFoundError, ValueError: ``init`` names no weights.
    """
    file = find_safetensors(config.init).get("recognizer") if config.init else None
    if file is None or config.recognizer is None or file.config.get("architecture") != ARCHITECTURE:
        return config
    adopted = _described(config, file.config)
    if "preparation" not in file.config:
        return replace(adopted, sampling=pick_config(Sampling, file.config))
    prepare = Preparation.from_config(file.config["preparation"])
    sampling = Sampling(prepare.height, 1.0, prepare.height, prepare.height, WIDEST)
    if not prepare.whole_heights:
        sampling = Sampling(prepare.height, 1.0, 1, prepare.width, prepare.width)
    # Its frames were never aligned to letters.
    losses = replace(config.losses, alignment=0.0)
    return replace(adopted, sampling=sampling, losses=losses, rectify=False)


def with_classic(config: Config) -> Config:
    """The configuration with ``imported`` saying what its ``classic`` network is; one without such, or with imported
    weights instead, comes back as it was.

    Raises:
        ValueError: see ``describe``.
    """
    if config.recognizer is None or config.classic is None or config.imported:
        return config
    return _described(config, describe(config.classic, config.recognizer.charset, config.sampling))


def describe(shape: ClassicShape, charset: str, sampling: Sampling) -> dict[str, Any]:
    """What the weights of a classic recogniser of this project say of themselves.

    Raises:
        ValueError: no encoder or head of that name, or an encoder with too few channels.
    """
    count = len(charset)
    # Beside the characters: the blank; start and end of a word; its end (the start is an embedding of its own).
    heads: dict[str, tuple[int, dict[str, int]]] = {
        "ctc": (count + 1, {}),
        "lstm": (count + 2, {"first": 2, "end": 1}),
        "gru": (count + 1, {"first": 0, "end": count}),
    }
    for key, known in (("encoder", ENCODERS), ("head", heads)):
        if getattr(shape, key) not in known:
            raise ValueError(f"classic.{key}: {getattr(shape, key)!r} is none of {', '.join(known)}")
    if shape.encoder == "aster" and shape.channels < ASTER_LEAST:
        raise ValueError(f"classic.channels: the encoder aster needs {ASTER_LEAST} or more, got {shape.channels}")
    classes, letters = heads[shape.head]
    return {
        "format": 1,
        "kind": "recognizer",
        "architecture": ARCHITECTURE,
        "charset": charset,
        **asdict(shape),
        "classes": classes,
        "width": sampling.min_width,
        "letters": letters,
        **asdict(sampling),
    }


def _described(config: Config, description: dict[str, Any]) -> Config:
    """The configuration for a classic recogniser, which has one head; with attention no frames to align to letters."""
    assert config.recognizer is not None
    losses = replace(config.losses, alignment=0.0) if description["letters"] else config.losses
    recognizer = replace(config.recognizer, charset=description["charset"])
    return replace(config, imported=description, recognizer=recognizer, attention=None, losses=losses)
