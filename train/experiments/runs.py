"""What an experiment is given and what it gives; cells that are computed in parallel and kept as they finish."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from train.experiments.idx import Digits, load_digits
from train.output import progress, write_json

Figures = dict[str, Any]
"""What JSON can hold."""
Cell = TypeVar("Cell")
RESULTS = "results.json"


@dataclass(frozen=True)
class Run:
    """What the command line asks of an experiment."""

    name: str
    out: Path
    """Existing folder that all files go to."""
    mnist: Path | None = None
    quick: bool = False
    """Only show that everything works; the figures mean nothing."""
    jobs: int = 1
    """Processes that compute cells, each on one core; the figures do not depend on it."""

    def digits(self, part: str, count: int | None = None) -> Digits:
        """The first ``count`` digits of "train" or "test".

        Raises:
            ValueError: no folder was given.
        """
        if self.mnist is None:
            raise ValueError(f"{self.name} needs digits: --mnist DIR, a folder of IDX files")
        digits = load_digits(self.mnist, part)
        return Digits(digits.images[:count], digits.labels[:count])


@dataclass(frozen=True)
class Report:
    """What an experiment found."""

    figures: Figures
    """For results.json."""
    markdown: str
    """Tables, and the sentences that say how to read them."""


def finished(
    run: Run, settings: Any, cells: Mapping[str, Cell], work: Callable[[Run, Any, Cell], Figures]
) -> dict[str, Figures]:
    """The figures of all cells by name; those that results.json holds already are not computed again.

    Args:
        settings: a dataclass; results of other settings are refused.
        work: computes a cell from (run, settings, cell); a function of a module, for it goes to other processes.

    Raises:
        ValueError: results.json is of another experiment or of other settings.
    """
    path = run.out / RESULTS
    heading = {"experiment": run.name, "quick": run.quick, "settings": plain(asdict(settings))}
    done: dict[str, Figures] = _kept(path, heading)
    waiting = {name: cell for name, cell in cells.items() if name not in done}
    with progress(run.name, len(cells), unit="cell") as bar:
        bar.update(len(cells) - len(waiting))
        for name, figures in _computed(run, settings, waiting, work):
            done[name] = figures
            write_json(path, {**heading, "cells": {name: done[name] for name in cells if name in done}})
            bar.update()
    return {name: done[name] for name in cells}


def figures_of(run: Run, settings: Any, cells: Mapping[str, Figures], **others: Any) -> Figures:
    """The content of results.json once everything is known."""
    heading = {"experiment": run.name, "quick": run.quick, "settings": plain(asdict(settings))}
    return {**heading, **plain(others), "cells": dict(cells)}


def _kept(path: Path, heading: Figures) -> dict[str, Figures]:
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    for key, value in heading.items():
        if found.get(key) != value:
            raise ValueError(f"{path}: holds results of another {key}; remove it or give another --out")
    return found["cells"]


def _computed(
    run: Run, settings: Any, cells: Mapping[str, Cell], work: Callable[[Run, Any, Cell], Figures]
) -> Iterator[tuple[str, Figures]]:
    compute = partial(_named, work, run, settings)
    if run.jobs == 1 or len(cells) < 2:
        with one_thread():
            yield from map(compute, cells.items())
        return
    # Fresh processes: torch's threads do not survive a fork.
    with multiprocessing.get_context("spawn").Pool(run.jobs, torch.set_num_threads, (1,)) as pool:
        yield from pool.imap_unordered(compute, cells.items())


def _named(
    work: Callable[[Run, Any, Cell], Figures], run: Run, settings: Any, item: tuple[str, Cell]
) -> tuple[str, Figures]:
    return item[0], plain(work(run, settings, item[1]))


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums come out the same on any machine only if one thread adds them up."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def plain(value: Any) -> Any:
    """As JSON gives it back, so that settings can be compared; floats short enough to read."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return round(value, 6) if isinstance(value, float) else value
