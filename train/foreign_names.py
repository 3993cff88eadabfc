"""The names that tensors have in other projects' checkpoints, and here."""

from __future__ import annotations

import re

BUFFERS = re.compile(
    r"Transformation\.GridGenerator\.(inv_delta_C|P_hat)"
    r"|tps\.(inverse_kernel|padding_matrix|target_coordinate_repr|target_control_points)"
)
"""Constants that are saved beside the weights; they depend on the size of the pictures and nothing else."""

_RESNET_STAGE = {1: 1, 2: 2, 3: 5}
"""Blocks of a stage, which its own convolution follows."""

_BLOCK = {"conv1": "body.0", "bn1": "body.1", "conv2": "body.3", "bn2": "body.4", "downsample": "shortcut"}

_LAYERS = {"conv0_1": "0.0", "bn0_1": "0.1", "conv0_2": "0.3", "bn0_2": "0.4"}
_LAYERS |= {f"conv{stage}": f"{stage}.{blocks}" for stage, blocks in _RESNET_STAGE.items()}
_LAYERS |= {f"bn{stage}": f"{stage}.{blocks + 1}" for stage, blocks in _RESNET_STAGE.items()}
_LAYERS |= {"conv4_1": "4.3", "bn4_1": "4.4", "conv4_2": "4.6", "bn4_2": "4.7"}
"""Layers of ResNet outside of its blocks, in the order they come in."""

_GATED = {"wgf_u": "gate_input", "wgr_x": "gate_state", "wf_u": "input", "wr_x": "state", "BN_x_init": "norm"}
_GATED_STEP = {"BN_gfu": "gate_input", "BN_grx": "gate_state", "BN_fu": "input", "BN_rx": "state", "BN_Gx": "gated"}
_LSTM_HEAD = {
    "attention_cell.i2h": "key",
    "attention_cell.h2h": "query",
    "attention_cell.score": "score",
    "attention_cell.rnn": "cell",
    "generator": "output",
}
_GRU_HEAD = {
    "attention_unit.sEmbed": "query",
    "attention_unit.xEmbed": "key",
    "attention_unit.wEmbed": "score",
    "tgt_embedding": "embedding",
    "gru": "cell",
    "fc": "output",
}


def rename(name: str, source: str) -> str:
    """The name here of a tensor called ``name`` there; a name that is nobody's stays as it is.

    Args:
        source: ``dtrb``, which EasyOCR's generation 2 took over, or ``aster``.
    """
    layer, _, value = name.rpartition(".")
    for pattern, replacement in _RULES[source]:
        match = pattern.fullmatch(layer)
        if match:
            layer = replacement(match)
            break
    if source == "aster" and layer == "head.cell":
        value = value.removesuffix("_l0")  # a recurrent layer of one step is a cell
    return f"{layer}.{value}"


_RULES = {
    "dtrb": [
        (re.compile(r"Transformation\.LocalizationNetwork\.conv\.(\d+)"), lambda m: f"transformation.features.{m[1]}"),
        (re.compile(r"Transformation\.LocalizationNetwork\.localization_fc1\.0"), lambda m: "transformation.hidden"),
        (re.compile(r"Transformation\.LocalizationNetwork\.localization_fc2"), lambda m: "transformation.points"),
        (re.compile(r"FeatureExtraction\.ConvNet\.(\d+)"), lambda m: f"encoder.{m[1]}"),
        (
            re.compile(rf"FeatureExtraction\.ConvNet\.(\d+)\.({'|'.join(_GATED)})"),
            lambda m: f"encoder.{m[1]}.{_GATED[m[2]]}",
        ),
        (
            re.compile(rf"FeatureExtraction\.ConvNet\.(\d+)\.GRCL\.(\d)\.({'|'.join(_GATED_STEP)})"),
            lambda m: f"encoder.{m[1]}.steps.{m[2]}.{_GATED_STEP[m[3]]}",
        ),
        (
            re.compile(rf"FeatureExtraction\.ConvNet\.({'|'.join(_LAYERS)})"),
            lambda m: f"encoder.{_LAYERS[m[1]]}",
        ),
        (
            re.compile(rf"FeatureExtraction\.ConvNet\.layer(\d)\.(\d+)\.({'|'.join(_BLOCK)})((?:\.\d)?)"),
            lambda m: f"encoder.{m[1]}.{m[2]}.{_BLOCK[m[3]]}{m[4]}",
        ),
        (re.compile(r"SequenceModeling\.(\d)\.rnn"), lambda m: f"sequence.{m[1]}.lstm"),
        (re.compile(r"SequenceModeling\.(\d)\.linear"), lambda m: f"sequence.{m[1]}.linear"),
        (re.compile(r"Prediction"), lambda m: "head"),
        (re.compile(rf"Prediction\.({'|'.join(_LSTM_HEAD)})"), lambda m: f"head.{_LSTM_HEAD[m[1]]}"),
    ],
    "aster": [
        # Six convolutions of three layers each, a pool after each but the last.
        (
            re.compile(r"stn_head\.stn_convnet\.(\d+)\.(\d)"),
            lambda m: f"transformation.features.{2 * int(m[1]) + int(m[2])}",
        ),
        (re.compile(r"stn_head\.stn_fc1\.(\d)"), lambda m: f"transformation.hidden.{m[1]}"),
        (re.compile(r"stn_head\.stn_fc2"), lambda m: "transformation.points"),
        (re.compile(r"encoder\.layer0\.(\d)"), lambda m: f"encoder.0.{m[1]}"),
        (
            re.compile(rf"encoder\.layer(\d)\.(\d+)\.({'|'.join(_BLOCK)})((?:\.\d)?)"),
            lambda m: f"encoder.{m[1]}.{m[2]}.{_BLOCK[m[3]]}{m[4]}",
        ),
        (re.compile(r"encoder\.rnn"), lambda m: "sequence.lstm"),
        (re.compile(rf"decoder\.decoder\.({'|'.join(_GRU_HEAD)})"), lambda m: f"head.{_GRU_HEAD[m[1]]}"),
    ],
}
