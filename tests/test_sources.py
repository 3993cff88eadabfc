"""Reading labelled pictures in every form that people have them in."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.sources.choose import FORMATS, Options, open_source
from data.sources.folder import read_names
from data.sources.jsonl import read_jsonl
from data.sources.listing import read_csv, read_gt, read_quoted
from data.sources.regions import parse_region, read_regions
from data.sources.rows import BadRow, Item, Note, Row, files_below, place
from data.sources.text import count_lines, find_encoding, read_lines
from rectify.images import read_image


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def gradient(width: int = 120, height: int = 80) -> np.ndarray:
    """A picture whose pixel at (x, y) is (x, y, 7) in RGB."""
    y, x = np.mgrid[:height, :width].astype(np.uint8)
    return np.dstack([x, y, np.full_like(x, 7)])


def save(path: Path, image: np.ndarray | None = None) -> Path:
    image = gradient() if image is None else image
    return write(path, cv2.imencode(".png", image[..., ::-1])[1].tobytes())


def labels(items: list[Item]) -> list[str]:
    return [item.label for item in items if isinstance(item, Row)]


@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
    ],
)
def test_encodings_are_told(tmp_path, encoding, found):
    path = write(tmp_path / "gt.txt", "a.png\tcafé\r\nb.png\t日本\n".encode(encoding))
    assert find_encoding(path) == found
    assert list(read_lines(path)) == [(1, "a.png\tcafé"), (2, "b.png\t日本")]
    assert count_lines(path) == 2


def test_latin_1_is_the_fallback_with_a_note(tmp_path):
    path = write(tmp_path / "gt.txt", "a.png\tcafé\nb.png\tplain\nc.png\tÅse\n".encode("latin-1"))
    assert list(read_lines(path)) == [
        Note(1, "not UTF-8, read as Latin-1 (byte 10 of the line)"),
        (1, "a.png\tcafé"),
        (2, "b.png\tplain"),
        Note(3, "not UTF-8, read as Latin-1 (byte 7 of the line)"),
        (3, "c.png\tÅse"),
    ]
    told = list(read_lines(path, "latin-1"))
    assert told == [(1, "a.png\tcafé"), (2, "b.png\tplain"), (3, "c.png\tÅse")]


def test_a_damaged_line_among_utf_8_is_bad(tmp_path):
    path = write(tmp_path / "gt.txt", "a\tå\n".encode() + b"b\tcaf\xe9\n" + b"c\tx\n")
    assert list(read_lines(path)) == [(1, "a\tå"), BadRow(2, "not UTF-8 text (byte 6 of the line)"), (3, "c\tx")]


def test_other_encodings_are_bad_until_they_are_named(tmp_path):
    path = write(tmp_path / "gt.txt", "a\t“quoted”\n".encode("cp1252"))
    (bad,) = read_lines(path)
    assert isinstance(bad, BadRow) and "try --encoding" in bad.reason
    assert list(read_lines(path, "cp1252")) == [(1, "a\t“quoted”")]
    damaged = write(tmp_path / "utf16.txt", "a\tb\n".encode("utf-16-le") + b"\x00\xd8\n\x00")
    assert list(read_lines(damaged, "utf-16-le"))[1] == BadRow(2, "not UTF-16-LE text")


@pytest.mark.parametrize(
    ("line", "image", "label"),
    [
        ('word_1.png, "Tiredness"', "word_1.png", "Tiredness"),
        ('word_2.png, "a, b"', "word_2.png", "a, b"),
        (r'word_3.png, "\"Why\""', "word_3.png", '"Why"'),
        ('word_4.png, "say ""no"""', "word_4.png", 'say "no"'),
        (r'word_5.png,"a\\b"', "word_5.png", "a\\b"),
        ('word_6.png "x"', "word_6.png", "x"),
    ],
)
def test_icdar_quotes(tmp_path, line, image, label):
    path = write(tmp_path / "gt.txt", ("\ufeff" + line + "\r\n").encode())
    assert list(read_quoted(path)) == [Row(1, tmp_path / image, label)]
    assert open_source(path).format == "icdar"


def test_labels_in_quotes_after_a_tab_are_no_icdar(tmp_path):
    path = tmp_path / "gt.txt"
    path.write_text('a.png\t"hi"\nb.png\t"x"\n', encoding="utf-8")
    assert open_source(path).format == "gt"


