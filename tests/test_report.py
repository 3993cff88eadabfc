"""The report: what it shows, in which order, and that labels cannot break it."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from train import report
from train.crops import Image
from train.evaluate import Outcome
from train.report import ReportSet, page

RIGHT = Outcome(1, "one", "one", 0.9, right=True, raw_text="one", raw_confidence=0.9, raw_right=True)
FIXED = Outcome(2, "two", "two", 0.9, right=True, raw_text="tvvo", raw_confidence=0.4)
HARMED = Outcome(3, "three", "thre", 0.5, raw_text="three", raw_confidence=0.8, raw_right=True)
WRONG = Outcome(4, "four", "f0ur", 0.25, raw_text="fuor", raw_confidence=0.3)
BAD = Outcome(5, "five", raw_text="", error="set: image-000000005: not an image")


class Structure(HTMLParser):
    """Tags of a page and the text between them."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def picture(outcome: Outcome) -> list[tuple[str, Image]]:
    """A red picture."""
    return [("crop", np.full((10, 40, 3), (255, 0, 0), np.uint8))]


def decode(source: str) -> Image:
    """The picture (H, W, 3), BGR, in a data address."""
    encoded = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))
    decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(decoded, np.uint8)


def sections(*outcomes: Outcome, name: str = "set") -> str:
    """HTML of a set with these outcomes."""
    shown = ReportSet(name)
    for outcome in outcomes:
        shown.add(outcome)
    return shown.sections(picture)


def test_harmed_come_first_then_fixed_then_wrong() -> None:
    text = Structure(sections(RIGHT, WRONG, FIXED, HARMED, BAD)).text
    places = [text.index(word) for word in ("harmed", "three", "fixed", "two", "wrong (2)", "four", "five")]
    assert places == sorted(places)
    assert "one" not in text


def test_a_card_holds_both_texts_and_confidences() -> None:
    text = Structure(sections(HARMED)).text
    assert re.search(r"label\s*three.*read\s*thre\s*wrong 0\.50.*raw\s*three\s*right 0\.80", text)


def test_a_bad_sample_shows_its_error_and_asks_for_no_picture() -> None:
    html = sections(BAD)
    assert "image-000000005: not an image" in html
    assert "<img" not in html


def test_nothing_wrong_is_said() -> None:
    assert "Every crop was read right" in sections(RIGHT)


def test_strings_cannot_break_out() -> None:
    nasty = "<script>\"&'</script>"
    outcome = Outcome(1, nasty, nasty + "x", 0.5, raw_text=nasty, raw_right=True)
    html = page(nasty, [nasty], ["set", nasty], [[nasty, nasty]], [sections(outcome, BAD, name=nasty)])
    structure = Structure(html)
    assert "script" not in {tag for tag, _ in structure.tags}
    assert structure.text.count(nasty) == 2 + 1 + 1 + 2 + 1 + 3  # title and h1, facts, header, row, set, three texts


def test_dollar_signs_are_plain_text() -> None:
    assert "$title $$5" in Structure(page("report", ["$title $$5"], ["set"], [["a"]], [])).text


def test_pictures_are_embedded_and_nothing_is_fetched() -> None:
    html = page("report", [], ["set"], [["set"]], [sections(HARMED, FIXED, WRONG)])
    sources = [attributes["src"] or "" for tag, attributes in Structure(html).tags if tag == "img"]
    assert len(sources) == 3
    decoded = decode(sources[0])
    assert decoded.shape == (10, 40, 3)
    blue, green, red = decoded.reshape(-1, 3).mean(0)
    assert red > 240 and blue < 15 and green < 15
    assert all(source.startswith("data:") for source in sources)
    assert not re.search(r"https?:|href|url\(|@import|<link|<script", html)


@pytest.mark.parametrize(("size", "expected"), [((4000, 100), (360, 9)), ((20, 960), (2, 96)), ((30, 20), (30, 20))])
def test_pictures_are_shrunk_but_not_enlarged(size: tuple[int, int], expected: tuple[int, int]) -> None:
    shown = ReportSet("set")
    shown.add(WRONG)
    html = shown.sections(lambda outcome: [("crop", np.zeros((size[1], size[0], 3), np.uint8))])
    assert decode(html.split('src="')[1].split('"')[0]).shape[1::-1] == expected


def test_many_crops_are_capped_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MAX_CASES", 3)
    html = sections(*[WRONG] * 8, HARMED)
    assert html.count("<img") == 4
    assert "5 more are not shown" in html
    assert "wrong (8)" in html


def test_the_page_is_made_for_phones_and_for_the_dark() -> None:
    html = page("report", [], ["set"], [["set"]], [])
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in Structure(html).tags
    assert "prefers-color-scheme: dark" in html
