from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from rectify.arguments import output_file, positive


def test_whole_numbers_from_one_on() -> None:
    assert [positive(text) for text in ("1", "007", "60")] == [1, 7, 60]


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", ""])
def test_anything_else_is_named(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}' is not a positive whole number"):
        positive(text)


def test_a_dash_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="/dev/stdout is standard output"):
        output_file("-")
    assert output_file(str(tmp_path / "-")) == tmp_path / "-"