def test_icdar_rows_without_quotes_are_bad(tmp_path):
    path = write(tmp_path / "gt.txt", 'a.png, "x"\nb.png, y\nc.png, ""\n')
    assert list(read_quoted(path))[1:] == [BadRow(2, 'expected path, "label"'), BadRow(3, "c.png: empty label")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_with_a_header(tmp_path, delimiter):
    lines = [["id", "File", "Text"], ["1", "a.png", "one"], ["2", "b.png", "two words"]]
    path = write(tmp_path / "labels.csv", "\n".join(delimiter.join(line) for line in lines))
    assert list(read_csv(path)) == [Row(2, tmp_path / "a.png", "one"), Row(3, tmp_path / "b.png", "two words")]


def test_csv_without_a_header_and_with_quotes(tmp_path):
    path = write(tmp_path / "x.csv", 'a.png,"one, two"\nb.png,"say ""no"""\n')
    assert labels(list(read_csv(path))) == ["one, two", 'say "no"']


def test_csv_columns_can_be_named(tmp_path):
    path = write(tmp_path / "x.csv", "source,raw,clean\na.png,x,y\n")
    assert labels(list(read_csv(path, tmp_path / "pictures", None, "source", "clean"))) == ["y"]
    with pytest.raises(ValueError, match=r"columns source, raw, clean .*--image-column"):
        list(read_csv(path))


def test_a_quote_that_is_never_closed_swallows_no_rows(tmp_path):
    path = write(tmp_path / "x.csv", 'image,label\na.png,"one\nb.png,two\nc.png,x,y\nd.png,\n')
    bad = [item for item in read_csv(path) if isinstance(item, BadRow)]
    assert [item.line for item in bad] == [2, 4, 5]
    assert "3 columns, expected 2" in bad[1].reason and "empty label" in bad[2].reason
    assert labels(list(read_csv(path))) == ["two"]


def test_json_lines(tmp_path):
    geometry = {"kind": "polygon", "size": [1, 2]}
    rows = [{"image": "a.png", "label": "one", "geometry": geometry}, {"file_name": "b.png", "text": "two"}]
    path = write(tmp_path / "x.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    one, two = read_jsonl(path)
    assert one == Row(1, tmp_path / "a.png", "one", {"geometry": json.dumps(geometry).encode()})
    assert two == Row(2, tmp_path / "b.png", "two")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("7", "not a JSON object"),
        ('{"label": "x"}', "the path"),
        ('{"image": "a.png", "label": 7}', "the label"),
        ('{"image": "a.png", "label": " "}', "empty label"),
        ('{"image": "a.png", "label": "x", "polygon": [1, 2, 3]}', "a.png: "),
    ],
)
def test_bad_json_lines(tmp_path, line, reason):
    path = write(tmp_path / "x.jsonl", '{"image": "a.png", "label": "ok"}\n' + line)
    _, bad = read_jsonl(path)
    assert isinstance(bad, BadRow) and bad.line == 2 and reason in bad.reason


def test_a_json_array_is_told_from_json_lines(tmp_path):
    with pytest.raises(ValueError, match="one JSON array"):
        list(read_jsonl(write(tmp_path / "x.json", "[{}]")))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["1_one_7", "2_two_8"], ["one", "two"]),
        (["one_7", "two_8"], ["one", "two"]),
        (["1_one", "2_two"], ["one", "two"]),
        (["one", "route_66"], ["one", "route_66"]),
    ],
)
def test_labels_in_file_names(tmp_path, names, expected):
    for name in names:
        save(tmp_path / "crops" / f"{name}.png")
    note, *rows = read_names(tmp_path / "crops")
    assert isinstance(note, Note) and "--names" in note.reason
    assert labels(rows) == expected


def test_the_form_of_names_can_be_told(tmp_path):
    for name in ("a--1.png", "b.png", "notes.txt", ".hidden.png"):
        write(tmp_path / "crops" / "sub" / name, b"x")
    items = list(read_names(tmp_path / "crops", r"(.+)--\d+"))
    assert labels(items) == ["a"]
    problems = {place(item, tmp_path): type(item) for item in items if not isinstance(item, Row)}
    folder = tmp_path / "crops" / "sub"
    assert problems == {str(folder / "b.png"): BadRow, str(folder / "notes.txt"): Note}
    with pytest.raises(ValueError, match="2 groups"):
        read_names(tmp_path / "crops", "(a)(b)")
    with pytest.raises(ValueError, match="no regular expression"):
        read_names(tmp_path / "crops", "(")


