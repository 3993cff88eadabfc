"""`rectify-ocr import`: a checkpoint of another project into this project's format."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rectify.arguments import positive
from rectify.text_files import read_utf8

EXAMPLES = """examples:
  rectify-ocr import TPS-ResNet-BiLSTM-Attn.pth trba.safetensors
  rectify-ocr image.png --weights trba.safetensors
  rectify-ocr import english_g2.pth easyocr.safetensors
  rectify-ocr import mine.pth mine.safetensors --charset-file characters.txt --width 160
  rectify-ocr export trba.safetensors trba              (ONNX, which reads without torch)

Read are the recognisers of deep-text-recognition-benchmark (all its combinations, case-sensitive ones too), of
aster.pytorch, and EasyOCR's of generation 2. Which one a file holds is told from its tensors. It keeps the geometry and
the preparation of pictures that it was trained with. Nothing in the file is executed.
"""


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    args = _parser().parse_args(argv)
    import torch

    from train.foreign import Choices, import_state, load_state
    from train.weights import save_network

    charset = args.charset
    try:
        if os.path.lexists(args.out):
            raise FileExistsError(f"{args.out} exists already; remove it or choose another name")
        if args.charset_file:
            charset = read_utf8(args.charset_file).replace("\n", "")
        choices = Choices(args.source, charset, args.height, args.width, args.pad, args.max_length, args.align_corners)
        imported = import_state(load_state(args.file), choices, args.file)
    except (ValueError, OSError) as error:
        print(f"rectify-ocr: {error}", file=sys.stderr)
        return 2
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_network(args.out, imported.network, imported.description, torch.float32)
    millions = sum(parameter.numel() for parameter in imported.network.parameters()) / 1e6
    charset = imported.description["charset"]
    print(f"{args.out}\t{imported.name}\t{millions:.1f} M parameters, {len(charset)} characters")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rectify-ocr import",
        description="Turn a checkpoint of another project into weights of this one.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help="a file that torch saved, .pth or .pth.tar")
    add("out", type=Path, metavar="OUT", help="safetensors file to write; must not exist yet")
    add("--source", choices=("dtrb", "aster", "easyocr"), help="project (default: told from the tensors)")
    charset = parser.add_mutually_exclusive_group()
    charset.add_argument("--charset", metavar="CHARACTERS", help="in the order of the classes, where it is not usual")
    charset.add_argument("--charset-file", type=Path, metavar="FILE", help="the same, from a text file")
    add("--height", type=positive, metavar="N", help="of the pictures, pixels (default: the project's own)")
    add("--width", type=positive, metavar="N", help="of the pictures (default: as the checkpoint says, or 100)")
    add("--pad", action="store_true", help="trained on pictures that keep their proportions (--PAD)")
    add("--max-length", type=positive, metavar="N", help="most letters of a word, with attention")
    add("--align-corners", action="store_true", help="trained by aster.pytorch with a torch before 1.3")
    return parser
