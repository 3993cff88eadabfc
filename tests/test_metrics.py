"""Metrics: exact cases, then properties."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizer.charset import ASCII94
from train.metrics import PROTOCOLS, CharacterErrorRate, Metric, OneMinusNed, WordAccuracy, normalize, one_minus_ned

texts = st.text(alphabet=st.characters(codec="utf-8"), max_size=12)
words = st.text(alphabet="abc", max_size=8)


@pytest.mark.parametrize(
    ("protocol", "kept"),
    [("36", "heyou42"), ("62", "HeYou42"), ("94", "He-You!42~")],
)
def test_protocols_keep_their_characters(protocol: str, kept: str) -> None:
    assert normalize(" He-You! 42~é€", protocol) == kept


def test_protocols_hold_the_number_of_characters_they_are_named_after() -> None:
    assert {name: len(set(characters)) for name, characters in PROTOCOLS.items()} == {"36": 36, "62": 62, "94": 94}


def test_unknown_protocol_is_refused() -> None:
    with pytest.raises(ValueError, match=r"37.*36, 62, 94"):
        normalize("a", "37")


@pytest.mark.parametrize(
    ("label", "text", "expected"),
    [
        ("", "", 1.0),
        ("", "ab", 0.0),
        ("ab", "", 0.0),
        ("abcd", "abcd", 1.0),
        ("abcd", "abed", 0.75),
        ("ab", "abcd", 0.5),
    ],
)
def test_one_minus_ned(label: str, text: str, expected: float) -> None:
    assert one_minus_ned(label, text) == expected


def test_metrics_over_words() -> None:
    accuracy, ned, cer = WordAccuracy(), OneMinusNed(), CharacterErrorRate()
    for label, text in [("abcd", "abcd"), ("abcd", "abed"), ("a", "ab"), ("x", "")]:
        for metric in (accuracy, ned, cer):
            metric.update(label, text)
    assert accuracy.summary() == 25.0
    assert ned.summary() == (1 + 0.75 + 0.5 + 0) / 4
    assert cer.summary() == (0 + 1 + 1 + 1) / 10


@pytest.mark.parametrize("kind", [WordAccuracy, OneMinusNed, CharacterErrorRate])
def test_nothing_seen_is_not_a_number(kind: type[Metric]) -> None:
    assert math.isnan(kind().summary())


@pytest.mark.parametrize("kind", [WordAccuracy, OneMinusNed, CharacterErrorRate])
def test_merged_metrics_are_those_of_all_words(kind: type[Metric]) -> None:
    pairs = [("abcd", "abed"), ("a", ""), ("xyz", "xyz"), ("xyz", "xy")]
    whole, parts = kind(), (kind(), kind())
    for number, (label, text) in enumerate(pairs):
        whole.update(label, text)
        parts[number == 0].update(label, text)
    parts[0].merge(parts[1])
    assert parts[0].summary() == whole.summary()


@given(texts, st.sampled_from(sorted(PROTOCOLS)))
def test_normalised_text_stays_as_it_is(text: str, protocol: str) -> None:
    once = normalize(text, protocol)
    assert normalize(once, protocol) == once
    assert set(once) <= set(PROTOCOLS[protocol])


@given(words, words)
def test_one_minus_ned_is_symmetric_bounded_and_one_only_for_equals(a: str, b: str) -> None:
    value = one_minus_ned(a, b)
    assert value == one_minus_ned(b, a)
    assert 0 <= value <= 1
    assert (value == 1) == (a == b)


def test_letters_and_digits_of_any_alphabet_count() -> None:
    assert normalize("Łódź-5!", "letters") == "łódź5"
    assert normalize("ΑΘΉΝΑ", "letters") == normalize("Αθήνα", "letters") == "αθήνα"
    assert normalize("Lo\u0301dz", "letters") == "lódz"
    assert normalize("हिंदी!", "letters") == "हिंदी"  # vowels are marks


@given(st.text(alphabet=ASCII94 + " ", max_size=12))
def test_on_ascii_letters_is_the_protocol_of_36(text: str) -> None:
    assert normalize(text, "letters") == normalize(text, "36")