def test_iiit5k(tmp_path):
    io = pytest.importorskip("scipy.io")
    entries = np.array(
        [("test/1_1.png", "One", ["a"]), ("test/2_1.png", "", ["b"])],
        dtype=[("ImgName", object), ("GroundTruth", object), ("smallLexi", object)],
    )
    io.savemat(tmp_path / "testdata.mat", {"testdata": entries})
    source = open_source(tmp_path / "testdata.mat")
    assert source.format == "iiit5k"
    assert list(source.items) == [Row(1, tmp_path / "test/1_1.png", "One"), BadRow(2, "test/2_1.png: empty label")]
    with pytest.raises(ValueError, match="not a MATLAB file"):
        open_source(write(tmp_path / "x.mat", b"nothing"))


@pytest.mark.parametrize(
    ("line", "points", "label"),
    [
        ("10,20,50,20,50,40,10,40,word", [[10, 20], [50, 20], [50, 40], [10, 40]], "word"),
        ("10,20,50,20,50,40,10,40,10,000", [[10, 20], [50, 20], [50, 40], [10, 40]], "10,000"),
        ("10,20,50,20,50,40,10,40,2015", [[10, 20], [50, 20], [50, 40], [10, 40]], "2015"),
        ("10,20,50,40,word", [[10, 20], [50, 20], [50, 40], [10, 40]], "word"),
        ('10 20 50 40 "two words"', [[10, 20], [50, 20], [50, 40], [10, 40]], "two words"),
    ],
)
def test_regions(line, points, label):
    found = parse_region(line)
    assert found is not None
    np.testing.assert_array_equal(found[0], points)
    assert found[1] == label


def test_polygons_of_any_number_of_points():
    points, label = parse_region("1,2,3,4,5,6,7,8,9,10,11,12,curved", usual=12) or (None, None)
    assert np.shape(points) == (6, 2) and label == "curved"
    points, label = parse_region("1,2,3,4,5,6,7,8,9,10,short", usual=12) or (None, None)
    assert np.shape(points) == (5, 2) and label == "short"
    assert parse_region("1,2,3,word") is None and parse_region("word") is None


def test_lines_of_one_file_may_have_different_numbers_of_points():
    curved = "10,110,40,105,70,105,100,110,100,140,70,145,10,140,WORLD"
    for usual in (8, 10):
        points, label = parse_region(curved, usual)
        assert (points.shape, label) == ((7, 2), "WORLD")
    points, label = parse_region("1,2,3,2,3,4,1,4,1,000", 8)
    assert (points.shape, label) == ((4, 2), "1,000")
    points, label = parse_region("1,2,3,2,3,4,1,4,10 20 Street", 8)
    assert (points.shape, label) == ((4, 2), "10 20 Street")


def test_regions_of_equal_names_in_several_folders(tmp_path):
    for part, word in (("train", "one"), ("test", "two")):
        (tmp_path / part).mkdir()
        save(tmp_path / part / "img_1.jpg")
        write(tmp_path / part / "gt_img_1.txt", f"10,10,50,10,50,30,10,30,{word}\n")
    write(tmp_path / "test" / "gt_img_2.txt", "1,2,3,4,lost\n")
    *words, note = sorted(read_regions(tmp_path), key=lambda item: isinstance(item, Note))
    assert sorted((row.file.parent.name, row.label) for row in words) == [("test", "two"), ("train", "one")]
    assert note.file.name == "gt_img_2.txt" and "no image" in note.reason
    (tmp_path / "labels").mkdir()
    for part in ("train", "test"):
        (tmp_path / "labels" / part).mkdir()
        (tmp_path / part / "gt_img_1.txt").rename(tmp_path / "labels" / part / "img_1.txt")
    bad = [item for item in read_regions(tmp_path) if isinstance(item, BadRow)]
    assert len(bad) == 2 and all("several text files" in item.reason for item in bad)


def test_words_of_full_images_are_cut_and_keep_their_outline(tmp_path):
    save(tmp_path / "img_1.png")
    save(tmp_path / "img_2.png")
    content = "\ufeff10,20,50,22,50,40,10,38,word\n1,2,3,4,5,6,7,8,###\nnothing\n200,200,210,200,210,210,200,210,far\n"
    write(tmp_path / "gt_img_1.txt", content.encode())
    source = open_source(tmp_path)
    assert source.format == "regions"
    note, row, unreadable, bad, far = source.items
    assert note == Note(0, "left out, it has no text file", tmp_path / "img_2.png")
    assert isinstance(row, Row) and isinstance(row.image, bytes) and row.extra is not None
    np.testing.assert_array_equal(read_image(row.image), gradient()[20:41, 10:51])
    geometry = json.loads(row.extra["geometry"])
    assert geometry["outline"] == [[0, 0], [40, 2], [40, 20], [0, 18]]
    assert geometry["size"] == [41, 21]
    assert geometry["source"] == {"image": "img_1.png", "box": [10, 20, 51, 41]}
    assert isinstance(unreadable, Note) and "###" in unreadable.reason
    assert isinstance(bad, BadRow) and bad.line == 3
    assert isinstance(far, BadRow) and "no pixels" in far.reason
    assert place(far, tmp_path) == f"{tmp_path / 'gt_img_1.txt'}:4"


