"""Files of texts beside a dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.sidecars import read_cased, read_texts, read_word_lists


def test_texts_keep_everything_after_the_first_tab(tmp_path: Path) -> None:
    path = tmp_path / "texts.tsv"
    path.write_bytes("1\tCafé\r\n3\ta\tb \n12\t\n".encode())
    assert read_texts(path) == {1: "Café", 3: "a\tb ", 12: ""}


@pytest.mark.parametrize("line", [b"no tab", b"x\tword", b"2\tcaf\xe9", b""])
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "cased.tsv").write_bytes(b"1\tone\n" + line + b"\n3\tthree\n")
    with pytest.raises(ValueError, match=r"cased\.tsv: line 2 is not NUMBER<TAB>TEXT"):
        read_cased(tmp_path)


def test_cased_labels_may_be_absent_lexicons_not(tmp_path: Path) -> None:
    assert read_cased(tmp_path) == {}
    with pytest.raises(FileNotFoundError, match=r"lexicon50\.tsv: no such file"):
        read_word_lists(tmp_path)


def test_lexicons(tmp_path: Path) -> None:
    (tmp_path / "lexicon50.tsv").write_text("1\tTHE,DOOR,THE\n2\tOPEN\n")
    assert read_word_lists(tmp_path) == {1: ("THE", "DOOR", "THE"), 2: ("OPEN",)}
    (tmp_path / "lexicon50.tsv").write_text("1\tTHE\n2\t,\n")
    with pytest.raises(ValueError, match="sample 2 has no words"):
        read_word_lists(tmp_path)
