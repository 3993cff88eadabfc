"""Words of full images: regions are read from their files and cut, and each keeps its outline as geometry."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from data.sources.listing import unquote
from data.sources.rows import BadRow, Item, Note, Row, files_below
from data.sources.text import read_lines
from rectify.folders import is_picture
from rectify.images import PHOTO_PIXELS, Image, ImageError, read_image

PREFIXES = ("gt_", "poly_gt_", "")
"""How the text file of NAME.jpg is called: gt_NAME.txt and so on."""

UNREADABLE = ("###", "#", "*")
"""Labels by which datasets mark text that nobody can read."""

_TOTAL_TEXT = re.compile(
    r"x:\s*\[\[(?P<x>[\d\s,.-]*)\]\],\s*y:\s*\[\[(?P<y>[\d\s,.-]*)\]\].*?transcriptions:\s*\[(?P<text>.*?)\](?=\s*(?:\n|\Z))",
    re.DOTALL,
)
_COMMA = re.compile(r"\s*,\s*")
_COMMA_OR_SPACE = re.compile(r"\s*,\s*|\s+")


class ImageCutter:
    """Cuts regions out of images; keeps the last image, since its regions come one after the other."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._image: Image | ImageError | None = None

    def row(self, line: int, image: Path, polygon: NDArray[np.floating], label: str, file: Path | None = None) -> Item:
        """The crop of a region as a row.

        It is the smallest upright rectangle of whole pixels around the region, as PNG. Its geometry is
        ``{"kind": "polygon", "size": [w, h], "outline": [[x, y] ...], "source": {"image", "box": [left, top, right,
        bottom]}}``, the outline in pixels of the crop, in the order of the input.

        Args:
            polygon: (K, 2) points in pixels of the image, K at least 3.
        """
        name = image.name
        if label in UNREADABLE:
            return Note(line, f"{name}: left out, marked as unreadable ({label})", file)
        if len(polygon) < 3 or not np.isfinite(polygon).all():
            return BadRow(line, f"{name}: a region needs at least 3 points", file)
        source = self._load(image)
        if isinstance(source, ImageError):
            return BadRow(line, str(source), file)
        height, width = source.shape[:2]
        left, top = np.clip(np.floor(polygon.min(0)), 0, (width, height)).astype(int).tolist()
        right, bottom = np.clip(np.ceil(polygon.max(0)) + 1, 0, (width, height)).astype(int).tolist()
        if min(right - left, bottom - top) < 2:
            return BadRow(line, f"{name}: the region has no pixels in the image of {width}x{height}", file)
        crop = cv2.imencode(".png", source[top:bottom, left:right, ::-1])[1].tobytes()
        geometry = {
            "kind": "polygon",
            "size": [right - left, bottom - top],
            "outline": (polygon - (left, top)).round(2).tolist(),
            "source": {"image": name, "box": [left, top, right, bottom]},
        }
        extra = {"geometry": json.dumps(geometry, ensure_ascii=False).encode()}
        return Row(line, crop, label, extra, file, f"{image} {polygon.tolist()}")

    def _load(self, path: Path) -> Image | ImageError:
        if path != self._path or self._image is None:
            self._path = path
            try:
                self._image = read_image(path, most=PHOTO_PIXELS)
            except ImageError as error:
                self._image = error
        return self._image


def read_regions(folder: Path, images: Path | None = None, encoding: str | None = None) -> Iterator[Item]:
    """Rows of a folder with a text file for each full image; a row source for ``data.build``.

    A line is ``x1,y1,x2,y2,x3,y3,x4,y4,label`` (ICDAR 2015), ``left,top,right,bottom,label`` (ICDAR 2013, also with
    spaces and quotes), or any number of points and a label; or the file has Total-Text's ``x: [[…]], y: [[…]]``.
    How many points the lines of a file have is told by most of them, as a label may begin with numbers too.

    Args:
        images: the folder of the images, where they are not in ``folder``.

    Raises:
        FileNotFoundError: no such folder, or no text file of an image in it.
    """
    pairs, problems = _paired(folder, images)
    if not pairs and not any(isinstance(problem, BadRow) for problem in problems):
        where = f" for the images of {images}" if images else " beside images of the same name"
        raise FileNotFoundError(f"{folder}: no text files with regions{where} (gt_NAME.txt or NAME.txt)")
    return _folder_rows(pairs, problems, encoding)


def find_pairs(folder: Path, images: Path | None = None) -> dict[Path, Path]:
    """Image files and the text file of each, by ``PREFIXES``: the one in the same folder, or in the same folder below
    ``folder`` as the image's below ``images``, or the only one of its name."""
    return _paired(folder, images)[0]


