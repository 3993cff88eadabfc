"""Writes networks whose weights lie between those of a run and those that the run started from.

    python -m train.mean_weights START RUN OUT [--share 0.5]

START and RUN are what ``init`` takes: a run, an exported folder, or ``shipped``. Networks that one of them lacks are
taken from the other. A run from trained weights often forgets some of what it is not taught; what lies between both
may know more than either, in the same time, as long as the run has not gone far from its start.

Source: weight-space ensembles, Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022, section 3.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from rectify.weights_io import METADATA_KEY
from train.weights import SUFFIX, find_safetensors, load_tensors, same_shapes, write_tensors


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("start", metavar="START")
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write; must not exist yet")
    parser.add_argument("--share", type=float, default=0.5, help="of the run's weights, 0 to 1 (default %(default)s)")
    options = parser.parse_args(argv)
    if not 0 <= options.share <= 1:
        parser.error(f"--share is from 0 to 1, got {options.share:g}")
    try:
        write_means(options.start, options.run, options.out, options.share)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return 0


def write_means(start: str, run: str, out: Path, share: float) -> None:
    """Write the networks of both, in float32, with the run's descriptions where there are any.

    Args:
        share: of the run's weights.

    Raises:
        FileExistsError: ``out`` exists.
        FileNotFoundError, ValueError: no weights there, or networks of another shape.
    """
    first, second = find_safetensors(start), find_safetensors(run)
    files = first | second
    means = {kind: load_tensors(file) for kind, file in files.items()}
    for kind in first.keys() & second.keys():
        before = load_tensors(first[kind])
        if not same_shapes(before, means[kind]):
            raise ValueError(f"{second[kind].path}: has not the shape of {first[kind].path}")
        means[kind] = mean(before, means[kind], share)
    out.mkdir(parents=True)
    for kind, file in files.items():
        write_tensors(out / f"{kind}{SUFFIX}", means[kind], {METADATA_KEY: json.dumps(file.config)})


def mean(start: Mapping[str, Tensor], run: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Tensors between those of two networks of one shape; what is no floating point number is the run's."""
    return {name: start[name].lerp(value, share) if value.is_floating_point() else value for name, value in run.items()}


if __name__ == "__main__":
    sys.exit(main())
