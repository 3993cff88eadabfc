"""The engine seam: a network that takes an array and gives an array, whatever runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from rectify.weights_io import WeightFile, read_weight_file

if TYPE_CHECKING:
    from torch import Tensor, nn

Config = TypeVar("Config")
Array = NDArray[np.uint8] | NDArray[np.float32] | NDArray[np.int64]


class Engine(Protocol):
    """A loaded network."""

    config: Mapping[str, Any]
    """What the weight file says of itself."""

    def __call__(self, *batches: Array) -> NDArray[np.float32]:
        """uint8 (N, H, W, 3) RGB, what another network gave, or texts, to the network's output (N, ...).

        Args:
            batches: one for each input of the network, which is one for most.
        """

    def outputs(self, *batches: Array) -> list[NDArray[np.float32]]:
        """Everything that the network gives, its output first."""


def load_engine(
    weights: WeightFile | str | Path, threads: int = 1, build: Callable[[Mapping[str, Any]], nn.Module] | None = None
) -> Engine:
    """Loads a network from a weight file: ONNX Runtime for ONNX, torch for safetensors.

    Args:
        threads: of ONNX Runtime. Torch's are a setting of the whole process, which is left alone.
        build: makes the torch network that the configuration describes; called for safetensors only.

    Raises:
        FileNotFoundError, ValueError: no such file, or not one of this project's; no thread.
        ModuleNotFoundError: safetensors without torch installed.
    """
    if threads < 1:
        raise ValueError(f"threads is at least 1, got {threads}")
    if not isinstance(weights, WeightFile):
        weights = read_weight_file(weights)
    if weights.onnx:
        return OnnxEngine(weights, threads)
    if build is None:
        raise ValueError(f"{weights.path}: only ONNX can be loaded here; `rectify-ocr export` makes it")
    return TorchEngine(weights, build(weights.config))


class OnnxEngine:
    """A network run by ONNX Runtime on the CPU."""

    def __init__(self, weights: WeightFile, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Waiting threads that spin halve the speed of a busy machine, for networks as small as these.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(weights.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no base of their own
            raise ValueError(f"{weights.path}: ONNX Runtime cannot load it: {str(error).splitlines()[0]}") from error
        self._inputs = [given.name for given in self._session.get_inputs()]
        self.config: Mapping[str, Any] = weights.config

    def __call__(self, *batches: Array) -> NDArray[np.float32]:
        """See ``Engine``."""
        return self.outputs(*batches)[0]

    def outputs(self, *batches: Array) -> list[NDArray[np.float32]]:
        """See ``Engine``."""
        given = dict(zip(self._inputs, batches, strict=True))
        return [np.asarray(output) for output in self._session.run(None, given)]


class TorchEngine:
    """A network run by torch on the CPU, for weights that are still in training."""

    def __init__(self, weights: WeightFile, network: nn.Module) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            network.load_state_dict(load_file(weights.path))
        except (RuntimeError, SafetensorError) as error:
            raise ValueError(f"{weights.path}: {str(error).splitlines()[-1].strip()}") from error
        self._network = network.float().eval()
        self.config: Mapping[str, Any] = weights.config

    def __call__(self, *batches: Array) -> NDArray[np.float32]:
        """See ``Engine``."""
        return self.outputs(*batches)[0]

    def outputs(self, *batches: Array) -> list[NDArray[np.float32]]:
        """See ``Engine``."""
        import torch

        # Torch takes no negative strides, and warns of arrays that cannot be written to.
        given, *more = (torch.from_numpy(np.require(batch, requirements=["C", "W"])) for batch in batches)
        with torch.inference_mode():
            given = given.permute(0, 3, 1, 2) if given.ndim == 4 else given
            return [np.asarray(output) for output in outputs_of(self._network, given, *more)]


def outputs_of(network: nn.Module, *batches: Tensor) -> Sequence[Tensor]:
    """Everything that a torch network gives, its output first: those with more than one have a method ``outputs``."""
    return network.outputs(*batches) if hasattr(network, "outputs") else [network(*batches)]


def pick_config(cls: type[Config], config: Mapping[str, Any]) -> Config:
    """A network's configuration dataclass from what its weight file says, which also holds other things."""
    values = {field.name: config[field.name] for field in fields(cls) if field.name in config}  # type: ignore[arg-type]
    return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
