from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from data.augment import Augmentation
from data.inspect import inspect_dataset
from data.loader import (
    OUTLINE,
    Batch,
    BatchDataset,
    Sample,
    SampleSet,
    Source,
    View,
    collate,
    fit,
    training_loader,
)
from data.reader import LmdbReader, find_lmdbs
from data.slots import SLOTS
from data.writer import LmdbWriter
from recognizer.charset import ASCII94
from rectify.conventions import to_normalized, to_pixels
from rectify.images import read_image
from rectify.network import LocalizationConfig

VIEW = View(5, 5, ASCII94, (96, 32))


def same(first: Batch, second: Batch) -> bool:
    return (
        torch.equal(first.thumbnails, second.thumbnails)
        and torch.equal(first.pixels, second.pixels)
        and first.labels == second.labels
        and torch.equal(first.control_points.nan_to_num(9), second.control_points.nan_to_num(9))
    )


def test_a_batch_depends_on_seed_and_step_alone(synthetic: Path) -> None:
    sources = {"photos": Source((str(synthetic),), augment=True), "rendered": Source((str(synthetic),))}
    first, second = (BatchDataset(sources, 8, VIEW, seed=1) for _ in range(2))
    assert same(first[3], second[3])
    assert not same(first[3], first[4])
    assert not same(first[3], BatchDataset(sources, 8, VIEW, seed=2)[3])


def test_workers_give_the_batches_in_order(synthetic: Path) -> None:
    dataset = BatchDataset({"words": Source((str(synthetic),))}, 4, VIEW, seed=1)
    batches = list(training_loader(dataset, 2, 6, workers=2))
    assert len(batches) == 4
    assert all(same(batch, dataset[step]) for step, batch in enumerate(batches, start=2))


def test_batches_that_are_kept_stay_as_they_were(synthetic: Path) -> None:
    """More of them than a worker has slots to hand over in."""
    dataset = BatchDataset({"words": Source((str(synthetic),))}, 4, VIEW, seed=3)
    for step, batch in enumerate(list(training_loader(dataset, 0, 2 * SLOTS, workers=1))):
        assert torch.equal(batch.pixels, dataset[step].pixels)
        assert torch.equal(batch.thumbnails, dataset[step].thumbnails)


def test_a_larger_view_only_for_a_refiner(synthetic: Path) -> None:
    never = BatchDataset({"words": Source((str(synthetic),))}, 4, replace(VIEW, thumbnail=None), seed=1)[0]
    once = BatchDataset({"words": Source((str(synthetic),))}, 4, VIEW, seed=1)[0]
    twice = BatchDataset({"words": Source((str(synthetic),))}, 4, replace(VIEW, larger=(192, 64)), seed=1)[0]
    assert once.views.shape == (4, 3, 0, 0)
    assert twice.views.shape == (4, 3, 64, 192)
    assert same(once, twice)
    assert never.thumbnails.shape == never.views.shape == (4, 3, 0, 0)
    assert same(replace(never, thumbnails=once.thumbnails), once)


def test_a_view_without_geometry_gives_the_rest_of_the_batch(synthetic: Path) -> None:
    source = {"words": Source((str(synthetic),))}
    whole, bare = (BatchDataset(source, 4, replace(VIEW, geometry=known), seed=1)[0] for known in (True, False))
    assert not whole.control_points.isnan().any() and all(extents is not None for extents in whole.characters)
    assert bare.control_points.isnan().all() and bare.characters == [None] * 4
    assert same(replace(bare, control_points=whole.control_points), whole)


def test_geometry_is_read_for_rectifying_and_for_the_alignment_loss() -> None:
    localization = LocalizationConfig()
    views = [
        View.of(localization, None, rectify, alignment=alignment)
        for rectify in (True, False)
        for alignment in (True, False)
    ]
    assert [view.geometry for view in views] == [True, True, True, False]


def test_a_batch_survives_pickling(synthetic: Path) -> None:
    batch = BatchDataset({"words": Source((str(synthetic),))}, 4, replace(VIEW, larger=(192, 64)), seed=1)[0]
    copy = pickle.loads(pickle.dumps(batch))
    assert same(copy, batch) and torch.equal(copy.views, batch.views) and torch.equal(copy.sizes, batch.sizes)
    assert all(
        isinstance(getattr(copy, name), torch.Tensor) for name, value in vars(batch).items() if torch.is_tensor(value)
    )


