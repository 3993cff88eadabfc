"""``rectify-ocr collection``: reads large collections on one machine or many, with Ray Data, into Parquet."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.collection import errors, plan, remaining, run
from rectify.arguments import positive

EXAMPLES = """examples:
  rectify-ocr collection words.lmdb crops/ --out read                        on this machine, all its processors
  rectify-ocr collection /shared/words.lmdb --out /shared/read --address auto    on the Ray cluster of this machine
  rectify-ocr collection words.lmdb --out read                               again: reads what is still missing

Each part-NNNNNN.parquet holds path, text, confidence, rectified, control_points (x, y in pixels of the source), width
and height. An input that cannot be read is named on standard error and in part-NNNNNN.errors.tsv, and the exit code is
1. On several machines inputs and output lie on a file system that all of them see, under the same path.
"""


def main(argv: Sequence[str]) -> int:
    """Run the command; 0 all inputs were read, 1 some were not."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    options: dict[str, Any] = {"rectify": not arguments.no_rectify}
    if arguments.weights:
        options["weights"] = str(arguments.weights.absolute())
    try:
        shards = plan(arguments.inputs, arguments.shard)
        missing = remaining(shards, arguments.out, {"shard": arguments.shard, **options})
    except (ValueError, OSError) as error:
        parser.error(str(error))
    if missing:
        _read(arguments, missing, options)
    bad = 0
    for shard in shards:
        if (file := errors(arguments.out, shard)).is_file():
            lines = file.read_text(encoding="utf-8", errors="surrogateescape").rstrip("\n").split("\n")
            bad += len(lines)
            for line in lines:
                print("rectify-ocr: " + line.replace("\t", ": ", 1), file=sys.stderr)
    total = sum(map(len, shards))
    print(f"{total - bad} read, {bad} bad, in {len(shards)} parts ({len(shards) - len(missing)} were there)")
    return int(bad > 0)


def _read(arguments: argparse.Namespace, missing: Sequence[Any], options: dict[str, Any]) -> None:
    import ray
    from tqdm import tqdm

    ray.init(address=arguments.address, log_to_driver=False, logging_level="error")
    try:
        workers = min(arguments.workers or int(ray.cluster_resources().get("CPU", 1)), len(missing))
        with tqdm(total=sum(map(len, missing)), unit="crop", disable=None) as bar:
            for done in run(missing, arguments.out, options, workers):
                bar.update(done["read"] + done["bad"])
    finally:
        ray.shutdown()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rectify-ocr collection",
        description="Read every crop of LMDB sets and folders of pictures once, with Ray Data, into Parquet files.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("inputs", nargs="+", metavar="IN", help="LMDB folder, or folder of pictures")
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the Parquet files; a run in it goes on")
    add("--address", metavar="A", help="Ray cluster to use, 'auto' for this machine's; without it one is started here")
    add("--workers", type=positive, metavar="N", help="processes, one CPU each (default: all CPUs of the cluster)")
    add("--shard", type=positive, default=2000, metavar="N", help="inputs of a Parquet file (default %(default)s)")
    add("--weights", type=Path, metavar="FILE", help="weight file or folder (default: the shipped weights)")
    add("--no-rectify", action="store_true", help="read the crops as they are")
    return parser