def _paired(folder: Path, images: Path | None) -> tuple[dict[Path, Path], list[Item]]:
    """``find_pairs``, and the images and text files that have no partner."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    texts: dict[str, list[Path]] = defaultdict(list)
    for path in files_below(folder):
        if path.suffix.lower() == ".txt":
            texts[path.stem].append(path)
    if not texts:
        return {}, []
    pairs: dict[Path, Path] = {}
    problems: list[Item] = []
    root = images or folder
    for image in filter(is_picture, files_below(root)):
        named = next((texts[prefix + image.stem] for prefix in PREFIXES if prefix + image.stem in texts), [])
        near = [text for text in named if text.parent.relative_to(folder) == image.parent.relative_to(root)]
        if len(near or named) == 1:
            pairs[image] = (near or named)[0]
        elif named:
            problems.append(BadRow(0, f"several text files have its name: {', '.join(map(str, named))}", image))
        else:
            problems.append(Note(0, "left out, it has no text file", image))
    unused = {path for paths in texts.values() for path in paths} - set(pairs.values())
    return pairs, problems + [Note(0, "left out, no image has its name", path) for path in sorted(unused)]


def _folder_rows(pairs: Mapping[Path, Path], problems: Sequence[Item], encoding: str | None) -> Iterator[Item]:
    yield from problems
    cutter = ImageCutter()
    for image, text in pairs.items():
        yield from _file_rows(text, image, cutter, encoding)


def _file_rows(path: Path, image: Path, cutter: ImageCutter, encoding: str | None) -> Iterator[Item]:
    lines = []
    for item in read_lines(path, encoding):
        if isinstance(item, tuple):
            lines.append(item)
        else:
            yield type(item)(item.line, item.reason, path)
    filled = [(number, text.strip()) for number, text in lines if text.strip()]
    if filled and filled[0][1].startswith("x:"):
        yield from _total_text(path, image, cutter, [text for _, text in lines])
        return
    usual = _usual_count([text for _, text in filled])
    for number, text in filled:
        parsed = parse_region(text, usual)
        if parsed is None:
            yield BadRow(number, "expected coordinates and a label, such as x1,y1,x2,y2,x3,y3,x4,y4,label", path)
        elif not parsed[1]:
            yield BadRow(number, "empty label", path)
        else:
            yield cutter.row(number, image, *parsed, path)


def parse_region(line: str, usual: int = 8) -> tuple[NDArray[np.float64], str] | None:
    """A line of coordinates and a label as points (K, 2) and the label; None where it is not such a line.

    Args:
        usual: how many coordinates a line has if there are as many numbers at its start, or more and nothing else.
    """
    numbers, ends = _leading_numbers(line)
    count = usual if len(numbers) >= usual else len(numbers) - len(numbers) % 2
    if len(numbers) >= usual + 2 and ends[-1] < len(line):
        count = len(numbers) - len(numbers) % 2  # a region of more points, as numbers and then a text are no label
    if count == len(numbers) and count > 4 and ends[count - 1] == len(line) and count != usual:
        count -= 2  # a label that is a number
    if count < 4:
        return None
    label = line[ends[count - 1] :].strip()
    label = label.removeprefix(",").strip()
    if len(label) >= 2 and label[0] == label[-1] == '"':
        label = unquote(label[1:-1])
    points = np.array(numbers[:count], np.float64).reshape(-1, 2)
    if count == 4:
        (left, top), (right, bottom) = points
        points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return points, label


def _leading_numbers(line: str) -> tuple[list[float], list[int]]:
    """The numbers at the start of a line, and where each ends. After a comma behind the first all have one: a label may
    begin with a number and a space."""
    first = _COMMA_OR_SPACE.search(line)
    separator = _COMMA if first and "," in first[0] else _COMMA_OR_SPACE
    numbers: list[float] = []
    ends: list[int] = []
    start = 0
    while start < len(line):
        gap = separator.search(line, start)
        end = gap.start() if gap else len(line)
        try:
            numbers.append(float(line[start:end]))
        except ValueError:
            break
        ends.append(end)
        start = gap.end() if gap else len(line)
    return numbers, ends


def _usual_count(lines: list[str]) -> int:
    """How many coordinates most lines of a file have; 8 where there are no lines."""
    counts = Counter(len(_leading_numbers(line)[0]) for line in lines)
    if not counts:
        return 8
    most = counts.most_common(1)[0][0]
    return {4: 4, 5: 4, 8: 8, 9: 8}.get(most, most - most % 2)


def _total_text(path: Path, image: Path, cutter: ImageCutter, lines: list[str]) -> Iterator[Item]:
    """Regions in the form of Total-Text, whose arrays may run over several lines."""
    whole = "\n".join(lines)
    end = 0
    for match in _TOTAL_TEXT.finditer(whole):
        yield from _unread(path, whole, end, match.start())
        end = match.end()
        line = whole.count("\n", 0, match.start()) + 1
        label = _python_text(match["text"])
        try:
            x, y = (np.array(match[axis].replace(",", " ").split(), np.float64) for axis in "xy")
        except ValueError as error:
            yield BadRow(line, str(error), path)
            continue
        if len(x) != len(y):
            yield BadRow(line, f"{len(x)} x and {len(y)} y", path)
        elif not label:
            yield BadRow(line, "empty label", path)
        else:
            yield cutter.row(line, image, np.stack([x, y], axis=1), label, path)
    yield from _unread(path, whole, end, len(whole))


def _python_text(text: str) -> str:
    """The text of a Python literal such as ``u'word'``; what is none stays as it is."""
    try:
        return str(ast.literal_eval(text.strip())).strip()
    except (ValueError, SyntaxError):
        return text.strip()


def _unread(path: Path, whole: str, start: int, end: int) -> Iterator[BadRow]:
    """What stands between regions and is none."""
    rest = whole[start:end]
    if rest.strip():
        lead = len(rest) - len(rest.lstrip())
        yield BadRow(whole.count("\n", 0, start + lead) + 1, "not a region of the form x: [[…]], y: [[…]]", path)
