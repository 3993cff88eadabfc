"""What each package may import, and when."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import recognizer
import rectify
from helpers import save_recognizer, save_rectifier
from rectify.conventions import canonical_points

ROOT = Path(__file__).parents[1]

PACKAGES = ["rectify", "recognizer", "data", "train"]
"""Each may import itself and those to the left."""

COMPOSITION_ROOT = {Path("rectify/cli.py"), Path("rectify/read_command.py")}
"""The dispatcher and its reading command reach to the right, by name."""

TORCH = {"rectify/network.py", "rectify/sampler.py", "rectify/transformer.py", "recognizer/network.py"}
TORCH |= {f"recognizer/classic/{name}.py" for name in ("encoders", "heads", "localization", "network", "spline")}
TORCH |= {"rectify/orientation_network.py", "recognizer/attention_network.py", "recognizer/language_network.py"}
"""Modules of the runtime's packages that need torch."""


def sources() -> list[Path]:
    return [path.relative_to(ROOT) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that a file imports, at whatever depth, also by a literal name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield str(node.module)
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            yield from (str(a.value) for a in node.args[:1] if isinstance(a, ast.Constant))


def fresh(code: str, cwd: Path = ROOT, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a new interpreter."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )


def test_there_are_sources() -> None:
    assert {path.parts[0] for path in sources()} >= {"rectify", "recognizer"}


@pytest.mark.parametrize("path", sources(), ids=str)
def test_imports_go_to_the_left_only(path: Path) -> None:
    allowed = PACKAGES[: PACKAGES.index(path.parts[0]) + 1]
    wrong = []
    for name in imported(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        package = name.partition(".")[0]
        if package in PACKAGES and package not in allowed:
            wrong.append(name)
    assert path in COMPOSITION_ROOT or not wrong, f"{path} imports {wrong}"


def test_the_rule_finds_what_breaks_it() -> None:
    code = "def f():\n    from train.loop import x\n    importlib.import_module('data.reader')\nimport recognizer.ctc"
    assert set(imported(ast.parse(code))) == {"train.loop", "data.reader", "recognizer.ctc"}


@pytest.mark.parametrize("package", ["rectify", "recognizer"])
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    heavy = "torch torchvision onnxruntime cv2 numpy tqdm lmdb PIL"
    done = fresh(f"import sys, {package}; print([m for m in {heavy.split()} if m in sys.modules])")
    assert done.stdout == "[]\n", done.stderr


def test_the_runtime_imports_without_torch_and_loads_onnxruntime_late() -> None:
    modules = [
        ".".join(path.with_suffix("").parts)
        for path in sources()
        if path.parts[0] in ("rectify", "recognizer") and path.as_posix() not in TORCH and path.stem != "__init__"
    ]
    assert "rectify.rectifier" in modules
    code = (
        "import importlib, sys\n"
        "for name in ('torch', 'torchvision', 'lmdb', 'PIL', 'onnx', 'safetensors'): sys.modules[name] = None\n"
        f"for name in {modules}: importlib.import_module(name)\n"
        "print('onnxruntime' in sys.modules, 'tqdm' in sys.modules)"
    )
    done = fresh(code)
    assert done.stdout == "False False\n", done.stderr


@pytest.mark.parametrize("package", [rectify, recognizer], ids=["rectify", "recognizer"])
def test_exported_names(package: object) -> None:
    expected = {
        "rectify": ["Framing", "LocalizationNetwork", "Rectified", "Rectifier", "SpatialTransformer"],
        "recognizer": ["Charset", "CropReading", "Lexicon", "Pipeline", "Reading", "Recognizer"],
    }
    name = package.__name__  # type: ignore[attr-defined]
    assert package.__all__ == expected[name]  # type: ignore[attr-defined]
    for exported in expected[name]:
        assert getattr(package, exported).__name__ == exported
        assert exported in dir(package)
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = package.nothing  # type: ignore[attr-defined]


def test_a_users_own_modules_beside_the_script_do_no_harm(tmp_path: Path) -> None:
    """data.py and train.py are names that people give their files."""
    for name in ("data.py", "train.py"):
        (tmp_path / name).write_text("raise SystemExit('the user\\'s file was imported')\n")
    (tmp_path / "weights").mkdir()
    save_recognizer(tmp_path / "weights" / "recognizer.onnx")
    save_rectifier(tmp_path / "weights" / "rectifier.onnx", canonical_points(5, 5))
    (tmp_path / "script.py").write_text(
        "import numpy as np\n"
        "from recognizer import Pipeline\n"
        "from rectify import Rectifier\n"
        "image = np.full((20, 60, 3), 255, np.uint8)\n"
        "print(Rectifier('weights').rectify(image).image.shape, repr(Pipeline('weights').read(image).text))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "(20, 60, 3) ''\n", done.stderr
