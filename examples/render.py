"""Renders the example crops of this folder and the README's picture; run from the repository's root.

python examples/render.py crops        # examples/*.png
python examples/render.py overview     # docs/overview.png: crop, control points, straightened crop, text
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
OVERVIEW = HERE.parent / "docs" / "overview.png"
WORDS = ("harbour", "museum", "coffee", "market", "library", "orchard", "station", "theatre")
SEED = 4
CHOSEN = (45, 68, 157, 232)
"""Samples of the renderer that show an arc, a perspective, a bend and a slope."""

Image = NDArray[np.uint8]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["crops", "overview"])
    if parser.parse_args(argv).what == "crops":
        render_crops()
    else:
        render_overview()


def render_crops() -> None:
    """Write the chosen samples under their words."""
    from PIL import ImageFont

    from data.synth.render import Renderer

    with tempfile.TemporaryDirectory() as folder:
        # Pillow carries one font; examples need no other, and no download.
        (Path(folder) / "Aileron-Regular.ttf").write_bytes(ImageFont.load_default(16).font_bytes)
        (Path(folder) / "words.txt").write_text("\n".join(WORDS), encoding="utf-8")
        renderer = Renderer([folder], SEED, vocabulary=Path(folder) / "words.txt")
        for index in CHOSEN:
            word = renderer(index)
            image = cv2.imdecode(np.frombuffer(word.image, np.uint8), cv2.IMREAD_COLOR)
            cv2.imwrite(str(HERE / f"{word.label.lower()}.png"), image)


def render_overview() -> None:
    """Draw what the shipped weights make of the examples."""
    from recognizer import Pipeline
    from rectify.images import read_image
    from rectify.overlay import draw_overlay

    pipeline = Pipeline()
    rows = []
    for path in sorted(HERE.glob("*.png")):
        crop = read_image(path)
        reading = pipeline.read(crop)
        overlay = draw_overlay(crop, reading.control_points, reading.rows, reading.cols)
        cells = [_cell(crop, 300), _cell(overlay, 300), _cell(reading.crop, 330), _text(reading.text, 230)]
        rows.append(np.concatenate(cells, axis=1))
    cv2.imwrite(str(OVERVIEW), np.concatenate(rows)[..., ::-1])


def _cell(image: Image, width: int, height: int = 150) -> Image:
    """The picture as large as it fits on white."""
    scale = min((width - 16) / image.shape[1], (height - 16) / image.shape[0])
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    cell = np.full((height, width, 3), 255, np.uint8)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    cell[top : top + size[1], left : left + size[0]] = cv2.resize(image, size, interpolation=way)
    return cell


def _text(text: str, width: int, height: int = 150) -> Image:
    cell = np.full((height, width, 3), 255, np.uint8)
    cv2.putText(cell, text, (12, height // 2 + 10), cv2.FONT_HERSHEY_SIMPLEX, 1.1, (20, 20, 20), 2, cv2.LINE_AA)
    return cell


if __name__ == "__main__":
    main()
