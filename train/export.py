"""Exports trained networks: ONNX with its description, checked against torch, and half-precision weights."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recognizer.language import END
from recognizer.networks import build_attention, build_language
from recognizer.networks import build_network as build_recognizer
from recognizer.preparation import Preparation
from rectify.engine import OnnxEngine, outputs_of, pick_config
from rectify.network import LocalizationConfig, build_localization
from rectify.orientation_network import OrientationNetwork
from rectify.weights_io import METADATA_KEY, WeightFile, read_weight_file
from train.export_attention import attention_graph
from train.half_storage import store_in_half
from train.lean_graph import make_lean
from train.weights import SUFFIX, find_safetensors, load_tensors, save_network

TOLERANCE = 1e-4
"""Largest difference between torch and ONNX, in control points (normalised) and logits alike."""
OPSET = 18


_NAMES = {
    "rectifier": (["thumbnail"], ["control_points"]),
    "refiner": (["thumbnail"], ["control_points"]),
    "recognizer": (["image"], ["logits", "features"]),
    "attention": (["features"], ["letters", "places"]),
    "spelling": (["features", "letters"], ["scores", "places"]),
    "language": (["texts"], ["scores"]),
    "orientation": (["image"], ["logits"]),
}
"""Inputs and outputs of the graph by kind of network; of a classic recogniser's outputs there is only the first."""


class ParityError(RuntimeError):
    """The exported graph does not compute what torch does."""


