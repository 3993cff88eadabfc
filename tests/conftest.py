"""Fixtures that several test files share: a font and a few synthetic words."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def fonts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one font, the one that Pillow carries."""
    from PIL import ImageFont

    folder = tmp_path_factory.mktemp("fonts")
    (folder / "Aileron-Regular.ttf").write_bytes(ImageFont.load_default(16).font_bytes)
    return folder


@pytest.fixture(scope="session")
def words_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short word list."""
    path = tmp_path_factory.mktemp("words") / "words.txt"
    path.write_text("\n".join(["harbour", "museum", "open", "street", "coffee", "library", "exit", "market"]))
    return path


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory, fonts: Path, words_file: Path) -> Path:
    """An LMDB of 32 synthetic words with their geometry."""
    from data.synth_command import main

    out = tmp_path_factory.mktemp("synthetic") / "words"
    arguments = ["--count", "32", "--seed", "3", "--fonts", str(fonts), "--words", str(words_file), "--processes", "1"]
    assert main([str(out), *arguments]) == 0
    return out
