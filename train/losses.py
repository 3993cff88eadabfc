"""What the networks are taught: control points, characters frame by frame, and texts (CTC)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from rectify.conventions import TEXT_EXTENT
from rectify.tps import outline_basis

IGNORE = -100
"""Frame target of words without known alignment; cross-entropy leaves it out."""
LETTER_CORE = 0.6
"""The middle part of a letter that its frames are to show; between two cores lies the blank."""
HEIGHTS = (1.5, 0.5)
"""Heights that a normalised unit of x and of y is long in a crop of the usual shape, so that a pixel along the word
counts as much as one across it."""
NEAR = 0.02
"""Heights about which a distance counts fully; what is nearer counts by its square."""
REACH = 1.2
"""Control points beyond this get a penalty of their own: the border gives them no other gradient."""


def geometry_loss(predicted: Tensor, true: Tensor, cols: int, end_weight: float) -> Tensor:
    """Distances between control points (N, K, 2), in heights of a crop three times as wide as high, squared below
    ``NEAR``; mean over the samples whose truth is known (not NaN).

    Args:
        end_weight: of the first and last column against the rest; a letter cut off costs more than a bent one.
    """
    distances = ((predicted - true.nan_to_num()) * predicted.new_tensor(HEIGHTS)).square().sum(2)
    errors = (distances + NEAR**2).sqrt() - NEAR
    weights = errors.new_tensor([end_weight, *[1.0] * (cols - 2), end_weight])
    weights = weights / weights.mean()
    return _mean_of_known((errors.unflatten(1, (-1, cols)) * weights).mean((1, 2)), true)


def outline_loss(predicted: Tensor, true: Tensor, rows: int, cols: int) -> Tensor:
    """Smooth-L1 between the text outlines of control points (N, K, 2) and known ones (N, 2·samples, 2), mean over the
    samples that have one (not NaN).

    A quadrilateral says nothing of a bend between its corners, nor do annotators agree on the last pixels: it is a
    weaker truth than control points are.
    """
    basis = torch.from_numpy(outline_basis(rows, cols, true.shape[1] // 2).astype(np.float32)).to(predicted.device)
    errors = F.smooth_l1_loss(basis @ predicted.float(), true.nan_to_num(), beta=0.05, reduction="none")
    return _mean_of_known(errors.mean((1, 2)), true)


def _mean_of_known(errors: Tensor, true: Tensor) -> Tensor:
    """Mean of the errors (N,) of the samples whose truth (N, points, 2) is no NaN; 0 of none."""
    known = ~torch.isnan(true[:, 0, 0])
    return (errors * known).sum() / known.sum().clamp(min=1)


def reach_penalty(predicted: Tensor) -> Tensor:
    """Mean squared distance of control points (N, K, 2) beyond ±``REACH``."""
    return F.relu(predicted.abs() - REACH).square().mean()


def alignment_targets(classes: Sequence[int], extents: NDArray[np.floating] | None, frames: int) -> NDArray[np.int64]:
    """The class that each frame of a rectified word is to show.

    A frame within the core of a letter shows it, others the blank; each letter has at least one frame, and doubled
    letters have a blank between them.

    Args:
        classes: of the letters.
        extents: (letters, 2) of each letter in flat coordinates.
        frames: T, evenly over the canonical frame.

    Returns:
        (frames,) classes, 0 is the blank; all ``IGNORE`` where the extents are unknown or the frames do not suffice.
    """
    unknown = np.full(frames, IGNORE, np.int64)
    if extents is None:
        return unknown
    centers = ((2 * np.arange(frames) + 1) / frames - 1) / TEXT_EXTENT[0]
    targets = np.zeros(frames, np.int64)
    previous_end, previous_class = 0, -1
    for letter, (left, right) in zip(classes, extents, strict=True):
        middle, half = (left + right) / 2, LETTER_CORE * (right - left) / 2
        first, last = np.searchsorted(centers, [middle - half, middle + half])
        if first == last:
            first = min(frames - 1, max(0, int(np.abs(centers - middle).argmin())))
        first = max(int(first), previous_end + (letter == previous_class))
        last = max(int(last), first + 1)
        if last > frames:
            return unknown
        targets[first:last] = letter
        previous_end, previous_class = last, letter
    return targets


def alignment_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of frames: logits (N, T, C), targets (N, T) with ``IGNORE`` for unknown ones.

    The mean runs over all N words, so that words of unknown alignment do not raise the weight of the rest.
    """
    losses = F.cross_entropy(logits.transpose(1, 2), targets.to(logits.device), ignore_index=IGNORE, reduction="none")
    return losses.mean()


def letter_loss(logits: Tensor, classes: Sequence[Sequence[int]], end: int) -> Tensor:
    """Cross-entropy of the letters of each word and the end after them, mean over both.

    Args:
        logits: (N, L + 1, C) of a head with attention, L the letters of the longest word.
        classes: the letters of each word.
        end: class that ends a word.
    """
    targets = padded([[*word, end] for word in classes], IGNORE).to(logits.device)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE)


def two_way_loss(logits: Tensor, classes: Sequence[Sequence[int]], end: int) -> Tensor:
    """``letter_loss`` of a head that reads words from the left and from the right, mean of both.

    Args:
        logits: (N, 2, L + 1, C) for the letters of ``two_way_letters``.
    """
    ways = enumerate(_two_ways(classes))
    return torch.stack([letter_loss(logits[:, side], way, end) for side, way in ways]).mean()


def two_way_letters(classes: Sequence[Sequence[int]], end: int) -> Tensor:
    """Words (N, 2, L) from the left and from the right, filled up with ``end``."""
    return torch.stack([padded(way, end) for way in _two_ways(classes)], dim=1)


def _two_ways(classes: Sequence[Sequence[int]]) -> tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]]:
    return classes, [word[::-1] for word in classes]


def padded(classes: Sequence[Sequence[int]], fill: int) -> Tensor:
    """Words of classes as (N, L), filled up to the longest."""
    longest = max(map(len, classes))
    return torch.tensor([[*word, *[fill] * (longest - len(word))] for word in classes])


def ctc_loss(logits: Tensor, classes: Sequence[Sequence[int]]) -> Tensor:
    """Connectionist temporal classification (Graves et al., ICML 2006), mean over words and letters.

    Args:
        logits: (N, T, C), class 0 the blank.
        classes: the letters of each word. A word longer than its frames allow counts nothing.
    """
    lengths = torch.tensor([len(word) for word in classes])
    targets = torch.tensor([letter for word in classes for letter in word], device=logits.device)
    frames = torch.full((len(classes),), logits.shape[1])
    log_probabilities = logits.float().log_softmax(2).transpose(0, 1)
    return F.ctc_loss(log_probabilities, targets, frames, lengths, zero_infinity=True)
