"""One cause for each wrong crop, and which characters were taken for which."""

from __future__ import annotations

import pytest

from train.causes import (
    CASE,
    CAUSES,
    CONFUSION,
    CUT_OFF,
    GEOMETRY,
    LOW_RESOLUTION,
    OTHER,
    UNREADABLE,
    VERTICAL,
    Circumstances,
    Confusions,
    count_causes,
    find_cause,
    substitutions,
)

PLAIN = Circumstances((100, 40), 30.0, raw_text="")


@pytest.mark.parametrize(
    ("label", "text", "known", "cause"),
    [
        ("museum", "", None, UNREADABLE),
        ("museum", "museu", PLAIN, CUT_OFF),
        ("museum", "useum", PLAIN, CUT_OFF),
        ("Museum!", "USEU", PLAIN, CUT_OFF),
        ("museum", "mus", PLAIN, CUT_OFF),
        ("museum", "mu", PLAIN, OTHER),  # less than half of it
        ("museum", "", PLAIN, OTHER),
        ("museum", "muse-um-x", PLAIN, CONFUSION),
        ("museum", "muscum", PLAIN, CONFUSION),
        ("museum", "musecm", PLAIN, CONFUSION),
        ("museum", "mnsccm", PLAIN, OTHER),
        ("a", "o", PLAIN, CONFUSION),
        ("ab", "xy", PLAIN, OTHER),
        ("museum", "muscum", Circumstances((100, 40), 30.0, raw_text="Museum"), GEOMETRY),
        ("museum", "nnsxxm", Circumstances((100, 40), 30.0, raw_text="muscnm"), GEOMETRY),  # 4 edits and 2
        ("museum", "nnsxxm", Circumstances((100, 40), 30.0, raw_text="mnscnm"), OTHER),  # 4 edits and 3
        ("museum", "muscum", Circumstances((100, 40), 30.0, folded=True, raw_text=""), GEOMETRY),
        ("museum", "museu", Circumstances((100, 40), 30.0, folded=True, raw_text="museum"), CUT_OFF),
        ("museum", "muscum", Circumstances((100, 40), 9.9, raw_text=""), LOW_RESOLUTION),
        ("museum", "muscum", Circumstances((100, 40), 10.0), CONFUSION),
        ("museum", "museu", Circumstances((40, 60), 30.0), VERTICAL),
        ("museum", "muscum", Circumstances((40, 59), 30.0), CONFUSION),
    ],
)
def test_exact_cases(label: str, text: str, known: Circumstances | None, cause: str) -> None:
    assert find_cause(label, text, known) == cause


@pytest.mark.parametrize(
    ("label", "text", "protocol", "cause"),
    [
        ("Museum", "museum", "62", CASE),
        ("Muse-um", "muse.um", "94", CASE),
        ("Museum", "museun", "62", CONFUSION),
        ("!", "?", "94", CONFUSION),
        ("Zürich", "zürich", "94", CASE),
        ("Zürich", "Zrich", "letters", CONFUSION),
    ],
)
def test_case_and_punctuation(label: str, text: str, protocol: str, cause: str) -> None:
    assert find_cause(label, text, PLAIN, protocol) == cause


@pytest.mark.parametrize(
    ("label", "text", "found"),
    [
        ("abc", "abc", []),
        ("abc", "axc", [("b", "x")]),
        ("abc", "ac", []),
        ("abc", "abbc", []),
        ("abcd", "xbcy", [("a", "x"), ("d", "y")]),
        ("abcd", "bcx", [("d", "x")]),
        ("", "abc", []),
        ("abc", "", []),
    ],
)
def test_substitutions(label: str, text: str, found: list[tuple[str, str]]) -> None:
    assert substitutions(label, text) == found


def test_confusions_are_counted_where_the_text_is_near_the_label() -> None:
    confusions = Confusions()
    for label, text in (("google", "coogle"), ("GATE", "cate"), ("one", "0ne"), ("abc", "xyz"), ("abc", "abc")):
        confusions.update(label, text)
    assert confusions.most_frequent() == [("g", "c", 2), ("o", "0", 1)]
    assert confusions.most_frequent(1) == [("g", "c", 2)]
    other = Confusions()
    other.update("one", "0ne")
    other.update("oo", "0o")
    confusions.merge(other)
    assert confusions.most_frequent(1) == [("o", "0", 3)]


def test_case_is_a_confusion_where_it_counts() -> None:
    confusions = Confusions()
    confusions.update("Open", "open", "62")
    assert confusions.most_frequent() == [("O", "o", 1)]


def test_causes_are_counted_in_their_order() -> None:
    assert list(count_causes([OTHER, CUT_OFF, OTHER]).items()) == [(CUT_OFF, 1), (OTHER, 2)]
    assert list(count_causes(CAUSES)) == list(CAUSES)
