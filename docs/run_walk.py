"""Runs the walks of a document, each in a folder of its own that is empty at first, and shows the figures they give.

    python docs/run_walk.py docs/own-data.md [--walk NAME ...] [--update | --check]

A block of commands below the line ``<!-- run: NAME ... -->`` belongs to the walks of these names. The table of a walk
stands between ``<!-- NAME figures: FILE.json ... -->`` and ``<!-- /NAME figures -->``: word accuracies by set, with a
column for each file that ``rectify-ocr eval --json`` wrote. --update writes the tables into the document; --check fails
when one that stands there differs.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from train.output import number, table, write_text
from train.tables import read_evaluation, replaced

_BLOCK = re.compile(r"^<!-- run: ([\w ]+) -->\n```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FIGURES = re.compile(r"^<!-- (\w+) figures: (.+) -->$", re.MULTILINE)

_STDERR = 2
"""What commands print is log here; the figures alone go to stdout."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 where figures differ from the document's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("document", type=Path)
    parser.add_argument("--walk", nargs="+", metavar="NAME", help="walks to run (default: all)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--update", action="store_true", help="write the figures into the document")
    what.add_argument("--check", action="store_true", help="compare the figures with the document's")
    options = parser.parse_args(argv)
    walks = walks_of(options.document.read_text(encoding="utf-8"))
    unknown = set(options.walk or ()) - walks.keys()
    if unknown:
        parser.error(f"{options.document} has no walk {', '.join(sorted(unknown))}, only {', '.join(walks)}")
    differ = False
    for name in options.walk or walks:
        script, files = walks[name]
        with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
            seconds = run(script, Path(folder))
            figures = figures_table([Path(folder) / file for file in files])
        print(f"{name}:\n\n{figures}\n\n{_remark(seconds)}\n")
        if options.update:
            region = f"{figures}\n\n{_remark(seconds)}"
            write_text(options.document, replaced(options.document, region, *markers(name, files)))
        elif options.check and f"\n{figures}\n" not in options.document.read_text(encoding="utf-8"):
            print(f"{options.document}: other figures of {name} stand there", file=sys.stderr)
            differ = True
    return int(differ)


def walks_of(text: str) -> dict[str, tuple[str, list[str]]]:
    """Script and files of figures of each walk of a document, by name."""
    walks = {}
    for name, files in _FIGURES.findall(text):
        blocks = [block for names, block in _BLOCK.findall(text) if name in names.split()]
        walks[name] = ("".join(blocks), files.split())
    return walks


def markers(name: str, files: Sequence[str]) -> tuple[str, str]:
    """The lines around a walk's table."""
    return f"<!-- {name} figures: {' '.join(files)} -->", f"<!-- /{name} figures -->"


def run(script: str, folder: Path) -> float:
    """Run commands in a folder with the programs of this Python's environment first; returns the seconds they took.

    Raises:
        subprocess.CalledProcessError: one of them failed; what follows it is not run.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    start = time.monotonic()
    command = ["bash", "-euo", "pipefail", "-c", script]
    subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, stdout=_STDERR, check=True)
    return time.monotonic() - start


def figures_table(files: Sequence[Path]) -> str:
    """Word accuracy in percent by set and file, as Markdown."""
    sets = [read_evaluation(file, protocols=("36", "letters"))["sets"] for file in files]
    names = list(dict.fromkeys(name for figures in sets for name in figures))
    rows = []
    for name in names:
        samples = next(figures[name]["samples"] for figures in sets if name in figures)
        accuracies = [figures.get(name, {}).get("word_accuracy") for figures in sets]
        rows.append([name, str(samples), *(number(accuracy, 1) for accuracy in accuracies)])
    return table(["set", "crops", *(file.stem for file in files)], rows)


def _remark(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes on {os.cpu_count()} cores, {platform.machine()}."


if __name__ == "__main__":
    sys.exit(main())
