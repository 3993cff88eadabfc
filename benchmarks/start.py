"""CPU time and peak memory of reading one picture with the command, from the start of Python to its end."""

from __future__ import annotations

import os
import subprocess
import sys

import common

MEASURE = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
    "used = resource.getrusage(resource.RUSAGE_CHILDREN); print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)"
)


def main() -> None:
    parser = common.parser(__doc__, "python benchmarks/start.py examples/station.png")
    parser.add_argument("image", metavar="IMAGE")
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "rectify.cli", arguments.image]
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    seconds, megabytes = [], []
    for _ in range(arguments.rounds):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, *command], env=environment, capture_output=True, text=True, check=True
        )
        cpu, peak = map(float, done.stdout.split())
        seconds.append(cpu)
        megabytes.append(peak)
    common.report(arguments, "start", "s CPU", {"rectify-ocr IMAGE": seconds}, peak_megabytes=round(max(megabytes)))


if __name__ == "__main__":
    main()
