"""Evaluation of an engine on a set, on sets held in memory and engines that read a crop's grey value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train import crops
from train.crops import Crop, Image, batches, random_rotation, rotated, set_names
from train.evaluate import Outcome, Tally, evaluate
from train.output import table

WORDS = ["Ab-1", "cd", "ef", "gh"]


class Memory:
    """Crops in memory; crop i has the grey value i. A label or an image may be an error."""

    folder = Path("memory")

    def __init__(self, labels: Sequence[str | ValueError], images: dict[int, bytes] | None = None) -> None:
        self.labels = labels
        self.images = images or {}

    def __len__(self) -> int:
        return len(self.labels)

    def label(self, index: int) -> str:
        label = self.labels[index]
        if isinstance(label, ValueError):
            raise label
        return label

    def image_bytes(self, index: int) -> bytes:
        if index in self.images:
            return self.images[index]
        return cv2.imencode(".png", np.full((8, 20 + index), index, np.uint8))[1].tobytes()

    def geometry(self, index: int) -> dict[str, Any] | None:
        return None


def reading(texts: Sequence[str]) -> Any:
    """An engine that reads a crop of grey value i as ``texts[i]``."""

    def engine(images: Sequence[Image]) -> list[tuple[str, float]]:
        return [(texts[int(image.flat[0])], 0.5) for image in images]

    return engine


def test_exact_figures() -> None:
    figures = evaluate(Memory(WORDS), reading(["AB1", "cd", "xx", "g"])).summary()
    assert (figures.samples, figures.bad, figures.word_accuracy) == (4, 0, 50.0)
    assert figures.one_minus_ned == (1 + 1 + 0 + 0.5) / 4
    assert figures.character_error_rate == (2 + 1) / 9
    assert figures.crops_per_second > 0
    assert (figures.raw_word_accuracy, figures.fixed, figures.harmed) == (None, None, None)


@pytest.mark.parametrize(("protocol", "accuracy"), [("36", 75.0), ("62", 50.0), ("94", 25.0)])
def test_protocol_decides_what_is_right(protocol: str, accuracy: float) -> None:
    tally = evaluate(Memory(["Ab-1", "cd", "e-f", "gh"]), reading(["ab1", "cd", "ef", "xx"]), protocol=protocol)
    assert tally.summary().word_accuracy == accuracy


def test_comparison_counts_fixed_and_harmed() -> None:
    seen: list[Outcome] = []
    figures = evaluate(
        Memory(WORDS),
        reading(["ab1", "xx", "ef", "xx"]),
        raw_engine=reading(["xx", "cd", "ef", "yy"]),
        watch=seen.append,
    ).summary()
    assert (figures.word_accuracy, figures.raw_word_accuracy) == (50.0, 50.0)
    assert (figures.fixed, figures.harmed) == (1, 1)
    assert [(o.number, o.fixed, o.harmed) for o in seen] == [
        (1, True, False),
        (2, False, True),
        (3, False, False),
        (4, False, False),
    ]


def test_labels_that_keep_no_character_are_left_out_without_being_decoded() -> None:
    seen: list[Outcome] = []
    reader = Memory(["ab1", "---", "ef"], images={1: b"no image"})
    figures = evaluate(reader, reading(["ab1", "", "ef"]), watch=seen.append).summary()
    assert (figures.samples, figures.bad, figures.word_accuracy) == (2, 0, 100.0)
    assert [outcome.number for outcome in seen] == [1, 3]


def test_bad_samples_are_named_and_count_as_wrong() -> None:
    seen: list[Outcome] = []
    reader = Memory(["ab1", "cd", ValueError("memory: key label-000000003 is missing"), "gh"], images={1: b"no image"})
    texts = ["ab1", "cd", "", "gh"]
    figures = evaluate(reader, reading(texts), raw_engine=reading(texts), watch=seen.append).summary()
    assert (figures.samples, figures.bad, figures.word_accuracy, figures.one_minus_ned) == (4, 2, 50.0, 0.5)
    assert (figures.raw_word_accuracy, figures.fixed, figures.harmed) == (50.0, 0, 0)
    errors = [outcome.error for outcome in seen]
    assert errors[0] is errors[3] is None
    assert str(errors[1]).startswith("memory: image-000000002: ")
    assert errors[2] == "memory: key label-000000003 is missing"


def test_a_crop_that_an_engine_fails_on_is_named_and_counts_as_wrong() -> None:
    seen: list[Outcome] = []

    def engine(images: Sequence[Image]) -> list[tuple[str, float]]:
        if any(image[0, 0, 0] == 1 for image in images):
            raise MemoryError("too much")
        return [(WORDS[int(image[0, 0, 0])], 1.0) for image in images]

    figures = evaluate(Memory(WORDS), engine, watch=seen.append).summary()
    assert (figures.samples, figures.bad, figures.word_accuracy) == (4, 1, 75.0)
    assert seen[1].error == "image-000000002: the engine failed: too much"


def test_a_set_without_samples() -> None:
    with pytest.raises(ValueError, match="memory: holds no samples"):
        evaluate(Memory([]), reading([]))


def test_a_crop_that_becomes_too_large_when_turned_is_named() -> None:
    def enlarged(image: Image, number: int) -> Image:
        return np.zeros((2, 40_000 if number == 2 else 40, 3), np.uint8)

    seen: list[Outcome] = []
    evaluate(Memory(["a", "b"]), reading(["a", "b"]), prepare=enlarged, watch=seen.append)
    assert seen[0].error is None
    assert seen[1].error == (
        "memory: image-000000002, turned: too large: 40000x2 pixels, at most 32766 a side and 50 million in all"
    )


def test_a_set_without_a_label_that_counts_is_an_error() -> None:
    with pytest.raises(ValueError, match="none of its 2 labels"):
        evaluate(Memory(["-", ""]), reading(["", ""]))


def test_an_engine_that_drops_crops_is_refused() -> None:
    with pytest.raises(ValueError, match="1 answers for 2 crops"):
        evaluate(Memory(["a", "b"]), lambda images: [("a", 1.0)])


def test_merged_sets_weigh_by_samples() -> None:
    total = Tally()
    total.merge(evaluate(Memory(["a"]), reading(["a"])))
    total.merge(evaluate(Memory(["a", "b", "c"]), reading(["x", "x", "c"])))
    figures = total.summary()
    assert (figures.samples, figures.word_accuracy, figures.one_minus_ned) == (4, 50.0, 0.5)


def test_order_is_kept_over_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crops, "BATCH_CROPS", 3)
    seen: list[Outcome] = []
    texts = [f"w{i}" for i in range(10)]
    evaluate(Memory(texts), reading(texts), watch=seen.append)
    assert [outcome.text for outcome in seen] == texts


def test_batches_are_bounded_by_count_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    def sizes(pixels: Sequence[int]) -> list[int]:
        return [len(batch) for batch in batches(Crop(1, image=np.zeros((p, 1), np.uint8)) for p in pixels)]

    monkeypatch.setattr(crops, "BATCH_CROPS", 4)
    monkeypatch.setattr(crops, "BATCH_BYTES", 100)
    assert sizes([1] * 9) == [4, 4, 1]
    assert sizes([60, 40, 1, 500, 1]) == [2, 1, 1, 1]
    assert sizes([]) == []


def test_no_rotation_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (7, 20, 3), np.uint8)
    assert np.array_equal(rotated(image, 0), image)


@pytest.mark.parametrize("quarters", [-1, 1, 2])
def test_right_angles_are_exact(quarters: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (7, 20, 3), np.uint8)
    assert np.array_equal(rotated(image, 90 * quarters), np.rot90(image, quarters))


@given(st.floats(-180, 180), st.integers(2, 60), st.integers(2, 60))
def test_rotation_cuts_nothing_and_replicates_the_border(degrees: float, width: int, height: int) -> None:
    image = np.full((height, width), 100, np.uint8)
    turned = rotated(image, degrees)
    assert (turned == 100).all()
    angle = np.radians(degrees)
    needed = np.abs([width * np.cos(angle), height * np.sin(angle)]).sum()
    assert needed - 1e-5 <= turned.shape[1] < needed + 1


def test_rotation_depends_on_seed_and_number_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 60, 3), np.uint8)
    turn = random_rotation(90, seed=0)
    later = turn(image, 2)
    first = turn(image, 1)
    again = random_rotation(90, seed=0)
    assert np.array_equal(again(image, 1), first)
    assert np.array_equal(again(image, 2), later)
    assert first.shape != later.shape
    assert random_rotation(90, seed=1)(image, 1).shape != first.shape


def test_prepared_crops_reach_the_engine() -> None:
    shapes: list[tuple[int, ...]] = []

    def engine(images: Sequence[Image]) -> list[tuple[str, float]]:
        shapes.extend(image.shape for image in images)
        return [("a", 1.0)] * len(images)

    evaluate(Memory(["a", "b"]), engine, prepare=lambda image, number: np.repeat(image, number, axis=0))
    assert shapes == [(8, 20, 3), (16, 21, 3)]


def test_sets_are_named_by_their_folder_and_told_apart_by_parents() -> None:
    root = Path("/data")
    assert set_names([root / "SVT", root / "IC15"]) == {"SVT": root / "SVT", "IC15": root / "IC15"}
    assert list(set_names([root / "a/SVT", root / "b/SVT/", root / "IC15"])) == ["a/SVT", "b/SVT", "IC15"]
    assert list(set_names([root / "x/t/SVT", root / "y/t/SVT"])) == ["x/t/SVT", "y/t/SVT"]
    assert list(set_names([root / "SVT", root / "a/../SVT"])) == ["SVT"]


def test_table_is_aligned_markdown() -> None:
    assert table(["set", "a"], [["IIIT5K", "1"], ["x", "22.5"]]) == "\n".join(
        [
            "| set    |    a |",
            "| ------ | ---: |",
            "| IIIT5K |    1 |",
            "| x      | 22.5 |",
        ]
    )
