"""The networks that read: which of them weights hold, and how torch builds them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recognizer.language import LanguageModel
from rectify.engine import load_engine, pick_config
from rectify.weights_io import WeightFile, companions, read_weight_file, select_weights

if TYPE_CHECKING:
    from torch import nn


def build_attention(config: Mapping[str, Any]) -> nn.Module:
    """The torch network of an attention head that a weight file describes, without its weights."""
    from recognizer.attention_network import AttentionConfig, AttentionHead

    return AttentionHead(pick_config(AttentionConfig, config))


def build_language(config: Mapping[str, Any]) -> nn.Module:
    """The torch network of a language that a weight file describes, without its weights."""
    from recognizer.language_network import LanguageConfig, LanguageNetwork

    return LanguageNetwork(pick_config(LanguageConfig, config))


def build_network(config: Mapping[str, Any]) -> nn.Module:
    """The torch network that a weight file describes, without its weights."""
    if config.get("architecture") == "classic":
        from recognizer.classic.config import ClassicConfig
        from recognizer.classic.network import ClassicNetwork

        return ClassicNetwork(pick_config(ClassicConfig, config))
    from recognizer.network import RecognitionNetwork, RecognizerConfig

    return RecognitionNetwork(pick_config(RecognizerConfig, config))


def load_language(weights: str | os.PathLike[str] | None = None) -> LanguageModel:
    """The language model that a ``Recognizer`` with these weights uses.

    Raises:
        FileNotFoundError, ValueError: there is none.
    """
    file = select_weights(weights, "recognizer", __file__)
    return open_language(find_language(file, companions(weights, file)), file)


def open_language(found: WeightFile | None, file: WeightFile, threads: int = 1) -> LanguageModel:
    """The language model of what ``find_language`` found for a recogniser's file."""
    if found is None:
        raise ValueError(f"{file.path}: no language network for these characters; `python -m train.language` makes one")
    return LanguageModel(load_engine(found, threads, build_language))


def find_language(file: WeightFile, beside: Mapping[str, WeightFile]) -> WeightFile | None:
    """The language network for a recogniser: one beside it, or the shipped one if it is for the same characters;
    none for imported weights, which read as in their own project, nor for classic ones that have no CTC head."""
    if "preparation" in file.config or file.config.get("letters"):
        return None
    shipped = Path(__file__).parent / "weights" / "language.onnx"
    found = beside.get("language") or (read_weight_file(shipped) if shipped.is_file() else None)
    return found if found and found.config["charset"] == file.config["charset"] else None


def find_spelling(beside: Mapping[str, WeightFile]) -> WeightFile | None:
    """What can be asked about given texts: in torch the attention head itself, in ONNX a graph of its own."""
    head = beside.get("attention")
    return beside.get("spelling") if head is None or head.onnx else head