class _Runtime(nn.Module):
    """The network as runtimes call it: pictures (N, H, W, 3) uint8 in, or what else it takes; all that it gives out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *given: Tensor) -> list[Tensor]:
        if given[0].ndim == 4:
            given = (given[0].permute(0, 3, 1, 2).float(),)
        return list(outputs_of(self.network, *given))


def build_network(description: Mapping[str, Any]) -> nn.Module:
    """A network without its weights, from what its weight file says."""
    if description["kind"] in ("rectifier", "refiner"):
        return build_localization(pick_config(LocalizationConfig, description))
    if description["kind"] == "orientation":
        return OrientationNetwork(tuple(description["channels"]))
    if description["kind"] in ("attention", "spelling"):
        return build_attention(description)
    if description["kind"] == "language":
        return build_language(description)
    return build_recognizer(description)


def export(source: str | Path, out: Path) -> dict[str, float]:
    """Write ``out``/KIND.onnx for each kind of network that there is (see ``weights_io.KINDS``), and their
    half-precision weights.

    The networks are rounded to half precision first, so that both files hold the same weights; imported ones are not,
    as they are to agree with their own project.

    Args:
        source: folder of a run, or weights (see ``weights.find_safetensors``).
        out: folder to make; must not exist.

    Returns:
        Largest difference between torch and ONNX by network.

    Raises:
        FileExistsError: ``out`` exists.
        ParityError: torch and ONNX differ by more than ``TOLERANCE``; nothing is written.
    """
    if out.exists():
        raise FileExistsError(f"{out} exists already; remove it or choose another folder")
    files = find_safetensors(source)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
    try:
        differences = {kind: found for file in files.values() for kind, found in _export_one(file, partial).items()}
        partial.chmod(0o755)
        os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return differences


def _export_one(file: WeightFile, folder: Path) -> dict[str, float]:
    """The differences by kind of graph: an attention head has one that reads and one that is asked about texts."""
    network = build_network(file.config)
    imported = "preparation" in file.config
    network.load_state_dict({name: value if imported else _half(value) for name, value in load_tensors(file).items()})
    network.eval()
    precision = torch.float32 if imported else torch.float16
    save_network(folder / f"{file.kind}{SUFFIX}", network, file.config, precision)
    kinds = ("attention", "spelling") if file.kind == "attention" else (file.kind,)
    return {kind: _checked_onnx(network, {**file.config, "kind": kind}, folder / f"{kind}.onnx") for kind in kinds}


def _checked_onnx(network: nn.Module, description: Mapping[str, Any], path: Path) -> float:
    write_onnx(network, description, path)
    difference = parity(network, path, description)
    # Not a number counts as a difference, too.
    if not difference <= TOLERANCE:
        raise ParityError(f"{path.name}: torch and ONNX differ by {difference:.2g}, more than {TOLERANCE:.0e}")
    return difference


def write_onnx(network: nn.Module, description: Mapping[str, Any], path: Path) -> None:
    """The network as an ONNX graph from uint8 pictures, batch (and the recogniser's width) free."""
    import onnx

    with warnings.catch_warnings():
        # The exporter's own deprecations and its remark on the LSTM's flat weights say nothing to a user.
        warnings.simplefilter("ignore")
        model = _model(network, description)
    if _any_width(description) and not description.get("letters"):
        for output in model.graph.output:  # which the exporter declares to have as many frames as its example
            output.type.tensor_type.shape.dim[1].dim_param = "frames"
    if "preparation" not in description:  # imported weights are not half-precision ones
        store_in_half(model, [value.numpy() for value in network.state_dict().values() if value.ndim > 1])
    make_lean(model)
    model.metadata_props.append(onnx.StringStringEntryProto(key=METADATA_KEY, value=json.dumps(dict(description))))
    onnx.save(model, path)


def _model(network: nn.Module, description: Mapping[str, Any]) -> Any:
    inputs, names = _NAMES[description["kind"]]
    if description["kind"] == "attention":
        return attention_graph(network, inputs[0], names, OPSET)
    runtime = _Runtime(network).eval()
    example = tuple(map(torch.from_numpy, _example(description, 2, 32)))
    with torch.inference_mode():
        outputs = len(runtime(*example))
    with _whole_lstms():
        return torch.onnx.export(
            runtime,
            example,
            input_names=inputs,
            output_names=names[:outputs],
            dynamic_shapes={"given": _free_axes(description)},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        ).model_proto


class _Forgetful(dict[Any, Any]):
    """Keeps nothing."""

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


@contextmanager
def _whole_lstms() -> Iterator[None]:
    """Inside, LSTMs stay whole. From the first one on, torch 2.14 remembers to take them apart, and the exporter would
    unroll the next one to the length of the example."""
    operator = torch.ops.aten.lstm.input
    kept = operator._dispatch_cache
    operator._dispatch_cache = _Forgetful()
    try:
        yield
    finally:
        operator._dispatch_cache = kept


def _free_axes(description: Mapping[str, Any]) -> tuple[dict[int, Any], ...]:
    """The axes of each input that may have any size."""
    batch, frames = torch.export.Dim("batch", min=1, max=1 << 16), torch.export.Dim("frames", min=4, max=1 << 14)
    letters = torch.export.Dim("letters", min=1, max=1 << 10)
    if description["kind"] == "language":
        return ({0: batch, 1: letters},)
    if description["kind"] == "spelling":
        return {0: batch, 1: frames}, {0: batch, 2: letters}
    return ({0: batch, 2: 4 * frames} if _any_width(description) else {0: batch},)


def _any_width(description: Mapping[str, Any]) -> bool:
    """Whether the network reads pictures of any width: not localization networks, nor a recogniser with one inside, nor
    one whose words are all sampled at one width."""
    if description["kind"] != "recognizer" or description.get("transformation", "none") != "none":
        return False
    return "min_width" not in description or description["min_width"] < description["max_width"]


def parity(network: nn.Module, path: Path, description: Mapping[str, Any]) -> float:
    """Largest difference between torch and the ONNX file on noise of several sizes."""
    engine = OnnxEngine(read_weight_file(path))
    differences = []
    for batch, frames in ((1, 16), (3, 32), (2, 61)):
        example = _example(description, batch, frames)
        with torch.inference_mode():
            expected = _Runtime(network)(*map(torch.from_numpy, example))
        for ours, theirs in zip(expected, engine.outputs(*example), strict=True):
            same = ours.shape == theirs.shape
            differences.append(float(np.abs(ours.numpy() - theirs).max()) if same else math.inf)
    return max(differences)


def _example(description: Mapping[str, Any], batch: int, frames: int) -> tuple[np.ndarray, ...]:
    """Noise in a size that the network takes: pictures (N, H, W, 3) uint8, features (N, T, F) float32 and letters
    (N, 2, L) int64, or texts (N, L) int64."""
    rng = np.random.default_rng(0)
    if description["kind"] in ("attention", "spelling"):
        features = rng.normal(size=(batch, frames, description["features"])).astype(np.float32)
        letters = rng.integers(0, 1 + len(description["charset"]), (batch, 2, frames // 4))
        return (features, letters) if description["kind"] == "spelling" else (features,)
    if description["kind"] == "language":
        texts = rng.integers(1, 1 + len(description["charset"]), (batch, frames // 4))
        texts[0, frames // 8 :] = END
        return (texts,)
    return (_pictures(description, batch, frames),)


def _pictures(description: Mapping[str, Any], batch: int, frames: int) -> np.ndarray:
    """Noise (N, H, W, 3) uint8 in a size that the network takes."""
    width, height = 4 * frames, 32
    if "preparation" in description:
        preparation = Preparation.from_config(description["preparation"])
        width, height = width if _any_width(description) else preparation.width, preparation.height
    elif "thumbnail" in description:
        width, height = description["thumbnail"]
    elif not _any_width(description):
        width = description["min_width"]
    return np.random.default_rng(0).integers(0, 256, (batch, height, width, 3), dtype=np.uint8)


def _half(value: Tensor) -> Tensor:
    return value.half().float() if value.is_floating_point() else value
