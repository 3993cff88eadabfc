"""Networks in 8 bits: static quantization of their ONNX graphs, calibrated on some crops and judged on others."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.reader import LmdbReader, find_lmdbs
from recognizer import Pipeline
from rectify.images import Image, read_image
from rectify.rectifier import Rectifier
from rectify.weights_io import WeightFile, find_weights
from train.crops import spread
from train.half_storage import store_in_half
from train.lean_graph import make_lean
from train.metrics import WordAccuracy, normalize
from train.output import complain

MOST_LOST = 0.3
"""Points of word accuracy that 8 bits may cost."""

QUANTIZED = {
    "orientation": ("Conv", "Relu"),
    "rectifier": ("Conv", "Relu"),
    "refiner": ("Conv", "Relu"),
    "recognizer": ("Conv", "Relu", "Add", "MatMul", "Gemm"),
    "language": (),
}
"""Operators in 8 bits, besides LSTMs, by kind of network. A Relu becomes part of the convolution before it, whose 8
bits are then for positive results alone."""

TIMED = 128
"""Crops that are read to compare times."""


class LossError(RuntimeError):
    """The quantized networks read worse than they may."""


@dataclass(frozen=True)
class Outcome:
    """What became of the networks."""

    before: float
    after: float
    """Word accuracy (36 characters, percent) of rectifying and reading with either."""
    speedup: float
    """How many times the processor time of rectifying and reading with the new networks the old ones take."""
    judged: int
    """Crops that these figures are of."""


def quantize(
    weights: str | os.PathLike[str], out: Path, folders: Sequence[str | Path], calibrating: int, judging: int
) -> Outcome:
    """Write a folder of weights whose networks compute in 8 bits; those of the attention head are copied.

    Args:
        weights: ONNX files of this project as ``export`` writes them, see ``weights_io.find_weights``.
        out: folder to make; must not exist.
        folders: LMDBs with crops like those to be read; not the ones of a later evaluation.
        calibrating: crops that the ranges of activations are taken from.
        judging: other crops that the outcome is judged on.

    Raises:
        FileExistsError: ``out`` exists.
        ValueError: no recogniser of this project as ONNX there, a network that is in 8 bits already, or no such crops.
        LossError: it would cost more than ``MOST_LOST`` points; nothing is written.
    """
    if out.exists():
        raise FileExistsError(f"{out} exists already; remove it or choose another folder")
    files = _files(weights)
    pipeline = Pipeline(weights)
    if pipeline.recognizer.preparation is not None:
        raise ValueError(f"{files['recognizer'].path}: imported weights are not quantized")
    crops = list(_crops(folders, calibrating + judging))
    if len(crops) < 2:
        raise ValueError(f"{', '.join(map(str, folders))}: no crops to calibrate and to judge with")
    # Spread over all: the first crops of a dataset may be of one kind. Of too few crops half are to judge.
    count = max(len(crops) - calibrating, len(crops) // 2)
    judges = set(spread(len(crops), count))
    judged = [crop for index, crop in enumerate(crops) if index in judges]
    shown = _shown(pipeline, files, [image for index, (image, _) in enumerate(crops) if index not in judges])
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
    try:
        for kind, file in files.items():
            if kind in shown and not _is_quantized(file.path):
                write_quantized(file, partial / f"{kind}.onnx", shown[kind])
            else:
                shutil.copyfile(file.path, partial / f"{kind}.onnx")
        outcome = _judge(pipeline, Pipeline(partial), judged)
        if outcome.after < outcome.before - MOST_LOST:
            raise LossError(
                f"8 bits lose {outcome.before - outcome.after:.1f} points of word accuracy on {outcome.judged} crops, "
                f"more than {MOST_LOST}"
            )
        partial.chmod(0o755)
        os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return outcome


def _shown(
    pipeline: Pipeline, files: Mapping[str, WeightFile], images: Sequence[Image]
) -> dict[str, Sequence[NDArray[np.uint8]]]:
    """What the networks to be quantized are shown of crops, by their kind; that of the language sees nothing."""
    shown: dict[str, Sequence[NDArray[np.uint8]]] = {"language": ()}
    shown["recognizer"] = [reading.crop for reading in pipeline(images)]
    if "rectifier" in files:
        rectifier = Rectifier(files["rectifier"].path.parent)
        shown |= {kind: list(pictures) for kind, pictures in rectifier.shown(images).items()}
    return shown


def write_quantized(file: WeightFile, target: Path, pictures: Sequence[NDArray[np.uint8]]) -> None:
    """A network's ONNX graph with 8-bit convolutions, products and LSTMs.

    The first convolution is left alone: it costs little, and rounds the pictures themselves; and of a localization
    network the last one, whose results are places. Weights have 7 of the 8 bits, since the sum of two products of 8
    bits can overflow on processors without instructions for them (AVX2).

    Args:
        pictures: (h, w, 3) uint8 that the network is shown; the activations' ranges are taken from them. A network of
            texts needs none.
    """
    import onnx
    import onnxruntime
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from train.quantize_lstm import quantize_lstms

    onnxruntime.set_default_logger_severity(3)  # errors only: the sessions within have no option for it
    model = onnx.load(file.path)
    quant_pre_process(str(file.path), str(target), skip_symbolic_shape=True)
    if QUANTIZED[file.kind]:
        _quantize_static(file.kind, target, model.graph.input[0].name, pictures)
    quantized = onnx.load(target)
    quantize_lstms(quantized)
    if any(node.op_type == "LSTM" for node in quantized.graph.node):
        complain(f"{file.path}: an LSTM stays in floating point: it is not of the kind that is known here")
    store_in_half(quantized, [])  # what is left in floating point
    make_lean(quantized)
    onnx.helper.set_model_props(quantized, {entry.key: entry.value for entry in model.metadata_props})
    onnx.save(quantized, target)


def _quantize_static(kind: str, graph: Path, given: str, pictures: Sequence[NDArray[np.uint8]]) -> None:
    """Quantize a graph in place, with the ranges that it shows when its input of that name is these pictures."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Pictures(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter({given: picture[None]} for picture in pictures)

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            return next(self._left, None)

    convolutions = [node.name for node in onnx.load(graph).graph.node if node.op_type == "Conv"]
    left = convolutions[:1] + (convolutions[-1:] if kind in ("rectifier", "refiner") else [])
    quantize_static(
        str(graph),
        str(graph),
        Pictures(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=True,
        op_types_to_quantize=list(QUANTIZED[kind]),
        nodes_to_exclude=left,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def _files(weights: str | os.PathLike[str]) -> dict[str, WeightFile]:
    """The ONNX file of each network."""
    files = find_weights(weights)
    if "recognizer" not in files:
        raise ValueError(f"{weights}: holds no recognizer")
    for file in files.values():
        if not file.onnx:
            raise ValueError(f"{file.path}: only ONNX can be quantized; `rectify-ocr export` makes it")
    for kind in (QUANTIZED & files.keys()) - {"language"}:  # one that was shipped may stand beside a new recogniser
        if _is_quantized(files[kind].path):
            raise ValueError(f"{files[kind].path}: computes in 8 bits already")
    return files


def _is_quantized(path: Path) -> bool:
    import onnx

    return any(node.op_type in ("QuantizeLinear", "DynamicQuantizeLSTM") for node in onnx.load(path).graph.node)


def _crops(folders: Sequence[str | Path], count: int) -> Iterator[tuple[Image, str]]:
    """About so many crops with their normalised labels, spread over all datasets; none whose label keeps nothing."""
    readers = [LmdbReader(folder) for folder in find_lmdbs(list(folders))]
    places = [(reader, index) for reader in readers for index in range(len(reader))]
    for chosen in spread(len(places), count):
        reader, index = places[chosen]
        try:
            label = normalize(reader.label(index))
            image = read_image(reader.image_bytes(index), f"{reader.folder}: image-{index + 1:09d}") if label else None
        except ValueError as error:
            complain(error)
            continue
        if image is not None:
            yield image, label


def _judge(pipeline: Pipeline, quantized: Pipeline, crops: Sequence[tuple[Image, str]]) -> Outcome:
    images = [image for image, _ in crops]
    accuracies = []
    for reader in (pipeline, quantized):
        accuracy = WordAccuracy()
        for (_, label), reading in zip(crops, reader(images), strict=True):
            accuracy.update(label, normalize(reading.text))
        accuracies.append(accuracy.summary())
    before, after = (_seconds(reader, images[:TIMED]) for reader in (pipeline, quantized))
    return Outcome(accuracies[0], accuracies[1], before / after, len(crops))


def _seconds(pipeline: Pipeline, images: Sequence[Image]) -> float:
    """Least processor time of a few rounds through the crops."""

    def timed() -> float:
        start = time.process_time()
        pipeline(images)
        return time.process_time() - start

    return min(timed() for _ in range(3))
