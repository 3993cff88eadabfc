"""Growth of time and memory with the number of crops: one LMDB of small pictures, streamed through Pipeline.

Each size runs in a process of its own. The pictures repeat, so that the LMDB is quick to write; each is stored anew.
They are read by the CTC head alone: most are too small to be sure of, and would be looked at five times.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import common
import cv2

from data.reader import LmdbReader


def build(folder: Path, count: int, source: str) -> None:
    """An LMDB of ``count`` pictures of 24 x 16, the first hundred of the source over and over."""
    from data.writer import LmdbWriter

    small = [cv2.resize(image, (24, 16), interpolation=cv2.INTER_AREA) for image in common.crops([source], 100)]
    encoded = [cv2.imencode(".jpg", image[:, :, ::-1])[1].tobytes() for image in small]
    with LmdbWriter(folder) as writer:
        for index in range(count):
            writer.add(encoded[index % len(encoded)], "word")


def stream(folder: Path, count: int, threads: int) -> None:
    """Prints CPU seconds, wall seconds and the peak of the memory in MB of reading the first ``count`` crops."""
    from recognizer import Pipeline

    cv2.setNumThreads(1)
    reader, pipeline = LmdbReader(folder), Pipeline(decoder="ctc", threads=threads)
    cpu, wall = time.process_time(), time.perf_counter()
    read = sum(1 for _ in pipeline.stream(reader.image_bytes(index) for index in range(count)))
    assert read == count
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(time.process_time() - cpu, time.perf_counter() - wall, peak)


def main() -> None:
    parser = common.parser(__doc__, "python benchmarks/growth.py words.lmdb grown.lmdb --long --json growth.json")
    parser.add_argument("source", metavar="LMDB", help="whose first pictures are repeated")
    parser.add_argument("grown", type=Path, metavar="OUT", help="the LMDB to write; one that exists is used again")
    parser.add_argument("--long", action="store_true", help="up to 1,000,000 crops; without it up to 10,000")
    parser.add_argument("--threads", type=int, default=1, help="of each network (default %(default)s)")
    parser.add_argument("--one", type=int, help=argparse_hidden())
    arguments = parser.parse_args()
    if arguments.one:
        stream(arguments.grown, arguments.one, arguments.threads)
        return
    sizes = [1_000, 10_000, 100_000, 1_000_000] if arguments.long else [1_000, 3_000, 10_000]
    if not arguments.grown.exists():
        build(arguments.grown, sizes[-1], arguments.source)
    held = len(LmdbReader(arguments.grown))
    if held < sizes[-1]:
        parser.error(f"{arguments.grown} holds {held:,} crops, it takes {sizes[-1]:,}; remove it or name another")
    per_crop, peaks = {}, {}
    for size in sizes:
        command = [sys.executable, __file__, arguments.source, str(arguments.grown), "--one", str(size)]
        command += ["--threads", str(arguments.threads)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        cpu, _, peak = map(float, done.stdout.split())
        per_crop[f"{size:,} crops"], peaks[size] = [1e3 * cpu / size], round(peak)
    common.report(arguments, "growth", "ms CPU a crop", per_crop, peak_megabytes=peaks)


def argparse_hidden() -> str:
    import argparse

    return argparse.SUPPRESS


if __name__ == "__main__":
    main()