def test_images_may_lie_in_another_folder_and_be_broken(tmp_path):
    write(tmp_path / "images" / "a.jpg", b"no picture")
    write(tmp_path / "texts" / "a.txt", "0,0,9,9,x\n")
    (bad,) = read_regions(tmp_path / "texts", tmp_path / "images")
    assert isinstance(bad, BadRow) and "a.jpg" in bad.reason
    with pytest.raises(FileNotFoundError, match="no text files with regions"):
        read_regions(tmp_path / "images")


def test_the_form_of_total_text(tmp_path):
    save(tmp_path / "img11.png")
    content = (
        "x: [[10 30 50\n 50 30 10]], y: [[20 15 20 40 35 40]], ornt: [u'c'], transcriptions: [u'PETRO']\n"
        "x: [[1 9 9 1]], y: [[1 1 9]], ornt: [u'h'], transcriptions: [u'odd']\n"
        "x: [[1 9 9 1]], y: [[1 1 9 9]], ornt: [u'#'], transcriptions: [u'#']\n"
        "rubbish\n"
    )
    write(tmp_path / "poly_gt_img11.txt", content)
    row, odd, unreadable, rubbish = read_regions(tmp_path)
    assert isinstance(row, Row) and row.label == "PETRO" and row.extra is not None
    assert json.loads(row.extra["geometry"])["outline"][1] == [20, 0]
    assert odd == BadRow(3, "4 x and 3 y", tmp_path / "poly_gt_img11.txt")
    assert isinstance(unreadable, Note)
    assert isinstance(rubbish, BadRow) and rubbish.line == 5


def test_regions_in_json_lines(tmp_path):
    save(tmp_path / "a.png")
    rows = [
        {"image": "a.png", "label": "p", "points": [[10, 10], [30, 12], [30, 25], [10, 22]]},
        {"image": "a.png", "label": "b", "bbox": [5, 6, 20, 10]},
    ]
    path = write(tmp_path / "x.jsonl", "\n".join(map(json.dumps, rows)))
    polygon, box = read_jsonl(path)
    assert isinstance(polygon, Row) and isinstance(box, Row) and isinstance(box.image, bytes)
    np.testing.assert_array_equal(read_image(box.image), gradient()[6:17, 5:26])
    assert polygon.identity != box.identity


def test_forms_are_told_from_the_content(tmp_path):
    save(tmp_path / "crops" / "word_1.png")
    for path, content, form in [
        ("gt.txt", "a.png\tx\nb.png, y\n", "gt"),
        ("x.csv", "a.png,x\n", "csv"),
        ("x.txt", '{"image": "a.png", "label": "x"}\n', "jsonl"),
        ("crops/note.md", "", "names"),
        ("listed/labels.csv", "a.png,x\n", "csv"),
    ]:
        file = write(tmp_path / path, content)
        source = open_source(file if file.parent == tmp_path else file.parent)
        assert source.format == form
    assert source.path.name == "labels.csv"
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_source(tmp_path / "none")
    with pytest.raises(ValueError, match="reads a folder"):
        open_source(tmp_path / "x.csv", Options("names"))


def test_every_form_names_a_missing_input(tmp_path):
    for form in FORMATS:
        with pytest.raises(FileNotFoundError):
            list(open_source(tmp_path / "none", Options(form)).items)


def test_gt_paths_may_be_relative_to_another_folder(tmp_path):
    path = write(tmp_path / "gt.txt", "a b.png x\n")
    write(tmp_path / "pictures" / "a b.png", b"")
    assert list(read_gt(path, tmp_path / "pictures")) == [Row(1, tmp_path / "pictures" / "a b.png", "x")]


def test_links_back_are_not_followed(tmp_path: Path) -> None:
    picture = write(tmp_path / "in" / "a.png", "a")
    (tmp_path / "in" / "self").symlink_to(".", target_is_directory=True)
    (tmp_path / "in" / "beside").symlink_to(tmp_path / "other", target_is_directory=True)
    write(tmp_path / "other" / "b.png", "b")
    assert list(files_below(tmp_path / "in")) == [picture, tmp_path / "in" / "beside" / "b.png"]
