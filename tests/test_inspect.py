"""Inspecting a dataset: exact counts, and every kind of bad sample."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest

from data import LmdbReader, LmdbWriter
from data.inspect import BadSample, Inspection, format_inspection, inspect_dataset, label_doubt


def picture(width: int, height: int) -> bytes:
    return cv2.imencode(".png", np.zeros((height, width, 3), np.uint8))[1].tobytes()


@pytest.fixture
def folder(tmp_path):
    with LmdbWriter(tmp_path / "words") as writer:
        writer.add(picture(40, 20), "cab")
        writer.add(picture(100, 30), "ab", {"geometry": b"{}"})
        writer.add(picture(60, 20), "é")
    return tmp_path / "words"


def change(folder: Path, put: dict[bytes, bytes] | None = None, delete: tuple[bytes, ...] = ()) -> None:
    with lmdb.open(str(folder), lock=False, map_size=1 << 24) as env, env.begin(write=True) as transaction:
        for key, value in (put or {}).items():
            transaction.put(key, value)
        for key in delete:
            assert transaction.delete(key)


def inspect(folder: Path) -> Inspection:
    return inspect_dataset(LmdbReader(folder))


def test_counts(folder):
    inspection = inspect(folder)
    assert inspection == Inspection(
        folder=str(folder),
        samples=3,
        keys={"image": 3, "label": 3, "geometry": 1, "num-samples": 1},
        widths={40: 1, 60: 1, 100: 1},
        heights={20: 2, 30: 1},
        label_lengths={1: 1, 2: 1, 3: 1},
        characters={"a": 2, "b": 2, "c": 1, "é": 1},
        surplus=0,
        bad=[],
    )
    assert inspection.charset == "abcé"


def test_text(folder):
    lines = format_inspection(inspect(folder)).splitlines()
    assert lines == [
        f"dataset       {folder}",
        "samples       3",
        "keys          geometry 1, image 3, label 3, num-samples 1",
        "width         40 to 100, median 60",
        "height        20 to 30, median 20",
        "label length  1 to 3, median 2",
        "characters    4: abcé",
        "bad samples   0",
    ]


def test_control_characters_are_escaped(folder):
    change(folder, {b"label-000000001": b"a\nb\x1b"})
    assert "characters    5: \\n\\x1babé\n" in format_inspection(inspect(folder))


def test_json(folder):
    found = json.loads(json.dumps(inspect(folder).to_json()))
    assert (found["samples"], found["widths"], found["charset"]) == (3, {"40": 1, "60": 1, "100": 1}, "abcé")


@pytest.mark.parametrize(
    ("put", "delete", "reason"),
    [
        ({b"image-000000002": b"no picture"}, (), "image-000000002: not an image"),
        ({b"image-000000002": b""}, (), "image-000000002: empty file"),
        ({b"image-000000002": picture(50, 20)[:-20]}, (), "image-000000002: truncated"),
        ({b"label-000000002": b""}, (), "label-000000002 is empty"),
        ({b"label-000000002": b" "}, (), "label-000000002 is empty"),
        ({b"label-000000002": b"\xff"}, (), "label-000000002 is not UTF-8"),
        ({b"geometry-000000002": b"?"}, (), "geometry-000000002 is not JSON"),
        ({}, (b"image-000000002",), "key image-000000002 is missing"),
        ({}, (b"label-000000002",), "key label-000000002 is missing"),
    ],
)
def test_bad_samples(folder, put, delete, reason):
    change(folder, put, delete)
    inspection = inspect(folder)
    (bad,) = inspection.bad
    assert bad.number == 2
    assert bad.reason.startswith(reason)
    text = format_inspection(inspection)
    assert "bad samples   1\n" in text
    assert f"  2: {reason}" in text


def test_one_sample_bad_twice_is_one(folder):
    change(folder, {b"image-000000001": b"x", b"label-000000001": b""})
    inspection = inspect(folder)
    assert [bad.number for bad in inspection.bad] == [1, 1]
    assert "bad samples   1\n" in format_inspection(inspection)


def test_missing_and_surplus_samples(folder):
    change(folder, {b"num-samples": b"4"})
    assert inspect(folder).bad == [
        BadSample(4, "key image-000000004 is missing"),
        BadSample(4, "key label-000000004 is missing"),
    ]
    change(folder, {b"num-samples": b"1"})
    inspection = inspect(folder)
    assert (inspection.samples, inspection.surplus, inspection.bad) == (1, 2, [])
    assert "2 images have numbers beyond num-samples" in format_inspection(inspection)


def test_long_list_is_cut(folder):
    change(folder, {b"num-samples": b"103"})
    inspection = inspect(folder)
    assert len(inspection.bad) == 200
    assert format_inspection(inspection).splitlines()[-1] == "  and 180 more"


def test_keys_of_other_projects_are_counted(folder):
    change(folder, {b"meta": b"x", b"image-": b"x", b"lang-tag-000000001": b"en"})
    assert inspect(folder).keys == {
        "image": 3,
        "label": 3,
        "geometry": 1,
        "num-samples": 1,
        "meta": 1,
        "image-": 1,
        "lang-tag": 1,
    }


def test_empty_dataset(tmp_path):
    with LmdbWriter(tmp_path / "none"):
        pass
    text = format_inspection(inspect(tmp_path / "none"))
    assert "samples       0\n" in text
    assert "width         -\n" in text


@pytest.mark.parametrize(
    ("label", "doubt"),
    [
        ("word", None),
        ("café", None),
        ("Übung", None),
        ("日本", None),
        ("two words", None),
        (" word", "begins or ends with space"),
        ("w\ufffdrd", "has a character that was lost in decoding"),
        ("a\u0007b", "has a control character or one without a meaning"),
        ("cafe\u0301", "is not in Unicode's composed form (NFC)"),
        ("cafÃ©", "looks like UTF-8 that was read as Latin-1"),
    ],
)
def test_doubts_about_labels(label, doubt):
    assert label_doubt(label) == doubt


def test_suspicious_samples_are_listed(tmp_path):
    with LmdbWriter(tmp_path / "words") as writer:
        writer.add(picture(40, 20), "one")
        writer.add(picture(40, 20), "one")
        writer.add(picture(40, 20), "two")
        writer.add(picture(200, 9), "long")
        writer.add(picture(40, 7), "flat ")
    inspection = inspect(tmp_path / "words")
    assert inspection.bad == [] and not inspection.flawless
    assert inspection.suspicious == [
        BadSample(2, "has the image of sample 1 and its label"),
        BadSample(3, "has the image of sample 1 with another label, 'one'"),
        BadSample(4, "an image of 200x9 pixels is hardly a word's"),
        BadSample(5, "an image of 40x7 pixels is hardly a word's"),
        BadSample(5, "label 'flat ' begins or ends with space"),
    ]
    assert "suspicious    4\n  2: has the image of sample 1 and its label\n" in format_inspection(inspection)


def test_a_flawless_dataset(folder):
    assert inspect(folder).flawless
    change(folder, {b"num-samples": b"2"})
    assert not inspect(folder).flawless
