"""Decoding attention heads: the letters up to the end, and how certain they are."""

from __future__ import annotations

import numpy as np
import pytest

from recognizer.attention import both_ways, greedy, read_with_maps
from recognizer.attention_picture import draw_attention


def logits(*classes: int, count: int = 6, certainty: float = 0.9) -> np.ndarray:
    """Steps (1, T, count) whose best classes are these, each with the same probability."""
    steps = np.full((1, len(classes), count), (1 - certainty) / (count - 1))
    steps[0, np.arange(len(classes)), classes] = certainty
    return np.log(steps)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ((2, 4, 1, 3), [1, 3]),
        ((1, 2, 2), []),
        ((2, 2, 2), [1, 1, 1]),
        ((2, 0, 3, 1), [1, 2]),
        ((5, 1, 1), [4]),
    ],
)
def test_letters_up_to_the_end(classes: tuple[int, ...], expected: list[int]) -> None:
    ((letters, confidence),) = greedy(logits(*classes), first=2, end=1, characters=4)
    assert letters == expected
    assert confidence == pytest.approx(0.9)


def test_special_classes_after_the_characters_are_left_out() -> None:
    ((letters, _),) = greedy(logits(0, 4, 1, 3, 2), first=0, end=3, characters=3)
    assert letters == [1, 2]


def test_confidence_counts_the_end_but_nothing_after_it() -> None:
    steps = np.concatenate([logits(2, certainty=0.8), logits(1, certainty=0.5), logits(4, certainty=0.3)], axis=1)
    ((letters, confidence),) = greedy(steps, first=2, end=1, characters=4)
    assert letters == [1]
    assert confidence == pytest.approx((0.8 * 0.5) ** 0.5)


def test_each_sample_for_itself() -> None:
    both = np.concatenate([logits(2, 1), logits(3, 4)])
    assert [letters for letters, _ in greedy(both, first=2, end=1, characters=4)] == [[1], [2, 3]]


def test_the_more_certain_direction_is_read() -> None:
    from_left, from_right = logits(2, 1, 0, certainty=0.8), logits(1, 3, 0, certainty=0.9)
    ((letters, confidence),) = both_ways(np.stack([from_left, from_right], axis=1), characters=5)
    assert letters == [3, 1]
    assert confidence == pytest.approx(0.9)
    ((letters, _),) = both_ways(np.stack([from_right, from_left], axis=1), characters=5)
    assert letters == [1, 3]


def test_maps_follow_the_letters_of_the_better_direction() -> None:
    from_left, from_right = logits(2, 1, 0, certainty=0.8), logits(1, 3, 0, certainty=0.9)
    maps = np.arange(2 * 3)[None, :, None].repeat(4, axis=2).reshape(1, 2, 3, 4)
    (((letters, _), looked),) = read_with_maps(np.stack([from_left, from_right], axis=1), maps, characters=5)
    assert letters == [3, 1]
    np.testing.assert_array_equal(looked[:, 0], [4, 3])


def test_the_picture_glows_where_a_letter_was_looked_for() -> None:
    word = np.full((32, 64, 3), 128, np.uint8)
    maps = np.eye(16)[[2, 13]]
    picture = draw_attention(word, maps, "ab")
    assert picture.shape == (2 * 130, 4 * 64 + 40, 3)
    red = picture[..., 0].astype(int) - picture[..., 2]
    first, second = red[64, 40:], red[130 + 64, 40:]
    assert abs(first.argmax() - 40) <= 8 and abs(second.argmax() - 216) <= 8
    assert draw_attention(word, maps[:0], "").shape == (130, 4 * 64 + 40, 3)
