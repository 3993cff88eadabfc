"""The training configuration: YAML and key=value pairs into frozen dataclasses, unknown keys refused."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from data.loader import Source
from recognizer.attention_network import AttentionConfig
from recognizer.charset import read_charset
from recognizer.classic.config import ClassicShape
from recognizer.network import RecognizerConfig
from rectify.network import LocalizationConfig
from rectify.text_files import read_utf8


@dataclass(frozen=True)
class Sampling:
    """At which width a word is sampled for the recogniser; travels with its weights (see ``shape.sample_width``)."""

    height: int = 32
    """Pixels; the encoder is made for 32."""
    stretch: float = 1.2
    """Widening of every word: narrow letters need two frames each."""
    width_multiple: int = 16
    min_width: int = 64
    max_width: int = 512


@dataclass(frozen=True)
class Losses:
    """Weights of the losses; with 0 one teaches nothing, and quad and alignment are not computed."""

    geometry: float = 1.0
    """Smooth-L1 on control points, where the truth is known."""
    end_weight: float = 2.0
    """Of the first and last column of control points against the rest."""
    quad: float = 0.5
    """Smooth-L1 on the text outline of photographed words with an annotated quadrilateral (``quads.jsonl``)."""
    reach: float = 1.0
    """On control points far outside of the crop."""
    alignment: float = 1.0
    """Frame by frame, where the letters' extents are known."""
    alignment_share: float = 0.2
    """Part of the training that the alignment loss takes part in; it makes the CTC start."""
    ctc: float = 1.0
    attention: float = 1.0
    """Letter by letter, in both directions, where there is an attention head."""


@dataclass(frozen=True)
class Config:
    """A training run."""

    steps: int
    """Optimiser steps."""
    out: str
    """Folder of the run: checkpoint, metrics, pictures."""
    sources: Mapping[str, Source]
    """By name, so that ``sources.NAME.paths=DIR`` on the command line reaches each."""
    validation: Mapping[str, Source] = field(default_factory=dict)
    """Further sets to evaluate on, whole; never test sets."""
    seed: int = 1
    batch_size: int = 128
    groups: tuple[float, ...] = (0.5, 0.35, 0.15)
    """Shares of a batch, from its narrow words to its wide ones, that the recogniser reads at a width of their own.
    Few large groups are faster, many small ones closer to the widths of reading."""
    workers: int = 1
    """Processes that prepare batches."""
    threads: int = 2
    """Of torch on this machine; processes of torchrun share them."""
    device: str = ""
    """Where the networks compute: ``cpu``, or ``cuda`` for a GPU. Empty takes a GPU where there is one. Only on the CPU
    does a resumed run give bit for bit what an uninterrupted one gives."""
    precision: str = "float32"
    """Of the recogniser's arithmetic: ``float32``, or ``bf16`` for less time where the processor has it. Weights, the
    localization network, the spline and the losses stay in float32."""
    init: str = ""
    """Weights to start from: a run, an exported folder, or ``shipped``. Networks it lacks start fresh, and so do
    characters that are new in the charset. Shapes that are not set here are those of the weights."""
    localization: LocalizationConfig = field(default_factory=LocalizationConfig)
    refiner: LocalizationConfig | None = None
    """A second localization network that looks at what the first one rectified, of the first one's control points.
    Without weights of its own in ``init`` it starts with the features of the first one, and as the identity."""
    recognizer: RecognizerConfig | None = field(default_factory=RecognizerConfig)
    """None trains the localization network alone."""
    attention: AttentionConfig | None = None
    """A second head on the recogniser's encoder; its charset and features are the recogniser's."""
    classic: ClassicShape | None = None
    """A recogniser of the field in the light one's place, of whose settings only ``recognizer.charset`` counts then."""
    imported: Mapping[str, Any] = field(default_factory=dict)
    """What imported weights say of themselves, when ``init`` names such; the recogniser is theirs then."""
    rectify: bool = True
    """False trains the recogniser on the crops as they are."""
    sampling: Sampling = field(default_factory=Sampling)
    losses: Losses = field(default_factory=Losses)
    learning_rate: float = 1e-3
    """Highest rate of AdamW; cosine to a hundredth of it after the warm-up."""
    localization_rate: float = 0.3
    """Rate of the localization network, relative: the recogniser's gradient must not throw it off (ASTER, MORAN)."""
    carried_rate: float = 1.0
    """Rate of the parameters that ``init`` brought, relative to those that start fresh. The layers after which a
    class is chosen count as fresh when the charset has new characters."""
    frozen: tuple[str, ...] = ()
    """Parts that do not learn at all, such as ``rectifier`` or ``recognizer.encoder.convolutions``."""
    warmup_steps: int = 200
    weight_decay: float = 0.01
    gradient_norm: float = 5.0
    """Longer gradients are cut to this."""
    width_jitter: float = 0.12
    """Standard deviation of the log of the sampled width in training."""
    ema: float = 0.999
    """Decay of the averaged weights, which are what is evaluated and exported."""
    evaluate_every: int = 1000
    """Steps between evaluations on held-out samples; 0 evaluates at the end alone."""
    evaluate_most: int = 1000
    """Held-out samples of each source that an evaluation reads."""
    checkpoint_minutes: float = 5.0


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key."""


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """``load_tree`` as a configuration.

    Raises:
        ConfigError: unknown key (with the nearest known one), wrong type, missing key.
        FileNotFoundError: no such file.
    """
    return config_from(load_tree(path, overrides))


def load_tree(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a YAML file and apply ``key=value`` pairs, dotted for nested keys, values in YAML.

    ``recognizer.charset.file=PATH`` stands for the characters in a text file, which need no quoting there.

    Raises:
        ConfigError: a pair that is none; keys below a value.
        FileNotFoundError: no such file.
    """
    tree = _yaml(read_utf8(path), str(path)) or {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: holds no settings of the form KEY: VALUE")
    for pair in overrides:
        key, separator, value = pair.partition("=")
        if not separator:
            raise ConfigError(f"{pair!r} is not KEY=VALUE")
        _set(tree, key.split("."), _yaml(value, pair))
    recognizer = tree.get("recognizer")
    charset = recognizer.get("charset") if isinstance(recognizer, Mapping) else None
    if isinstance(charset, Mapping) and charset.keys() == {"file"}:
        tree["recognizer"]["charset"] = read_charset(str(charset["file"]))
    return tree


def config_from(tree: Mapping[str, Any]) -> Config:
    """A configuration from nested mappings, as YAML and JSON give them."""
    config: Config = _build(Config, tree, "")
    for name, (right, wanted) in _RANGES.items():
        if not right(getattr(config, name)):
            raise ConfigError(f"{name}: expected {wanted}, got {getattr(config, name)!r}")
    _check_finite(as_tree(config), "")
    for name, source in config.sources.items():
        if source.share < 0:
            raise ConfigError(f"sources.{name}.share: expected 0 or more, got {source.share}")
        if source.hold_out < 0 or (source.hold_out == 1 and source.share):
            raise ConfigError(
                f"sources.{name}.hold_out: expected 0 or from 2 on, or 1 with a share of 0, got {source.hold_out}"
            )
        if len(source.space) != 2 or min(source.space) < 0:
            raise ConfigError(f"sources.{name}.space: expected two shares of 0 or more, got {list(source.space)}")
    return config


_RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "steps": (lambda value: value >= 1, "1 or more"),
    "batch_size": (lambda value: value >= 1, "1 or more"),
    "seed": (lambda value: value >= 0, "0 or more"),
    "workers": (lambda value: value >= 0, "0 or more"),
    "threads": (lambda value: value >= 1, "1 or more"),
    "groups": (lambda value: bool(value) and min(value) > 0, "shares above 0"),
    "ema": (lambda value: 0 <= value < 1, "0 or more and below 1"),
    "learning_rate": (lambda value: value > 0, "more than 0"),
    "localization_rate": (lambda value: value >= 0, "0 or more"),
    "carried_rate": (lambda value: value >= 0, "0 or more"),
    "gradient_norm": (lambda value: value > 0, "more than 0"),
    "weight_decay": (lambda value: value >= 0, "0 or more"),
    "width_jitter": (lambda value: value >= 0, "0 or more"),
    "warmup_steps": (lambda value: value >= 0, "0 or more"),
    "evaluate_every": (lambda value: value >= 0, "0 or more"),
    "evaluate_most": (lambda value: value >= 1, "1 or more"),
    "checkpoint_minutes": (lambda value: value >= 0, "0 or more"),
}
"""What values of some settings must be like."""