def test_an_epoch_shows_every_sample_once(synthetic: Path) -> None:
    dataset = BatchDataset({"words": Source((str(synthetic),))}, 8, VIEW, seed=1)
    shown = sorted(bytes(crop.numpy()) for step in range(4) for crop in _crops(dataset[step]))
    stored = sorted(
        bytes(fit(cv2.imdecode(np.frombuffer(r.image, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]))
        for r in LmdbReader(synthetic)
    )
    assert shown == stored


def _crops(batch: Batch) -> list:
    return list(torch.split(batch.pixels, (batch.sizes.prod(1) * 3).tolist()))


def test_a_letter_and_its_accent_are_one_character_however_they_were_typed(tmp_path: Path, synthetic: Path) -> None:
    with LmdbWriter(tmp_path / "typed") as writer:
        writer.add(LmdbReader(synthetic)[0].image, "Lo\u0301dz\u0301")
    batch = BatchDataset({"words": Source((str(tmp_path / "typed"),))}, 1, replace(VIEW, charset="Lódź"), seed=1)[0]
    assert batch.labels == ["Lódź"]


def test_shares_are_kept_in_every_batch(synthetic: Path) -> None:
    path = (str(synthetic),)
    sources = {
        "rendered": Source(path, share=0.7),
        "photos": Source(path, share=0.3, augment=True),
        "unused": Source((), share=0),
    }
    batch = BatchDataset(sources, 10, VIEW, seed=1)[0]
    assert int((~batch.control_points[:, 0, 0].isnan()).sum()) == 7


def test_sources_of_no_share_are_nothing_to_train_on(synthetic: Path) -> None:
    with pytest.raises(ValueError, match="every source has a share of 0"):
        BatchDataset({"unused": Source((str(synthetic),), share=0)}, 8, VIEW, seed=1)
    with pytest.raises(ValueError, match="no sources to train on"):
        BatchDataset({}, 8, VIEW, seed=1)


def test_a_share_without_a_sample_is_refused(synthetic: Path) -> None:
    path = (str(synthetic),)
    with pytest.raises(ValueError, match=r"sources.few.share gives no sample in a batch of 8"):
        BatchDataset({"many": Source(path, share=0.95), "few": Source(path, share=0.05)}, 8, VIEW, seed=1)


def test_a_set_that_is_held_out_whole_says_so(synthetic: Path) -> None:
    with pytest.raises(ValueError, match=r"no samples to train on .* besides those that hold_out=1 keeps"):
        SampleSet(Source((str(synthetic),), hold_out=1))


def test_a_mended_label_loses_its_letters_places_and_no_more(tmp_path: Path, synthetic: Path) -> None:
    record = LmdbReader(synthetic)[0]
    with LmdbWriter(tmp_path / "mended") as writer:
        writer.add(record.image, record.label + "s", {"geometry": json.dumps(record.geometry).encode()})
    batch = BatchDataset({"words": Source((str(tmp_path / "mended"),))}, 1, VIEW, seed=1)[0]
    assert batch.characters == [None] and not batch.control_points.isnan().any()
    inspection = inspect_dataset(LmdbReader(tmp_path / "mended"))
    letters = len(record.label)
    assert not inspection.bad
    assert [one.reason for one in inspection.suspicious] == [
        f"geometry-000000001 holds places of {letters} letters, the label has {letters + 1}"
    ]


def test_held_out_samples_are_never_trained_on(synthetic: Path) -> None:
    source = Source((str(synthetic),), hold_out=4)
    kept, rest = SampleSet(source, held_out=True), SampleSet(source)
    assert len(kept) == 8 and len(rest) == 24
    assert not {tuple(place) for place in kept.places} & {tuple(place) for place in rest.places}


def test_transparent_pictures_are_trained_on_as_they_are_read(tmp_path: Path) -> None:
    ink = np.zeros((20, 60, 4), np.uint8)
    ink[5:15, 10:50, 3] = 255
    data = cv2.imencode(".png", ink)[1].tobytes()
    with LmdbWriter(tmp_path / "set") as writer:
        writer.add(data, "a")
    sample = SampleSet(Source((str(tmp_path / "set"),))).usable(0)
    assert sample is not None
    np.testing.assert_array_equal(sample.image, read_image(data))


def test_canvas_repeats_the_border_of_smaller_crops() -> None:
    small, large = np.arange(12, dtype=np.uint8).reshape(2, 2, 3), np.zeros((3, 4, 3), np.uint8)
    batch = collate([Sample(small, "a"), Sample(large, "b")], VIEW)
    canvas, sizes = batch.crops([0, 1])
    assert canvas.shape == (2, 3, 3, 4) and sizes.tolist() == [[2, 2], [4, 3]]
    first = canvas[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(first[:2, :2], small)
    np.testing.assert_array_equal(first[:2, 3], small[:, 1])
    np.testing.assert_array_equal(first[2, 3], small[1, 1])


def test_unknown_characters_are_dropped_and_empty_labels_replaced(tmp_path: Path) -> None:
    image = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    with LmdbWriter(tmp_path / "labels") as writer:
        for label in ("ab c", "é", "x"):
            writer.add(image, label)
    dataset = BatchDataset({"labels": Source((str(tmp_path / "labels"),))}, 3, VIEW, seed=0)
    assert set(dataset[0].labels) == {"abc", "x"}


def test_large_crops_are_shrunk_small_ones_left(synthetic: Path) -> None:
    assert fit(np.zeros((20, 30, 3), np.uint8)).shape == (20, 30, 3)
    height, width = fit(np.zeros((640, 1920, 3), np.uint8)).shape[:2]
    assert (height, width) == (64, 192)


def test_a_folder_of_lmdbs_stands_for_all_of_them(synthetic: Path, tmp_path: Path) -> None:
    assert find_lmdbs([synthetic.parent]) == find_lmdbs([synthetic]) == [synthetic]
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        find_lmdbs([tmp_path])


def test_augmentation_leaves_torchs_generator_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 60, 3), dtype=np.uint8)
    state = torch.get_rng_state()
    (first, _), (second, _) = (Augmentation()(image, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.uint8 and torch.equal(torch.get_rng_state(), state)


def test_a_source_says_what_space_its_annotators_left(tmp_path: Path) -> None:
    corners = np.array([[20, 10], [139, 10], [139, 40], [20, 40]])
    with LmdbWriter(tmp_path / "photos") as writer:
        writer.add(cv2.imencode(".png", np.zeros((50, 160, 3), np.uint8))[1].tobytes(), "word")
    line = json.dumps({"index": 1, "size": [160, 50], "quad": corners.tolist()})
    (tmp_path / "photos" / "quads.jsonl").write_text(line + "\n")
    photos = (str(tmp_path / "photos"),)
    (outline,) = BatchDataset({"photos": Source(photos, space=(0.2, 0.25))}, 1, VIEW, seed=1)[0].outlines.numpy()
    # 30 pixels are 1.5 text heights of 20.
    expected = np.array([[24, 15], [135, 15], [135, 35], [24, 35]], float)
    np.testing.assert_allclose(to_pixels(outline, (160, 50))[[0, OUTLINE - 1, OUTLINE, -1]], expected, atol=1e-4)


def test_polygons_of_full_images_teach_where_words_lie(tmp_path: Path) -> None:
    """Those of datasets that `lmdb build` cut out; a quadrilateral beside the dataset comes first."""
    image = cv2.imencode(".png", np.zeros((50, 160, 3), np.uint8))[1].tobytes()
    corners = [[20, 10], [139, 10], [139, 40], [20, 40]]
    geometry = json.dumps({"kind": "polygon", "size": [160, 50], "outline": corners}).encode()
    with LmdbWriter(tmp_path / "photos") as writer:
        for label in ("first", "second"):
            writer.add(image, label, {"geometry": geometry})
    line = json.dumps({"index": 2, "size": [160, 50], "quad": [[0, 0], [159, 0], [159, 49], [0, 49]]})
    (tmp_path / "photos" / "quads.jsonl").write_text(line + "\n")
    batch = BatchDataset({"photos": Source((str(tmp_path / "photos"),))}, 2, VIEW, seed=1)[0]
    for label, outline in zip(batch.labels, batch.outlines.numpy(), strict=True):
        expected = corners if label == "first" else [[0, 0], [159, 0], [159, 49], [0, 49]]
        np.testing.assert_allclose(
            to_pixels(outline, (160, 50))[[0, OUTLINE - 1, OUTLINE, -1]], np.array(expected, float), atol=1e-4
        )


def test_annotated_outlines_follow_the_augmentation(tmp_path: Path) -> None:
    """A white word on black: wherever the crop is turned to, its outline is found on the white."""
    corners = np.array([[20, 10], [139, 16], [135, 40], [24, 34]])
    picture = np.zeros((50, 160, 3), np.uint8)
    cv2.fillPoly(picture, [corners.astype(np.int32)], (255, 255, 255))
    image = cv2.imencode(".png", picture)[1].tobytes()
    with LmdbWriter(tmp_path / "photos") as writer:
        writer.add(image, "annotated")
        writer.add(image, "not")
    line = json.dumps({"index": 1, "size": [320, 100], "quad": (2 * corners + 0.5).tolist()})
    (tmp_path / "photos" / "quads.jsonl").write_text(line + "\n")
    plain, turned = (
        BatchDataset({"photos": Source((str(tmp_path / "photos"),), augment=augment)}, 16, VIEW, seed=1)[0]
        for augment in (False, True)
    )
    assert plain.control_points.isnan().all()
    known = ~turned.outlines[:, 0, 0].isnan()
    assert known.tolist() == [label == "annotated" for label in turned.labels]
    expected = to_normalized(corners.astype(float), (160, 50))
    for outline in plain.outlines[~plain.outlines[:, 0, 0].isnan()]:
        np.testing.assert_allclose(outline[[0, OUTLINE - 1, OUTLINE, -1]], expected, atol=1e-6)
    moved = 0
    for crop, size, outline in zip(_crops(turned), turned.sizes.tolist(), turned.outlines, strict=True):
        if outline.isnan().any():
            continue
        moved += not np.allclose(outline[[0, OUTLINE - 1, OUTLINE, -1]], expected, atol=0.01)
        grey = crop.view(size[1], size[0], 3).float().mean(2).numpy()
        inside = np.zeros(grey.shape, np.uint8)
        cv2.fillPoly(inside, [np.rint(to_pixels(outline.numpy(), size)).astype(np.int32)], 1)
        word, ground = np.median(grey[inside > 0]), np.median(grey[inside == 0])
        agrees = (abs(grey - word) < abs(grey - ground)) == (inside > 0)
        assert agrees.mean() > 0.95
    assert moved > 3


def test_a_source_without_paths_is_an_error_that_says_what_to_set() -> None:
    with pytest.raises(ValueError, match=r"set sources\.photos\.paths"):
        BatchDataset({"photos": Source(())}, 4, VIEW, seed=1)


def test_damaged_samples_are_named_once_and_left_out(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    image = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    with LmdbWriter(tmp_path / "some") as writer:
        writer.add(image, "good")
        writer.add(image[:-20], "cut")
        writer.add(image, "bent", {"geometry": b'{"size": [8, 8]}'})
    dataset = BatchDataset({"words": Source((str(tmp_path / "some"),))}, 4, VIEW, seed=1)
    for batch in training_loader(dataset, 0, 4, workers=1):
        assert set(batch.labels) == {"good"}
    told = sorted(capfd.readouterr().err.splitlines())
    assert len(told) == 2
    assert "image-000000002: truncated PNG" in told[1] and "geometry-000000003: not the geometry" in told[0]


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_to_train_on_is_one_line(tmp_path: Path, workers: int) -> None:
    with LmdbWriter(tmp_path / "none") as writer:
        writer.add(b"no picture", "word")
    dataset = BatchDataset({"words": Source((str(tmp_path / "none"),))}, 4, VIEW, seed=1)
    with pytest.raises(ValueError, match=r"nothing to train on in .*none: no picture") as caught:
        next(training_loader(dataset, 0, 1, workers))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(2, 300), (1, 1), (300, 2)])
def test_thin_crops_are_augmented(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    for seed in range(40):
        assert min(Augmentation()(image, np.random.default_rng(seed))[0].shape) >= 3
