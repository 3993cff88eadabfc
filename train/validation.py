"""Figures and a picture of held-out samples while a run trains."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from data.loader import Batch, SampleSet, View, collate
from rectify.conventions import to_pixels
from rectify.overlay import draw_overlay
from rectify.shape import resize
from train.config import Config
from train.metrics import LETTERS, WordAccuracy, normalize
from train.system import System

BATCH = 64
PICTURES = 16
EPE_SIZE = (192, 64)
"""(width, height) of the crop whose pixels end-point errors are given in."""


@dataclass
class _Tally:
    """What is counted over a set."""

    accuracies: dict[str, WordAccuracy] = field(default_factory=lambda: defaultdict(WordAccuracy))
    errors: list[float] = field(default_factory=list)

    def figures(self, name: str) -> dict[str, float]:
        figures = {f"{name}/{head}_accuracy": accuracy.summary() for head, accuracy in self.accuracies.items()}
        if self.errors:
            figures[f"{name}/end_point_error"] = float(np.mean(self.errors))
        return figures


class Validation:
    """Evaluates on the held-out samples of the sources and on the validation sources of a configuration."""

    def __init__(self, config: Config) -> None:
        self.config = config
        kept = {name: SampleSet(source, held_out=True) for name, source in config.sources.items() if source.hold_out}
        whole = {
            name: SampleSet(replace(source, hold_out=1), held_out=True) for name, source in config.validation.items()
        }
        self.sets = {name: data for name, data in (kept | whole).items() if len(data)}
        self.view = View.of(config.localization, config.recognizer, config.rectify, config.refiner)

    @torch.no_grad()
    def evaluate(self, system: System, out: Path, step: int) -> dict[str, float]:
        """Word accuracy (letters and digits in lower case, percent) and end-point error (pixels at 64 × 192) by set.

        Also writes ``out/rectified-STEP.jpg``: crops with their points beside what the recogniser gets.
        """
        system.eval()
        figures: dict[str, float] = {}
        pictures: list[NDArray[np.uint8]] = []
        for name, data in self.sets.items():
            tally = _Tally()
            most = min(len(data), self.config.evaluate_most)
            chosen = np.linspace(0, len(data) - 1, most).round().astype(int).tolist()
            for start in range(0, most, BATCH):
                samples = [sample for index in chosen[start : start + BATCH] if (sample := data.usable(index))]
                if not samples:
                    continue
                batch = collate(samples, self.view)
                moved = batch.on(next(system.parameters()).device)
                points = system.control_points(moved)[-1]
                texts = self._read(system, moved, points)
                self._count(tally, batch, points.cpu(), texts)
                if start == 0:
                    crops = [sample[0] for sample in samples]
                    pictures += self._pictures(system, crops, moved, points, texts["word"])
            figures |= tally.figures(name)
        if pictures:
            cv2.imwrite(str(out / f"rectified-{step:06d}.jpg"), np.concatenate(pictures)[..., ::-1])
        return figures

    def _read(self, system: System, batch: Batch, points: torch.Tensor) -> dict[str, list[str]]:
        """Greedy texts of each head; crops of one width are read together, as in every runtime."""
        texts: dict[str, list[str]] = defaultdict(lambda: [""] * len(batch))
        if system.recognition is None or system.charset is None:
            return texts
        widths = system.widths(points, batch.sizes)
        for width in np.unique(widths):
            group = np.flatnonzero(widths == width).tolist()
            for head, read in system.read(system.sample(batch, points, group, int(width))).items():
                for index, (classes, _) in zip(group, read, strict=True):
                    texts[head][index] = system.charset.decode(classes)
        return texts

    @staticmethod
    def _count(tally: _Tally, batch: Batch, points: torch.Tensor, texts: dict[str, list[str]]) -> None:
        for head, read in texts.items():
            for pair in zip(batch.labels, read, strict=True):
                label, text = (normalize(one, LETTERS) for one in pair)
                if label:
                    tally.accuracies[head].update(label, text)
        scale = torch.tensor(EPE_SIZE) / 2
        errors = ((points - batch.control_points) * scale).norm(dim=-1).mean(-1)
        tally.errors += errors[~errors.isnan()].tolist()

    def _pictures(
        self, system: System, crops: list[NDArray[np.uint8]], batch: Batch, points: torch.Tensor, texts: list[str]
    ) -> list[NDArray[np.uint8]]:
        """Rows of the overlay, the rectified crop and its text."""
        config = self.config.localization
        rows = []
        for index, crop in enumerate(crops[:PICTURES]):
            pixels = to_pixels(points[index].double().cpu().numpy(), crop.shape[1::-1])
            flat = system.sample(batch, points, [index], 192)[0].permute(1, 2, 0).clamp(0, 255).byte().cpu().numpy()
            overlay = resize(draw_overlay(crop, pixels, config.rows, config.cols), (288, 96))
            text = np.full((96, 288, 3), 255, np.uint8)
            for line, written in enumerate((batch.labels[index], texts[index])):
                cv2.putText(
                    text, written, (4, 36 + 36 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 1, cv2.LINE_AA
                )
            rows.append(np.concatenate([overlay, resize(flat, (576, 96)), text], axis=1))
        return rows
