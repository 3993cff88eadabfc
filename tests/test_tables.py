"""The table of README.md and MODEL_CARD.md, from what eval writes to the updated file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from train.tables import BEGIN, END, main

DOCUMENT = f"# Title\n\n{BEGIN}\nold\n{END}\n\nrest\n"


def evaluation(path: Path, rectify: bool = True, **sets: Any) -> str:
    """A file as ``eval --json`` writes it."""
    lexicon = {"lexicon": sets.pop("lexicon")} if "lexicon" in sets else {}
    values = {
        name: {"samples": 647, "word_accuracy": accuracy, "one_minus_ned": 0.9061, "crops_per_second": 9.0}
        for name, accuracy in sets.items()
    }
    content = {"engine": "builtin", "rectify": rectify, "protocol": "36", **lexicon, "sets": values}
    path.write_text(json.dumps(content))
    return str(path)


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_ours_and_published_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [
        evaluation(tmp_path / "raw.json", rectify=False, SVT=66.77),
        evaluation(tmp_path / "lexicon.json", lexicon="sidecar", SVT=97.06),
        evaluation(tmp_path / "eval.json", Mine=50.0, CUTE80=80.84, SVT=74.03),
    ]
    assert main(files) == 0
    printed = capsys.readouterr().out
    assert rows(printed)[0] == [
        "set",
        "crops",
        "word accuracy",
        "without rectification",
        "1 − NED",
        "RARE",
        "ASTER",
        "TRBA",
    ]
    assert rows(printed)[2:] == [
        ["SVT", "647", "74.0", "66.8", "0.906", "81.9", "89.5", "87.5"],
        ["CUTE80", "647", "80.8", "–", "0.906", "59.2", "79.5", "74.0"],
        ["SVT, 50 words", "647", "97.1", "–", "0.906", "95.5", "–", "–"],
        ["Mine", "647", "50.0", "–", "0.906", "–", "–", "–"],
    ]
    assert "CVPR 2016" in printed and "ICCV 2019" in printed


def test_only_what_stands_between_the_markers_is_replaced(tmp_path: Path) -> None:
    files = [tmp_path / "README.md", tmp_path / "MODEL_CARD.md"]
    for file in files:
        file.write_text(DOCUMENT, encoding="utf-8")
    source = evaluation(tmp_path / "eval.json", SVT=74.0)
    for _ in range(2):  # a second time changes nothing
        assert main([source, "--update", *map(str, files)]) == 0
        for file in files:
            text = file.read_text(encoding="utf-8")
            assert text.startswith(f"# Title\n\n{BEGIN}\n| set") and text.endswith(f".\n{END}\n\nrest\n")
            assert "old" not in text and text.count("| SVT") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["MODEL_CARD.md", "README.md", "eval.json"]


def test_the_projects_own_documents_have_the_markers(tmp_path: Path) -> None:
    for name in ("README.md", "MODEL_CARD.md"):
        copy = tmp_path / name
        copy.write_text((Path(__file__).parents[1] / name).read_text(encoding="utf-8"), encoding="utf-8")
        assert main([evaluation(tmp_path / "eval.json", SVT=12.34), "--update", str(copy)]) == 0
        assert "12.3" in copy.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "document",
    ["no markers\n", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", DOCUMENT + DOCUMENT, f"{BEGIN}\n{BEGIN}\n{END}\n"],
)
def test_a_file_with_other_markers_is_left_alone(
    tmp_path: Path, document: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "README.md"
    file.write_text(document)
    with pytest.raises(SystemExit, match="2"):
        main([evaluation(tmp_path / "eval.json", SVT=1.0), "--update", str(file)])
    assert "README.md: needs one line <!-- figures -->" in capsys.readouterr().err
    assert file.read_text() == document


def test_wrong_evaluations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = evaluation(tmp_path / "eval.json", SVT=1.0)
    raw = evaluation(tmp_path / "raw.json", rectify=False, SVT=1.0)
    other = tmp_path / "other.json"
    cased = tmp_path / "cased.json"
    cased.write_text(Path(good).read_text().replace('"36"', '"94"'))
    for content in ("", "[]", "{}", '{"rectify": true, "protocol": "36", "sets": {"SVT": {}}}'):
        other.write_text(content)
        with pytest.raises(SystemExit, match="2"):
            main([str(other)])
        assert "other.json: not figures" in capsys.readouterr().err

    def altered(name: str, before: str, after: str) -> str:
        path = tmp_path / f"{name}.json"
        path.write_text(Path(good).read_text().replace(before, after))
        return str(path)

    for files, message in (
        ([raw], "no evaluation with rectification"),
        ([good, good], "two evaluations of SVT"),
        ([str(cased)], "cased.json: of 94 characters"),
        ([str(tmp_path / "absent.json")], "absent.json"),
        ([altered("engine", '"builtin"', '"tesseract"')], "not of this project's recogniser on upright crops"),
        ([altered("turned", '"protocol"', '"rotate": 90, "protocol"')], "on upright crops"),
        ([altered("known", '"protocol"', '"lexicon": "words.txt", "protocol"')], "with the lexicon words.txt"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(files)
        assert message in capsys.readouterr().err
