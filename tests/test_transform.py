"""Merging, filtering and exporting datasets: nothing changes on the way, and nothing disappears unnamed."""

from __future__ import annotations

from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest

from data import LmdbReader, LmdbWriter
from data.build import build
from data.quads import read_quads
from data.sidecars import read_texts
from data.sources.choose import open_source
from data.transform import Outcome, Wanted, describe, export_dataset, filter_dataset, merge


def picture(width: int = 40, height: int = 20, extension: str = ".png") -> bytes:
    image = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(extension, image)[1].tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with LmdbWriter(tmp_path / "words") as writer:
        writer.add(picture(40, 20), "one", {"geometry": b'{"kind": "polygon", "size": [40, 20]}', "lang": b"en"})
        writer.add(picture(100, 30, ".jpg"), "Twelve")
        writer.add(picture(60, 10), "é")
    return tmp_path / "words"


def damage(folder: Path, key: bytes, value: bytes | None = None) -> None:
    with lmdb.open(str(folder), lock=False, map_size=1 << 24) as env, env.begin(write=True) as transaction:
        if value is None:
            transaction.delete(key)
        else:
            transaction.put(key, value)


def contents(folder: Path) -> dict[str, bytes | None]:
    reader = LmdbReader(folder)
    return {key: reader.value(key) for key in reader.all_keys()}


