"""The command ``rectify-ocr``: sends each sub-command to the module that does it, and turns errors into one line."""

from __future__ import annotations

import codecs
import importlib
import os
import sys
from collections.abc import Callable

COMMANDS = {
    "collection": "data.collection_command",
    "crop": "rectify.crop_command",
    "eval": "train.eval_command",
    "quality": "train.quality_command",
    "train": "train.train_command",
    "synth": "data.synth_command",
    "splice": "data.splice_command",
    "lmdb": "data.lmdb_command",
    "export": "train.export_command",
    "import": "train.import_command",
    "quantize": "train.quantize_command",
}
"""Sub-command to the module whose ``main(argv)`` runs it. Anything else reads pictures. The right-hand packages are
reached by name, here alone: this is the project's composition root."""

READING = "rectify.read_command"

_EXTRAS = {
    "lmdb": "eval",
    "editdistance": "eval",
    "ray": "ray",
    "pyarrow": "ray",
    "cv2": "",
    "numpy": "",
    "onnxruntime": "",
    "tqdm": "",
}
"""Which extra of the distribution brings a module; ``train`` brings all that are not named."""

PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
"""Environment of torch's threads, unless the user has set it. Two trainings that share two cores spin otherwise while
they wait for each other, and took forty times as long."""

ANY_NAME = "rectify-ocr.any-name"
"""Name of the handler for what stdout's encoding lacks."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells give it."""


def main(argv: list[str] | None = None) -> int:
    """Runs the command.

    Returns:
        0 all done, 1 some input failed, 2 wrong usage, 130 stopped by Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else argv
    name = argv[0] if argv and argv[0] in COMMANDS else None
    for variable, value in PASSIVE.items():
        os.environ.setdefault(variable, value)  # read when torch is loaded
    if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
        codecs.register_error(ANY_NAME, _encode_any)
        sys.stdout.reconfigure(errors=ANY_NAME)
    try:
        command: Callable[[list[str]], int] = importlib.import_module(COMMANDS[name] if name else READING).main
        code = command(argv[1:] if name else argv)
        if sys.stdout is not None:  # closed by the shell
            sys.stdout.flush()
        return code
    except ModuleNotFoundError as error:
        return _fail(missing_package(error))
    except BrokenPipeError:
        # The reader of stdout is gone (as in `| head`); nothing may be flushed to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ValueError, OSError) as error:
        return _fail(str(error))


def _encode_any(error: UnicodeError) -> tuple[str | bytes, int]:
    """A file may have any name: bytes that are no text as they are, letters that the encoding lacks by escapes."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


def _fail(message: str) -> int:
    print(f"rectify-ocr: {message}", file=sys.stderr)
    return 1


def missing_package(error: ModuleNotFoundError) -> str:
    """One line that says what to install."""
    if "pip install" in str(error):
        return str(error)  # the engines know their extras themselves
    module = (error.name or str(error)).partition(".")[0]
    extra = _EXTRAS.get(module, "train")
    target = f"rectify-ocr[{extra}]" if extra else "rectify-ocr"
    return f'needs the Python package {module}: pip install "{target}"'


if __name__ == "__main__":
    sys.exit(main())
