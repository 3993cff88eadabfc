"""Characters and class indices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognizer.charset import ASCII94, Charset


def test_default_is_printable_ascii_without_the_space() -> None:
    assert sorted(ASCII94) == [chr(code) for code in range(33, 127)]
    assert Charset().characters == ASCII94
    assert ASCII94.startswith("0123456789abc")


def test_classes_start_at_one() -> None:
    charset = Charset("abc")
    assert charset.encode("cab") == [3, 1, 2]
    assert charset.decode([3, 1, 2]) == "cab"
    assert len(charset) == 3


@given(st.text(ASCII94))
def test_decode_undoes_encode(text: str) -> None:
    assert Charset().decode(Charset().encode(text)) == text


def test_any_charset() -> None:
    charset = Charset("éß字😀")
    assert charset.decode(charset.encode("字😀é")) == "字😀é"


def test_unknown_characters_are_named() -> None:
    with pytest.raises(ValueError, match=r"'\?' 'z' of 'az\?'"):
        Charset("abc").encode("az?")


def test_keep_drops_unknown_characters() -> None:
    assert Charset("abc").keep("a-b zc") == "abc"
    assert "a" in Charset("abc")
    assert "C" not in Charset("abc")


def test_letters_known_in_the_other_case_only_are_kept_in_that() -> None:
    assert Charset("abc").keep("aBCd-c") == "abcc"
    assert Charset("aBc").keep("aAbB") == "aaBB"
    assert Charset("abAB").keep("aAbB") == "aAbB"
    assert Charset("s").keep("ß") == "" and Charset("ß").keep("ßs") == "ß"


@pytest.mark.parametrize(
    ("characters", "message"), [("", "needs characters"), ("abca", "each character once, repeated: 'a'")]
)
def test_empty_and_repeated_are_refused(characters: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Charset(characters)


def test_equal_by_characters() -> None:
    assert Charset("ab") == Charset("ab")
    assert Charset("ab") != Charset("ba")
    assert len({Charset("ab"), Charset("ab")}) == 1