def test_merge_keeps_everything_in_order(folder: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    assert merge([folder, folder], tmp_path / "both", messages.append) == Outcome(6)
    assert messages == []
    once, twice = contents(folder), contents(tmp_path / "both")
    assert twice.pop("num-samples") == b"6" and once.pop("num-samples") == b"3"
    for key, value in once.items():
        kind, number = key.rsplit("-", 1)
        assert twice.pop(key) == twice.pop(f"{kind}-{int(number) + 3:09d}") == value
    assert not twice


def test_files_beside_the_datasets_come_along(folder: Path, tmp_path: Path) -> None:
    (folder / "cased.tsv").write_bytes("1\tOne\r\n2\tTwelve \n3\tÉ\n".encode())
    (folder / "quads.jsonl").write_text('{"index": 3, "size": [60, 10], "quad": [[0, 0], [9, 0], [9, 9], [0, 9]]}\n')
    merge([folder, folder], tmp_path / "both", pytest.fail)
    assert read_texts(tmp_path / "both" / "cased.tsv") == {
        1: "One",
        2: "Twelve ",
        3: "É",
        4: "One",
        5: "Twelve ",
        6: "É",
    }
    assert read_quads(tmp_path / "both" / "quads.jsonl").keys() == {3, 6}
    filter_dataset(folder, tmp_path / "some", Wanted(max_width=60), pytest.fail)
    assert read_texts(tmp_path / "some" / "cased.tsv") == {1: "One", 2: "É"}
    assert read_quads(tmp_path / "some" / "quads.jsonl").keys() == {2}
    for number in ("four", "0", "4"):
        (folder / "cased.tsv").write_text(f"1\tOne\n{number}\tFour\n")
        with pytest.raises(ValueError, match=r"cased\.tsv: line 2"):
            merge([folder], tmp_path / "none", pytest.fail)
        assert not (tmp_path / "none").exists()


def test_merge_names_what_it_cannot_take(folder: Path, tmp_path: Path) -> None:
    damage(folder, b"label-000000002")
    damage(folder, b"meta", b"x")
    messages: list[str] = []
    assert merge([folder], tmp_path / "out", messages.append) == Outcome(2, bad=1)
    assert "1 keys belong to no sample and are left out: meta" in messages[0]
    assert "label-000000002 is missing" in messages[1]
    with pytest.raises(FileExistsError, match="exists already"):
        merge([folder], tmp_path / "out", messages.append)


@pytest.mark.parametrize(
    ("wanted", "labels", "left_out"),
    [
        (Wanted(), ["one", "Twelve", "é"], {}),
        (Wanted(charset="enoé"), ["one", "é"], {"charset": 1}),
        (Wanted(min_length=2), ["one", "Twelve"], {"length": 1}),
        (Wanted(max_length=3), ["one", "é"], {"length": 1}),
        (Wanted(min_width=60, max_height=29), ["é"], {"width": 1, "height": 1}),
        (Wanted(max_width=99, min_height=11), ["one"], {"width": 1, "height": 1}),
    ],
)
def test_filter(folder: Path, tmp_path: Path, wanted: Wanted, labels: list[str], left_out: dict[str, int]) -> None:
    outcome = filter_dataset(folder, tmp_path / "out", wanted, print)
    assert (outcome.samples, outcome.left_out, outcome.bad) == (len(labels), left_out, 0)
    records = list(LmdbReader(tmp_path / "out"))
    assert [record.label for record in records] == labels
    if labels[0] == "one":
        assert records[0].geometry == {"kind": "polygon", "size": [40, 20]}
        assert LmdbReader(tmp_path / "out").value("lang-000000001") == b"en"


def test_filter_leaves_bad_images_out_by_name(folder: Path, tmp_path: Path) -> None:
    damage(folder, b"image-000000003", b"no picture")
    messages: list[str] = []
    assert filter_dataset(folder, tmp_path / "out", Wanted(), messages.append) == Outcome(2, bad=1)
    assert len(messages) == 1 and "image-000000003: not an image" in messages[0]


def test_a_filter_that_keeps_nothing_writes_nothing(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no sample is left \(0 samples, 3 left out by length\)"):
        filter_dataset(folder, tmp_path / "out", Wanted(min_length=9), print)
    assert [path.name for path in tmp_path.iterdir()] == ["words"]


@pytest.mark.parametrize("form", ["gt", "csv", "jsonl"])
def test_export_and_build_are_inverse(folder: Path, tmp_path: Path, form: str) -> None:
    assert export_dataset(folder, tmp_path / "files", form, print) == Outcome(3)
    suffixes = sorted(path.name for path in (tmp_path / "files" / "000000").iterdir())
    assert suffixes == ["000000001.png", "000000002.jpg", "000000003.png"]
    build(open_source(tmp_path / "files").items, tmp_path / "again", print)
    before, after = list(LmdbReader(folder)), list(LmdbReader(tmp_path / "again"))
    assert [(r.image, r.label) for r in before] == [(r.image, r.label) for r in after]
    assert after[0].geometry == (before[0].geometry if form == "jsonl" else None)


def test_labels_that_a_list_cannot_hold_are_named(tmp_path: Path) -> None:
    with LmdbWriter(tmp_path / "words") as writer:
        for label in ("a\tb", " a", "a\nb", 'say "no", twice'):
            writer.add(picture(), label)
    messages: list[str] = []
    outcome = export_dataset(tmp_path / "words", tmp_path / "gt", "gt", messages.append)
    assert (outcome.samples, outcome.bad) == (1, 3)
    assert all("--format jsonl can" in message for message in messages)
    assert export_dataset(tmp_path / "words", tmp_path / "csv", "csv", messages.append).samples == 2
    assert export_dataset(tmp_path / "words", tmp_path / "jsonl", "jsonl", messages.append).bad == 0
    rows = list(open_source(tmp_path / "csv").items)
    assert [row.label for row in rows] == ["a\tb", 'say "no", twice']  # type: ignore[union-attr]


def test_export_refuses_an_existing_folder_and_leaves_nothing_half(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        export_dataset(folder, folder, "gt", print)
    for number in (1, 2, 3):
        damage(folder, f"image-{number:09d}".encode())
    with pytest.raises(ValueError, match="no sample is left"):
        export_dataset(folder, tmp_path / "out", "gt", lambda message: None)
    assert [path.name for path in tmp_path.iterdir()] == ["words"]


def test_counts_in_words() -> None:
    outcome = Outcome(5, bad=2)
    outcome.left_out.update({"length": 3, "charset": 1})
    assert describe(outcome) == "5 samples, 1 left out by charset, 3 left out by length, 2 bad"
