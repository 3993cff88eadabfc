"""docs/own-data.md: a small form of each walk through the real command, and how its figures are written."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import stat
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("torch")

from data.synth.words import in_split

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "own-data.md"
SMALL = {
    r"--count \d+": "--count 12 --processes 1",
    r"(head|tail) -n \d{2,}": r"\1 -n 6",
    r"steps=\d+": "steps=2 batch_size=8",
    r"--steps \d+": "--steps 2 --batch-size 8",
}
"""What is made smaller in the document's commands; the commands themselves stay."""


@pytest.fixture(scope="module")
def walk() -> ModuleType:
    specification = importlib.util.spec_from_file_location("run_walk", ROOT / "docs" / "run_walk.py")
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``rectify-ocr`` of this checkout, and an ``npm`` that installs the fonts of matplotlib, without a network."""
    import matplotlib

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    unseen = next(
        name for name in map("DejaVu{}".format, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") if in_split(name.lower(), "unseen")
    )
    folder = tmp_path / "bin"
    folder.mkdir()
    scripts = {
        "npm": 'test "$2" != --prefix || { mkdir "$3" && cd "$3"; }\n'
        f'mkdir node_modules\ncp "{fonts}/DejaVuSans.ttf" node_modules\n'
        f'cp "{fonts}/DejaVuSerif.ttf" node_modules/{unseen}.ttf\n',
        "rectify-ocr": f'exec "{sys.executable}" -m rectify.cli "$@"\n',
    }
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\nset -e\n{script}")
        (folder / name).chmod((folder / name).stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(sys, "executable", str(folder / "python"))


@pytest.mark.parametrize("name", ["polish", "greek", "blackletter"])
def test_a_walk_gives_its_figures(
    tmp_path: Path, programs: None, walk: ModuleType, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    script, files = walk.walks_of(DOCUMENT.read_text(encoding="utf-8"))[name]
    for large, small in SMALL.items():
        script, changes = re.subn(large, small, script)
        assert changes or (name == "blackletter" and large.startswith("--steps"))
    folder = tmp_path / name
    folder.mkdir()
    walk.run(script, folder)
    said = capfd.readouterr().err
    assert "rectifier: carried over whole" in said
    fresh = (
        r"carried over whole"
        if name == "blackletter"
        else r"carried over with \d+ of its 94 characters; \d+ start fresh: [αą]"
    )
    assert re.search(rf"recognizer: {fresh}", said)
    rows = walk.figures_table([folder / file for file in files]).splitlines()
    assert rows[0].count("|") == 3 + len(files)
    assert any(row.startswith(f"| {name}-test") for row in rows[2:])


def test_figures_are_written_between_their_markers_and_compared(
    tmp_path: Path, walk: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"protocol": "letters", "rectify": True, "sets": {"mine": {"samples": 7, "word_accuracy": 12.34}}}
    document = tmp_path / "walk.md"
    document.write_text(
        "# Walk\n\n<!-- run: one two -->\n```bash\nx=7\n```\n\n```bash\nexit 3\n```\n\n<!-- run: two -->\n```bash\n"
        f"test $x = 7\ntest ! -e out.json\necho '{json.dumps(values)}' > out.json\n```\n\n"
        "<!-- two figures: out.json -->\n<!-- /two figures -->\n\nrest\n"
    )
    assert walk.main([str(document), "--check"]) == 1
    assert walk.main([str(document), "--update"]) == 0
    text = document.read_text()
    assert "| mine |     7 | 12.3 |" in text and text.endswith("<!-- /two figures -->\n\nrest\n")
    assert walk.main([str(document), "--check"]) == 0
    document.write_text(text.replace("12.3 |", "12.4 |"))
    assert walk.main([str(document), "--check"]) == 1
    with pytest.raises(SystemExit, match="2"):
        walk.main([str(document), "--walk", "three"])
    assert "has no walk three, only two" in capsys.readouterr().err


def test_a_command_that_fails_ends_the_walk(tmp_path: Path, walk: ModuleType) -> None:
    with pytest.raises(Exception, match="status 1"):
        walk.run("false\ntouch reached\n", tmp_path)
    assert not (tmp_path / "reached").exists()
