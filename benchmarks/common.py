"""What the benchmarks share: interleaved timing, a description of the machine, and JSON, a plot and a table of results.

Import it before numpy and torch: it sets the threads that everybody gets.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads that spin would count as work

PACKAGES = [
    "numpy",
    "opencv-python-headless",
    "onnxruntime",
    "torch",
    "kornia",
    "torch-tps",
    "rapidocr",
    "easyocr",
    "tesserocr",
]


def parser(description: str | None, example: str) -> argparse.ArgumentParser:
    """An argument parser with what every benchmark takes."""
    made = argparse.ArgumentParser(
        description=description, epilog=f"example:\n  {example}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--rounds", type=int, default=5, help="interleaved measurements of each (default %(default)s)")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    made.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the medians")
    made.add_argument("--into", type=Path, metavar="FILE.md", help="put the table between this benchmark's marks there")
    return made


def machine() -> dict[str, Any]:
    """Processor, cores, memory and versions."""
    information = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*: (.*)", information)
    described: dict[str, Any] = {
        "processor": model[1] if model else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }
    if hasattr(os, "sysconf"):
        described["memory_gb"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    for package in PACKAGES:
        try:
            described[package] = version(package)
        except PackageNotFoundError:
            continue
    return described


def interleaved(
    tasks: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.process_time
) -> dict[str, list[float]]:
    """Seconds of each task in each round; each runs once before that, and the rounds go through all of them, so that a
    busy spell of the machine meets all alike."""
    for task in tasks.values():
        task()
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            start = clock()
            task()
            seconds[name].append(clock() - start)
    return seconds


def report(
    arguments: argparse.Namespace, name: str, unit: str, values: Mapping[str, Sequence[float]], **notes: Any
) -> None:
    """Print the medians and their ratio to the first entry's, and write what was asked for.

    Args:
        name: of the benchmark.
        unit: of the values; less is better.
        values: by what was measured, in each round.
        notes: further facts for the JSON.
    """
    first = next(iter(values))
    medians = {key: statistics.median(rounds) for key, rounds in values.items()}
    # Of paired rounds, not of medians: what disturbed one round disturbed both.
    ratios = {
        # What takes less than a tick of the clock has no ratio.
        key: statistics.median(a / b if b else float("nan") for a, b in zip(rounds, values[first], strict=True))
        for key, rounds in values.items()
    }
    lines = [f"| {name} | {unit} | times {first} |", "|---|---:|---:|"]
    lines += [f"| {key} | {medians[key]:.4g} | {ratios[key]:.2f} |" for key in values]
    facts = machine()
    where = f"{facts['processor']}, {facts['cores']} cores, load {facts['load']}; {len(values[first])} rounds"
    table = "\n".join(lines) + "\n\n" + where + "".join(f"; {k} {v}" for k, v in notes.items()) + "."
    print(table)
    result = {"benchmark": name, "unit": unit, "medians": medians, "ratios": ratios, "rounds": dict(values)}
    if arguments.json:
        arguments.json.write_text(json.dumps({**result, "notes": notes, "machine": facts}, indent=2) + "\n")
    if arguments.into:
        insert(arguments.into, name, table)
    if arguments.plot:
        plot(arguments.plot, name, unit, medians)


def insert(file: Path, name: str, text: str) -> None:
    """Replace what stands between ``<!-- NAME -->`` and ``<!-- end -->`` in a Markdown file.

    Raises:
        ValueError: the marks are not there.
    """
    before, mark, rest = file.read_text(encoding="utf-8").partition(f"<!-- {name} -->")
    _, end, after = rest.partition("<!-- end -->")
    if not (mark and end):
        raise ValueError(f"{file}: no marks <!-- {name} --> and <!-- end -->")
    file.write_text(f"{before}{mark}\n{text}\n{end}{after}", encoding="utf-8")


def plot(file: Path, name: str, unit: str, medians: Mapping[str, float]) -> None:
    """Bars of the medians, saved as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 0.5 * len(medians) + 1.2), layout="constrained")
    bars = axes.barh(list(medians), list(medians.values()))
    axes.bar_label(bars, fmt="%.3g", padding=3)
    axes.margins(x=0.12)
    axes.invert_yaxis()
    axes.set(xlabel=unit, title=name)
    figure.savefig(file, dpi=120)


def crops(folders: Sequence[str | Path], count: int) -> list[Any]:
    """``count`` decoded crops (H, W, 3) uint8 of each LMDB, spread over it."""
    from data.reader import LmdbReader
    from rectify.images import read_image
    from train.crops import spread

    readers = map(LmdbReader, folders)
    return [read_image(reader.image_bytes(place)) for reader in readers for place in spread(len(reader), count)]
