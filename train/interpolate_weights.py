"""Interpolates between the weights of a run and those that the run started from.

    python -m train.interpolate_weights START RUN OUT [--mixing 0.5]

START and RUN are what ``init`` takes: a run, an exported folder, or ``shipped``. Networks that one of them lacks are
taken from the other. A run from trained weights often forgets some of what it is not taught; what lies between both
may know more than either, in the same time, as long as the run has not gone far from its start. The result has no
calibrated confidences (``python -m train.calibrate``), unless it is one of the two.

Source: weight-space ensembles with a mixing coefficient, Wortsman et al., Robust fine-tuning of zero-shot models, CVPR
2022, section 3.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from recognizer.recognizer import TEMPERATURE
from rectify.weights_io import METADATA_KEY
from train.weights import SUFFIX, find_safetensors, load_tensors, same_shapes, write_tensors


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("start", metavar="START")
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write; must not exist yet")
    parser.add_argument("--mixing", type=float, default=0.5, help="0 is START, 1 is RUN (default %(default)s)")
    options = parser.parse_args(argv)
    if not 0 <= options.mixing <= 1:
        parser.error(f"--mixing is from 0 to 1, got {options.mixing:g}")
    try:
        write_interpolated(options.start, options.run, options.out, options.mixing)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return 0


def write_interpolated(start: str, run: str, out: Path, mixing: float) -> None:
    """Write the networks of both, in float32, with the run's descriptions where there are any.

    Args:
        mixing: coefficient, 0 for the weights of ``start``, 1 for the run's.

    Raises:
        FileExistsError: ``out`` exists.
        FileNotFoundError, ValueError: no weights there, or networks of another shape or for other characters.
    """
    first, second = find_safetensors(start), find_safetensors(run)
    files = first | second
    networks = {kind: load_tensors(file) for kind, file in files.items()}
    descriptions = {kind: dict(file.config) for kind, file in files.items()}
    for kind in first.keys() & second.keys():
        before = load_tensors(first[kind])
        differing = _differing(first[kind].config, second[kind].config)
        if differing or not same_shapes(before, networks[kind]):
            other = f"another {', '.join(differing)}" if differing else "tensors of another shape"
            raise ValueError(f"{second[kind].path}: is no run from {first[kind].path}, it has {other}")
        networks[kind] = interpolate(before, networks[kind], mixing)
        if mixing == 0:
            descriptions[kind] = dict(first[kind].config)
        elif mixing < 1:
            descriptions[kind].pop(TEMPERATURE, None)  # calibrated for weights that these are not
    out.mkdir(parents=True)
    for kind, description in descriptions.items():
        write_tensors(out / f"{kind}{SUFFIX}", networks[kind], {METADATA_KEY: json.dumps(description)})


def _differing(start: Mapping[str, Any], run: Mapping[str, Any]) -> list[str]:
    """What two descriptions of weights differ in; calibration is none of it, nor what counts in training alone."""
    keys = dict.fromkeys([*start, *run])
    return [key for key in keys if key not in (TEMPERATURE, "dropout") and start.get(key) != run.get(key)]


def interpolate(start: Mapping[str, Tensor], run: Mapping[str, Tensor], mixing: float) -> dict[str, Tensor]:
    """Tensors between those of two networks of one shape; what is no floating point number is the run's."""
    return {
        name: start[name].lerp(value, mixing) if value.is_floating_point() else value for name, value in run.items()
    }


if __name__ == "__main__":
    sys.exit(main())
