"""Checkpoints of other projects: told by their tensors' names and shapes, and read into this project's networks."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recognizer.classic.config import ARCHITECTURE, ClassicConfig
from recognizer.classic.network import ClassicNetwork
from recognizer.preparation import Preparation
from train.foreign_names import BUFFERS, rename

PRINTABLE94 = string.digits + string.ascii_letters + string.punctuation
EASYOCR_ENGLISH = string.digits + string.punctuation + " €" + string.ascii_uppercase + string.ascii_lowercase
"""Characters of english_g2, in the order of its classes."""

_CHARSETS = {
    "dtrb": (string.digits + string.ascii_lowercase, PRINTABLE94),
    "aster": (string.digits + string.ascii_lowercase, string.digits + string.ascii_letters, PRINTABLE94),
    "easyocr": (EASYOCR_ENGLISH,),
}
"""Characters that a project's own weights can have; told apart by their number."""

_SPECIAL = {"ctc": 1, "lstm": 2, "gru": 3}
"""Classes of a head that are no characters: the blank; start and end; end, padding and unknown."""

_SCALAR = np.float64(0).__reduce__()[0]
_NUMBERS = [
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float64", "float32", "int64", "int32")),
]
"""What else than tensors is unpickled: numbers of numpy, as in aster.pytorch's note of its best accuracy."""

EASYOCR_CHANNELS = 256
"""Of generation 2's encoders; deep-text-recognition-benchmark's have 512 unless somebody changed that."""


class ForeignError(ValueError):
    """A file that is no checkpoint of a known project; the message names it and says why."""


@dataclass(frozen=True)
class Choices:
    """What a checkpoint does not say; None is the project's own value."""

    source: str | None = None
    """``dtrb``, ``aster`` or ``easyocr``."""
    charset: str | None = None
    height: int | None = None
    width: int | None = None
    """Of the pictures before rectification, pixels."""
    pad: bool = False
    """Trained on pictures that kept their proportions (``--PAD`` there)."""
    max_length: int | None = None
    """Most letters that an attention head reads."""
    align_corners: bool = False
    """Trained with aster.pytorch under a torch before 1.3."""


@dataclass(frozen=True)
class Imported:
    """A network and what its weight file is to say."""

    name: str
    """In the words of its own project, such as ``TPS-ResNet-BiLSTM-Attn``."""
    network: ClassicNetwork
    description: dict[str, Any]


def load_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that torch saved, by name, without the prefix that data-parallel training leaves.

    Nothing in the file is executed: only tensors and plain containers are unpickled.

    Raises:
        FileNotFoundError: no such file.
        ForeignError: not such a file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with torch.serialization.safe_globals(_NUMBERS):
            values = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whatever a file of any other kind makes torch's reader stumble over; its advice is unsafe
        raise ForeignError(
            f"{path}: not a checkpoint of tensors alone, nothing of it was executed; "
            "where it comes from, save model.state_dict()"
        ) from None
    for key in ("state_dict", "model", "net"):
        if isinstance(values, Mapping) and isinstance(values.get(key), Mapping):
            values = values[key]
    if not isinstance(values, Mapping) or not all(isinstance(value, Tensor) for value in values.values()):
        raise ForeignError(f"{path}: holds no table of tensors by name; save model.state_dict()")
    prefix = "module."
    stripped = {str(name).removeprefix(prefix): value for name, value in values.items()}
    if len(stripped) != len(values):
        raise ForeignError(f"{path}: has tensors both with and without the prefix {prefix!r}")
    return stripped


def import_state(
    tensors: Mapping[str, Tensor], choices: Choices = Choices(), path: Path = Path("checkpoint")
) -> Imported:
    """A network of this project with a checkpoint's weights; every tensor of it is used exactly once.

    Raises:
        ForeignError: tensors of an unknown network, or a charset that does not fit.
    """
    source = choices.source or _tell_source(tensors, path)
    try:
        config = (_aster_config if source == "aster" else _dtrb_config)(tensors, choices)
    except (KeyError, IndexError) as error:
        raise ForeignError(f"{path}: looks like a checkpoint of {source}, but {error} is missing") from None
    charset = _charset(source, config, choices, path)
    network = ClassicNetwork(config)
    _load(network, tensors, source, path)
    return Imported(_name(source, config), network.eval(), describe(source, config, charset, choices))