def _check_finite(value: Any, place: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{place}: expected a finite number, got {value}")
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in items:
        _check_finite(item, _join(place, key))


def as_tree(config: Any) -> dict[str, Any]:
    """Nested plain values that ``config_from`` takes back; what is saved beside a run."""
    return dataclasses.asdict(config)


def _yaml(text: str, name: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or error
        raise ConfigError(f"{name}: not YAML ({problem}); quote what has signs of its own there") from None


def _set(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        if keys[-2:] == ["charset", "file"] and key == "charset":
            tree[key] = {}  # a file takes the place of characters
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{'.'.join(keys)}: {key} holds a value, not keys")
    tree[keys[-1]] = value


def _build(kind: Any, value: Any, place: str) -> Any:
    """``value`` as ``kind``, which is a dataclass, a mapping of them, a tuple, a union with None, or plain."""
    if kind is Any:
        return value
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _build(typing.get_args(kind)[0], value, place)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, place)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{place}: expected names with settings below them, got {value!r}")
        return {name: _build(typing.get_args(kind)[1], item, f"{place}.{name}") for name, item in value.items()}
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_build(typing.get_args(kind)[0], item, place) for item in items)
    return _plain(kind, value, place)


def _dataclass(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{place}: expected settings, got {value!r}")
    hints = typing.get_type_hints(kind)
    for key in value:
        if key not in hints:
            raise ConfigError(f"unknown key {_join(place, key)}{nearest(str(key), hints)}")
    required = [f.name for f in dataclasses.fields(kind) if _is_required(f) and f.name not in value]
    if required:
        raise ConfigError(f"missing: {', '.join(_join(place, name) for name in required)}")
    return kind(**{key: _build(hints[key], item, _join(place, key)) for key, item in value.items()})


def nearest(name: str, known: Collection[str]) -> str:
    """The end of a message on an unknown name: what was meant, or what there is."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"


def _plain(kind: Any, value: Any, place: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, str):  # YAML 1.1 reads 1e-3 as a text.
        try:
            return float(value)
        except ValueError:
            pass
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        scalar = kind is str and not isinstance(value, list | Mapping)
        quoted = f"; put it in quotes, as in '{place}=\"...\"'" if scalar else ""
        raise ConfigError(f"{place}: expected {kind.__name__}, got {value!r}{quoted}")
    return value


def _is_required(entry: dataclasses.Field[Any]) -> bool:
    return entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING


def _join(place: str, key: object) -> str:
    return f"{place}.{key}" if place else str(key)
