"""The networks of a run joined by the sampler, and the losses of a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data.loader import Batch
from recognizer import attention
from recognizer.attention_network import AttentionHead
from recognizer.charset import Charset
from recognizer.ctc import Decoded
from recognizer.network import RecognitionNetwork
from recognizer.networks import build_network
from recognizer.recognizer import make_decoder
from rectify.conventions import canonical_points, to_pixels
from rectify.engine import outputs_of
from rectify.network import build_localization, locate
from rectify.sampler import sample, tps_grid
from rectify.shape import sample_width, text_shape
from train.adopt import with_classic
from train.config import Config
from train.distributed import divided
from train.losses import (
    alignment_loss,
    alignment_targets,
    ctc_loss,
    geometry_loss,
    letter_loss,
    outline_loss,
    padded,
    reach_penalty,
    two_way_letters,
    two_way_loss,
)


class System(nn.Module):
    """Localization network and recogniser, trained as one; either may be absent."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        config = with_classic(config)
        if config.refiner:
            first = config.localization
            config = replace(config, refiner=replace(config.refiner, rows=first.rows, cols=first.cols))
        self.config = config
        self.inherited: dict[str, dict[str, Any]] = {}
        """What descriptions hold of the weights that these started from, by kind of network."""
        self.localization = build_localization(config.localization) if config.rectify else None
        self.refiner = build_localization(config.refiner) if config.rectify and config.refiner else None
        self.recognition: nn.Module | None = None
        if config.recognizer:
            self.recognition = (
                build_network(config.imported) if config.imported else RecognitionNetwork(config.recognizer)
            )
        self.attention: AttentionHead | None = None
        if config.recognizer and config.attention:
            charset, features = config.recognizer.charset, 2 * config.recognizer.hidden
            self.attention = AttentionHead(replace(config.attention, charset=charset, features=features))
        self.charset = Charset(config.recognizer.charset) if config.recognizer else None
        self.to(memory_format=torch.channels_last)

    def control_points(self, batch: Batch, rows: slice = slice(None)) -> list[Tensor]:
        """(N, K, 2) normalised, of each network for them; the crop's own rectangle without any.

        Args:
            rows: the samples to look at.
        """
        if self.localization is not None:
            return locate(self.localization, self.refiner, batch.thumbnails[rows], batch.views[rows])
        identity = canonical_points(self.config.localization.rows, self.config.localization.cols)
        return [torch.tensor(identity).float().to(batch.pixels.device).expand(len(batch.labels[rows]), -1, -1)]

    def forward(self, batch: Batch, progress: float, rng: np.random.Generator) -> dict[str, Tensor]:
        """Weighted losses by name, to be added up.

        Args:
            progress: 0..1 of the run.
            rng: for the width jitter.
        """
        weights = self.config.losses
        looks = divided(lambda rows: self.control_points(batch, rows), len(batch))
        points = looks[-1]
        losses = {}
        if self.localization is not None:
            rows, cols = self.config.localization.rows, self.config.localization.cols
            true, outlines = batch.control_points, batch.outlines
            errors = [geometry_loss(found, true, cols, weights.end_weight) for found in looks]
            losses["geometry"] = weights.geometry * torch.stack(errors).mean()
            if weights.quad:
                off = [outline_loss(found, outlines, rows, cols) for found in looks]
                losses["quad"] = weights.quad * torch.stack(off).mean()
            losses["reach"] = weights.reach * torch.stack([reach_penalty(found) for found in looks]).mean()
        if self.recognition is not None:
            with_alignment = weights.alignment > 0 and progress < weights.alignment_share
            losses |= self._reading_losses(batch, points, with_alignment, rng)
        return losses

    def _reading_losses(
        self, batch: Batch, points: Tensor, with_alignment: bool, rng: np.random.Generator
    ) -> dict[str, Tensor]:
        assert self.recognition is not None and self.charset is not None
        classes = [self.charset.encode(label) for label in batch.labels]
        jitter = np.exp(rng.normal(0, self.config.width_jitter, len(batch)))
        widths = self.widths(points, batch.sizes) * jitter
        losses: dict[str, Tensor] = {}
        for group in self._groups(widths):
            words = [classes[index] for index in group]
            extents = [batch.characters[index] for index in group] if with_alignment else None
            width = self._group_width(widths[group], max(map(len, words)))

            def pictures(rows: slice, group: np.ndarray = group, width: int = width) -> Tensor:
                return self.sample(batch, points, group[rows].tolist(), width)

            share = len(group) / len(batch)
            for name, loss in self._text_losses(pictures, words, extents).items():
                losses[name] = losses.get(name, 0) + share * getattr(self.config.losses, name) * loss
        return losses

    def _text_losses(
        self,
        pictures: Callable[[slice], Tensor],
        words: list[list[int]],
        extents: Sequence[np.ndarray | None] | None,
    ) -> dict[str, Tensor]:
        """Losses of the recogniser's heads for some words.

        Args:
            pictures: gives the rectified crops of a slice of the words.
            extents: of each word's letters, None without the alignment loss.
        """
        letters = self.config.imported.get("letters")
        if letters:
            return {"ctc": self._imported_letter_loss(pictures, words, letters)}
        recognition, head = self.recognition, self.attention
        assert recognition is not None
        given = two_way_letters(words, attention.END)

        def scores(rows: slice) -> list[Tensor]:
            logits, *features = outputs_of(recognition, pictures(rows))
            return [logits, head(features[0], given[rows].to(logits.device))] if head else [logits]

        logits, *letter_logits = (rows.float() for rows in divided(scores, len(words)))
        losses = {"ctc": ctc_loss(logits, words)}
        if letter_logits:
            losses["attention"] = two_way_loss(letter_logits[0], words, attention.END)
        if extents is not None:
            frames = logits.shape[1]
            targets = [alignment_targets(*pair, frames) for pair in zip(words, extents, strict=True)]
            losses["alignment"] = alignment_loss(logits, torch.from_numpy(np.stack(targets)))
        return losses

    def _imported_letter_loss(
        self, pictures: Callable[[slice], Tensor], words: list[list[int]], letters: Mapping[str, int]
    ) -> Tensor:
        recognition = self.recognition
        assert recognition is not None
        shifted = [[letter - 1 + letters["first"] for letter in word] for word in words]
        given = padded(shifted, letters["end"]).to(next(recognition.parameters()).device)
        (logits,) = divided(lambda rows: [recognition(pictures(rows), given[rows])], len(words))
        return letter_loss(logits.float(), shifted, letters["end"])

    def read(self, pictures: Tensor) -> dict[str, Decoded]:
        """Character indices and confidence of rectified crops of one width, by each head's most probable path."""
        assert self.recognition is not None and self.charset is not None
        logits, *features = outputs_of(self.recognition, pictures)
        decode = make_decoder("greedy", self.config.imported, len(self.charset))
        read = {"word": decode(logits.cpu().numpy())}
        if self.attention is not None:
            read["attention"] = attention.both_ways(self.attention(features[0]).cpu().numpy(), len(self.charset))
        return read

    def widths(self, points: Tensor, sizes: Tensor) -> np.ndarray:
        """Width in pixels (N,) at which each word is sampled."""
        config, sampling = self.config.localization, asdict(self.config.sampling)
        found = points.detach().double().cpu().numpy()
        pixels = np.stack([to_pixels(one, size) for one, size in zip(found, sizes.tolist(), strict=True)])
        lengths, heights = text_shape(pixels, config.rows, config.cols)
        return np.array([sample_width(a, b, sampling) for a, b in zip(lengths, heights, strict=True)], np.float64)

    def _groups(self, widths: np.ndarray) -> list[np.ndarray]:
        """Indices of the words by rising width, in parts of the configured shares."""
        ends = np.cumsum(self.config.groups)[:-1] / sum(self.config.groups) * len(widths)
        parts = np.split(np.argsort(widths, kind="stable"), np.rint(ends).astype(int))
        return [part for part in parts if len(part)]

    def _group_width(self, widths: np.ndarray, longest: int) -> int:
        """One width for a group: its median, with at least two frames for each letter of the longest word and one."""
        sampling = self.config.sampling
        least = max(sampling.min_width, 4 * (2 * longest + 1))
        wanted = sampling.width_multiple * round(float(np.median(widths)) / sampling.width_multiple)
        enough = sampling.width_multiple * -(-least // sampling.width_multiple)
        return min(sampling.max_width, max(wanted, enough))

    def check_processes(self, count: int) -> None:
        """Refuse more processes than the smallest group of a batch has words.

        Raises:
            ValueError: the message says what to change.
        """
        size = self.config.batch_size
        smallest = min(map(len, self._groups(np.zeros(size)))) if self.recognition else size
        if smallest < count:
            raise ValueError(
                f"batch_size {self.config.batch_size} leaves {smallest} words in the smallest of groups "
                f"{self.config.groups}, too few for {count} processes: raise it to {count} times its share"
            )

    def sample(self, batch: Batch, points: Tensor, indices: list[int], width: int) -> Tensor:
        """Rectified crops (len(indices), 3, height, width) in 0..255."""
        config = self.config.localization
        crops, sizes = batch.crops(indices)
        grid = tps_grid(points[indices], config.rows, config.cols, self.config.sampling.height, width)
        # Normalised in the crop → normalised on the canvas, whose top left corner the crop fills.
        scale = (sizes / torch.tensor(crops.shape[:1:-1])).to(crops.device)
        return sample(crops, (grid + 1) * scale[:, None, None, :] - 1).contiguous(memory_format=torch.channels_last)

    def parts(self) -> dict[str, nn.Module]:
        """The networks that are there, by the names they have on disk."""
        known = {
            "rectifier": self.localization,
            "refiner": self.refiner,
            "recognizer": self.recognition,
            "attention": self.attention,
        }
        return {name: network for name, network in known.items() if network is not None}

    def description(self, part: str) -> dict[str, Any]:
        """What the weights of a part say of themselves."""
        return {**self._shape(part), **self.inherited.get(part, {})}

    def _shape(self, part: str) -> dict[str, Any]:
        if part == "rectifier":
            return {"format": 1, "kind": part, **asdict(self.config.localization)}
        if self.config.refiner is not None and part == "refiner":
            return {"format": 1, "kind": part, **asdict(self.config.refiner)}
        if self.attention is not None and part == "attention":
            return {"format": 1, "kind": part, **asdict(self.attention.config)}
        assert self.config.recognizer is not None
        if self.config.imported:
            return dict(self.config.imported)
        return {"format": 1, "kind": part, **asdict(self.config.recognizer), **asdict(self.config.sampling)}
