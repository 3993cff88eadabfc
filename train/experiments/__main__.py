"""The command ``python -m train.experiments NAME --mnist DIR --out DIR [--quick]``."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rectify.arguments import positive
from train.experiments.idx import PARTS
from train.experiments.runs import RESULTS, Report, Run
from train.output import write_json, write_text

EXPERIMENTS = {
    "distorted-mnist": "classifiers with and without transformers on rotated, scaled, projected, bent digits (hours)",
    "mnist-addition": "the sum of two digits: two transformers in parallel against one",
    "localization": "where a digit is in a cluttered image, learnt from its class alone",
    "co-localization": "what a set of images has in common, learnt without any label",
    "feature-map": "transforming the input against transforming feature maps",
    "canonical-pose": "which pose a transformer turns digits to",
    "tps-bounds": "number of control points, with and without a bound on them",
    "samplers": "bilinear and trilinear sampling over scales (no digits needed)",
    "cost": "parameters, multiply-adds and time of transformers (no digits needed)",
}

WITHOUT_DIGITS = {"samplers", "cost"}

EXAMPLES = """examples:
  python -m train.experiments samplers --out runs/samplers
  python -m train.experiments distorted-mnist --mnist mnist --out runs/distorted-mnist

Each writes results.json, results.md and pictures to --out and prints its tables. One that was stopped goes on from its
finished cells when it is called again with the same --out.

"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one experiment; 0 done, 1 failed, 2 wrong usage."""
    args = _parser().parse_args(argv)
    run = Run(args.name, args.out, args.mnist, args.quick, args.jobs)
    try:
        run.out.mkdir(parents=True, exist_ok=True)
        if run.name not in WITHOUT_DIGITS:
            for part in PARTS:  # what is missing is said at once, not by a process of its own
                run.digits(part)
        module = importlib.import_module(f"train.experiments.{args.name.replace('-', '_')}")
        report: Report = module.run(run)
        write_json(run.out / RESULTS, report.figures)
        write_text(run.out / "results.md", report.markdown + "\n")
    except (ValueError, OSError) as error:
        print(f"rectify-ocr: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("rectify-ocr: stopped; the same command goes on from the finished cells", file=sys.stderr)
        return 130
    print(report.markdown)
    return 0


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<16} {text}" for name, text in EXPERIMENTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m train.experiments",
        description="Show by experiment what spatial transformers do.",
        epilog=f"experiments:\n{listed}\n\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", choices=EXPERIMENTS, help="which experiment, see below")
    parser.add_argument(
        "--mnist", type=Path, metavar="DIR", help="folder of IDX files named as MNIST's, gzipped or not"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for results and pictures")
    parser.add_argument("--quick", action="store_true", help="show in seconds that it works; the figures mean nothing")
    parser.add_argument(
        "--jobs", type=positive, default=len(os.sched_getaffinity(0)), metavar="N", help="processes (all cores)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