def describe(source: str, config: ClassicConfig, charset: str, choices: Choices) -> dict[str, Any]:
    """What the weight file says of itself."""
    preparation = _preparation(source, config, choices)
    classes = {"ctc": {}, "lstm": {"first": 2, "end": 1}, "gru": {"first": 0, "end": config.classes - 3}}[config.head]
    return {
        "format": 1,
        "kind": "recognizer",
        "architecture": ARCHITECTURE,
        "source": source,
        "charset": charset,
        **asdict(config),
        "letters": classes,
        "preparation": asdict(preparation),
    }


def _tell_source(tensors: Mapping[str, Tensor], path: Path) -> str:
    if "decoder.decoder.gru.weight_ih_l0" in tensors:
        return "aster"
    if not any(name.startswith("FeatureExtraction.") for name in tensors):
        some = ", ".join(list(tensors)[:3]) or "nothing"
        raise ForeignError(
            f"{path}: not a recogniser of deep-text-recognition-benchmark, aster.pytorch or EasyOCR generation 2; "
            f"it holds {some}"
        )
    plain = _encoder(tensors) == "vgg" and "Prediction.weight" in tensors and not _has_tps(tensors)
    small = plain and tensors["FeatureExtraction.ConvNet.18.weight"].shape[0] == EASYOCR_CHANNELS
    return "easyocr" if small else "dtrb"


def _encoder(tensors: Mapping[str, Tensor]) -> str:
    if "FeatureExtraction.ConvNet.conv0_1.weight" in tensors:
        return "resnet"
    return "rcnn" if "FeatureExtraction.ConvNet.3.wgf_u.weight" in tensors else "vgg"


def _has_tps(tensors: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("Transformation.") for name in tensors)


_LAST = {"vgg": "18.weight", "rcnn": "9.weight", "resnet": "conv4_2.weight"}
_FIRST = {"vgg": "0.weight", "rcnn": "0.weight", "resnet": "conv0_1.weight"}


def _dtrb_config(tensors: Mapping[str, Tensor], choices: Choices) -> ClassicConfig:
    encoder = _encoder(tensors)
    layers = "FeatureExtraction.ConvNet."
    sequence = "SequenceModeling.0.rnn.weight_hh_l0" in tensors
    output = tensors["Prediction.weight"] if "Prediction.weight" in tensors else tensors["Prediction.generator.weight"]
    hidden = 256
    if sequence:
        hidden = tensors["SequenceModeling.0.rnn.weight_hh_l0"].shape[1]
    elif "Prediction.attention_cell.rnn.weight_hh" in tensors:
        hidden = tensors["Prediction.attention_cell.rnn.weight_hh"].shape[1]
    size, points = (32, 100), 20
    if _has_tps(tensors):
        points = tensors["Transformation.LocalizationNetwork.localization_fc2.weight"].shape[0] // 2
        size = _rare_size(tensors) or size
    return ClassicConfig(
        encoder=encoder,
        head="ctc" if "Prediction.weight" in tensors else "lstm",
        classes=output.shape[0],
        height=choices.height or size[0],
        width=choices.width or size[1],
        input_channels=tensors[layers + _FIRST[encoder]].shape[1],
        channels=tensors[layers + _LAST[encoder]].shape[0],
        sequence=sequence,
        hidden=hidden,
        steps=1 + (choices.max_length or 25),
        transformation="rare" if _has_tps(tensors) else "none",
        points=points,
    )


