from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rectify.conventions import TEXT_EXTENT, canonical_points
from train.losses import (
    IGNORE,
    alignment_loss,
    alignment_targets,
    ctc_loss,
    geometry_loss,
    outline_loss,
    reach_penalty,
)

EDGE = TEXT_EXTENT[0]


def letters(*borders: float) -> np.ndarray:
    """Extents of letters that meet at these borders."""
    return np.column_stack([borders[:-1], borders[1:]])


def test_alignment_marks_the_core_of_each_letter() -> None:
    targets = alignment_targets([5, 6], letters(-1, 0, 1), 20)
    centers = ((2 * np.arange(20) + 1) / 20 - 1) / EDGE
    expected = np.where(np.abs(centers + 0.5) < 0.3, 5, np.where(np.abs(centers - 0.5) < 0.3, 6, 0))
    np.testing.assert_array_equal(targets, expected)


def test_each_letter_has_a_frame_and_doubles_have_a_blank_between() -> None:
    targets = alignment_targets([1, 2, 2, 3], letters(-1, -0.5, 0, 0.5, 1), 8)
    collapsed = [c for i, c in enumerate(targets) if c and (i == 0 or targets[i - 1] != c)]
    assert collapsed == [1, 2, 2, 3]


def test_too_few_frames_or_no_extents_are_ignored() -> None:
    assert (alignment_targets([1, 1, 1, 1], letters(-1, -0.5, 0, 0.5, 1), 4) == IGNORE).all()
    assert (alignment_targets([1], None, 4) == IGNORE).all()


def test_alignment_loss_of_certain_logits_is_zero_and_of_uniform_ones_log_classes() -> None:
    targets = torch.tensor([[0, 1, 0, 2]])
    certain = torch.nn.functional.one_hot(targets, 3) * 100.0
    assert alignment_loss(certain, targets).item() == pytest.approx(0, abs=1e-6)
    assert alignment_loss(torch.zeros(1, 4, 3), targets).item() == pytest.approx(math.log(3))


def test_ctc_loss_counts_the_paths_of_a_short_word() -> None:
    # Three frames, blank and one letter, all equally likely: of 8 paths, those that give "a" once are
    # a--, -a-, --a, aa-, -aa, aaa.
    loss = ctc_loss(torch.zeros(1, 3, 2), [[1]])
    assert loss.item() == pytest.approx(-math.log(6 / 8), abs=1e-6)


def test_a_word_longer_than_its_frames_gives_no_infinite_loss() -> None:
    assert ctc_loss(torch.zeros(1, 2, 3), [[1, 2, 1]]).item() == 0


def test_geometry_loss_knows_only_the_known_and_weighs_the_ends() -> None:
    true = torch.zeros(2, 6, 2)
    true[1] = float("nan")
    predicted = torch.zeros(2, 6, 2, requires_grad=True)
    assert geometry_loss(predicted, true, 3, 2.0).item() == 0
    at_end, in_middle = torch.zeros(2, 6, 2), torch.zeros(2, 6, 2)
    at_end[0, 0, 0] = in_middle[0, 1, 0] = 0.5
    end, middle = (geometry_loss(p, true, 3, 2.0).item() for p in (at_end, in_middle))
    assert end == pytest.approx(2 * middle)
    loss = geometry_loss(predicted + 1, true, 3, 2.0)
    loss.backward()
    assert predicted.grad is not None and not predicted.grad.isnan().any() and (predicted.grad[1] == 0).all()


def test_geometry_loss_without_any_truth_is_zero_with_a_gradient() -> None:
    predicted = torch.ones(1, 4, 2, requires_grad=True)
    loss = geometry_loss(predicted, torch.full((1, 4, 2), float("nan")), 2, 1.0)
    loss.backward()
    assert loss.item() == 0 and (predicted.grad == 0).all()


def test_outline_loss_is_of_the_text_without_its_margin() -> None:
    points = torch.tensor(canonical_points(3, 4)).float()[None].repeat(2, 1, 1).requires_grad_()
    x = np.linspace(-TEXT_EXTENT[0], TEXT_EXTENT[0], 5)
    top = np.column_stack([x, np.full(5, -TEXT_EXTENT[1])])
    true = torch.from_numpy(np.stack([np.concatenate([top, -top]), np.full((10, 2), np.nan)])).float()
    assert outline_loss(points, true, 3, 4).item() == pytest.approx(0, abs=1e-10)
    loss = outline_loss(points + torch.tensor([0.2, 0.0]), true, 3, 4)
    assert loss.item() == pytest.approx((0.2 - 0.05 / 2) / 2, rel=1e-4)
    loss.backward()
    assert points.grad is not None and points.grad[0].abs().sum() > 0 and (points.grad[1] == 0).all()
    assert outline_loss(points, true[1:].repeat(2, 1, 1), 3, 4).item() == 0


def test_reach_penalty_starts_beyond_its_bound() -> None:
    assert reach_penalty(torch.tensor([[[1.2, -1.2]]])).item() == 0
    assert reach_penalty(torch.tensor([[[1.7, 0.0]]])).item() == pytest.approx(0.125)
