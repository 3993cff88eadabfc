"""Line plots, the same look for all experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from train.experiments.pictures import moved_into_place


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    """Name of each line to its x and y."""
    log_x: bool = False
    ticks: tuple[Sequence[float], Sequence[str]] | None = None
    """Where the x axis is marked, and with what."""


def save_plot(path: Path, panels: Sequence[Panel]) -> None:
    """Panels side by side as a PNG; written beside and moved into place."""
    figure = Figure(figsize=(4.6 * len(panels), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name, (x, y) in panel.lines.items():
            axes.plot(x, y, "o-", markersize=3.5, label=name)
        axes.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
        if panel.log_x:
            axes.set_xscale("log", base=2)
        if panel.ticks:
            axes.set_xticks(list(panel.ticks[0]), labels=list(panel.ticks[1]))
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    moved_into_place(path, lambda beside: figure.savefig(beside, format="png", dpi=110, metadata={"Software": None}))