def _aster_config(tensors: Mapping[str, Tensor], choices: Choices) -> ClassicConfig:
    margins, size, points = (0.05, 0.05), (32, 100), 20
    rectifies = "stn_head.stn_fc2.weight" in tensors
    if rectifies:
        points = tensors["stn_head.stn_fc2.weight"].shape[0] // 2
        canonical = tensors.get("tps.target_control_points")
        if canonical is not None:
            margins = (round(float(canonical[0, 0]), 4), round(float(canonical[0, 1]), 4))
        size = _size(tensors.get("tps.target_coordinate_repr"), slice(-2, None)) or size
    return ClassicConfig(
        encoder="aster",
        head="gru",
        classes=tensors["decoder.decoder.fc.weight"].shape[0],
        height=size[0],
        width=size[1],
        input_channels=tensors["encoder.layer0.0.weight"].shape[1],
        channels=512,
        sequence="encoder.rnn.weight_ih_l0" in tensors,
        attention=tensors["decoder.decoder.fc.weight"].shape[1],
        steps=choices.max_length or 100,
        transformation="aster" if rectifies else "none",
        points=points,
        margins=margins,
        align_corners=choices.align_corners,
    )


def _rare_size(tensors: Mapping[str, Tensor]) -> tuple[int, int] | None:
    return _size(tensors.get("Transformation.GridGenerator.P_hat"), slice(1, 3))


def _size(terms: Tensor | None, columns: slice) -> tuple[int, int] | None:
    """(height, width) of the grid whose points (x, y) are columns of a matrix (height·width, ...)."""
    if terms is None:
        return None
    x, y = (np.unique(terms[:, columns][:, axis].numpy()).size for axis in (0, 1))
    return (y, x) if x * y == len(terms) else None


def _charset(source: str, config: ClassicConfig, choices: Choices, path: Path) -> str:
    count = config.classes - _SPECIAL[config.head]
    known = (choices.charset,) if choices.charset is not None else _CHARSETS[source]
    charset = next((characters for characters in known if len(characters) == count), None)
    if charset is None:
        given = f"{len(choices.charset)} are given" if choices.charset is not None else "name them with --charset"
        raise ForeignError(f"{path}: its {config.classes} classes need {count} characters; {given}")
    return charset


def _preparation(source: str, config: ClassicConfig, choices: Choices) -> Preparation:
    grey = config.input_channels == 1
    if source == "easyocr":
        return Preparation(
            height=choices.height or 64,
            width=0,
            grey=grey,
            pad=True,
            whole_heights=True,
            presize=True,
            contrast_below=0.1,
            contrast=0.5,
        )
    if source == "aster":
        whole = (256, 64) if config.transformation == "aster" else (config.width, config.height)
        return Preparation(choices.height or whole[1], choices.width or whole[0], grey, "bilinear", choices.pad)
    return Preparation(config.height, config.width, grey, "bicubic", choices.pad)


def _load(network: ClassicNetwork, tensors: Mapping[str, Tensor], source: str, path: Path) -> None:
    wanted = network.state_dict()
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if BUFFERS.fullmatch(name):
            continue  # constants of the source's grid, which are computed here
        target = rename(name, "aster" if source == "aster" else "dtrb")
        if target not in wanted or target in found:
            raise ForeignError(f"{path}: does not know what to do with the tensor {name}")
        if value.shape != wanted[target].shape:
            shapes = f"{tuple(value.shape)}, expected {tuple(wanted[target].shape)}"
            raise ForeignError(f"{path}: the tensor {name} has the shape {shapes}")
        found[target] = value
    # Older versions of torch did not count the batches of a normalisation.
    missing = [name for name in wanted if name not in found and not name.endswith("num_batches_tracked")]
    if missing:
        raise ForeignError(f"{path}: lacks {len(missing)} tensors of the network, the first is for {missing[0]}")
    network.load_state_dict({**wanted, **found})


def _name(source: str, config: ClassicConfig) -> str:
    if source == "aster":
        return "ASTER" if config.transformation == "aster" else "ASTER without rectification"
    encoders = {"vgg": "VGG", "rcnn": "RCNN", "resnet": "ResNet"}
    parts = [
        "TPS" if config.transformation == "rare" else "None",
        encoders[config.encoder],
        "BiLSTM" if config.sequence else "None",
        "CTC" if config.head == "ctc" else "Attn",
    ]
    return ("EasyOCR generation 2, " if source == "easyocr" else "") + "-".join(parts)
