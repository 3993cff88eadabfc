"""``rectify-ocr IMAGE...``: reads crops, saves them flat, draws where the word was found."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeAlias

from rectify.arguments import out_folder

if TYPE_CHECKING:
    from rectify.conventions import Points
    from rectify.framing import Framing
    from rectify.images import Image
    from rectify.stream import Streamed

    Entry: TypeAlias = "Streamed[Source, Result]"

STDIN = "-"

_ESCAPES = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r"})
"""So that a picture is one line of three columns whatever its name."""

BUILTIN, NONE = "builtin", "none"
"""Choices of --engine besides the names of other engines."""

DECODERS = ("auto", "ctc", "ctc-beam", "attention", "attention-beam", "both", "language")
"""Choices of --decoder, see ``Recognizer``."""

BAR_FROM = 64
"""Pictures from which on a progress bar is shown."""

EXAMPLES = """\
examples:
  rectify-ocr sign.png                        print the word
  rectify-ocr sign.png -o flat                ... and save the straightened crop as flat/sign.png
  rectify-ocr crops/ --json > words.jsonl     one object a line
  rectify-ocr crops/ --overlay drawn          draw the control points on each crop
  rectify-ocr crops/ --engine tesseract       straighten, then let Tesseract read
  rectify-ocr crops/ --lexicon words.txt      read only words of a list, one a line
  curl -s URL | rectify-ocr -                 read from standard input

other commands (each has --help):
  crop, collection, eval, quality, train, synth, splice, lmdb, export, quantize, import
"""


@dataclass(frozen=True)
class Source:
    """One picture to read."""

    label: str
    """What output and errors call it."""
    path: Path | None
    """None is standard input."""
    stem: str
    """Where its results go below the output folders, without an extension."""


@dataclass(frozen=True)
class Result:
    """What was found in one picture."""

    control_points: Points
    """(rows·cols, 2) in pixels of the picture."""
    rows: int
    cols: int
    rectified: bool
    framing: Framing
    """How the straightened crop is cut out."""
    text: str | None = None
    """None where nothing was to be read."""
    confidence: float | None = None
    attention: Image | None = None
    """Where the attention head looked for each letter, if that is to be drawn."""


Reader = Callable[["Sequence[Image]"], "list[Result]"]


def main(argv: list[str]) -> int:
    """Runs the command; returns its exit code."""
    parser = build_parser()
    # argparse, where options may stand between the pictures, knows no names after --.
    options, _, names = _parted(argv, "--")
    arguments = parser.parse_intermixed_args(options)
    arguments.images += names
    if not arguments.images:
        parser.error("name at least one IMAGE, or - for standard input")
    inputs = {_key(Path(image)) for image in arguments.images if os.path.isdir(image)}
    for folder in _output_folders(arguments):
        if _key(folder) in inputs:
            parser.error(f"{folder} is read from: results in it would be read as pictures the next time")
    if arguments.engine == NONE and not (arguments.output or arguments.overlay or arguments.json):
        parser.error("--engine none reads nothing: say what to do with -o DIR, --overlay DIR or --json")
    # The products are small, and more BLAS threads cost their start. Before the first import of numpy.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        check_engine_options(arguments)
        reader = ENGINES[arguments.engine](arguments)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return _Run(arguments, reader).run()


def _parted(items: list[str], separator: str) -> tuple[list[str], list[str], list[str]]:
    """``str.partition`` for lists."""
    place = items.index(separator) if separator in items else len(items)
    return items[:place], items[place : place + 1], items[place + 1 :]


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rectify-ocr",
        usage="%(prog)s IMAGE... [options]",
        description="Read cropped words: straighten each crop, then recognise its text.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("images", nargs="*", metavar="IMAGE", help="picture, folder of pictures, or - for standard input")
    add("-o", dest="output", type=out_folder, metavar="DIR", help="save the straightened crops here, as PNG")
    add(
        "--overlay",
        type=out_folder,
        metavar="DIR",
        help="save the crops with their control points drawn here, as PNG",
    )
    add(
        "--attention",
        type=out_folder,
        metavar="DIR",
        help="save pictures of where the attention head looked for each letter here",
    )
    add("--json", action="store_true", help="print one JSON object a line, with the files that were saved")
    add(
        "--engine",
        choices=list(ENGINES),
        default=BUILTIN,
        help="who reads; none only straightens (default: %(default)s)",
    )
    add(
        "--decoder",
        choices=DECODERS,
        default="auto",
        help="how the builtin engine reads: by one head (-beam searches longer for its most probable text), by both "
        "(the more certain one), or by language (CTC, and where it is not certain the likeliest text by all); auto is "
        "the last of these that the weights can do (default: %(default)s)",
    )
    add(
        "--lexicon",
        metavar="FILE",
        help="read only words of this file, one a line, UTF-8, whatever the case of the crop; by the head of "
        "--decoder, or by both where the first is not sure",
    )
    add(
        "--margin",
        nargs=2,
        type=float,
        metavar=("ENDS", "SIDES"),
        help="space around the word in crops that are saved or go to another engine, as shares of its length and "
        "height (default: 0.06 0.12; for other engines what suits them)",
    )
    add(
        "--any-rotation",
        action="store_true",
        help="the crops may be turned by any angle, upside down included (default: only tall ones may be turned)",
    )
    add("--no-rectify", action="store_true", help="read the crops as they are")
    add("--weights", type=Path, metavar="FILE", help="weight file or folder (default: the shipped weights)")
    add("-q", "--quiet", action="store_true", help="no progress bar")
    add("--version", action=_Version, nargs=0, help="print the version")
    return parser


def _output_folders(arguments: argparse.Namespace) -> list[Path]:
    return [folder for folder in (arguments.output, arguments.overlay, arguments.attention) if folder]


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import rectify

        print(f"rectify-ocr {rectify.__version__}")
        parser.exit()


def check_engine_options(arguments: argparse.Namespace) -> None:
    """Refuses options that do not go together or make no sense.

    Raises:
        ValueError: the message says which.
    """
    if arguments.engine != BUILTIN and arguments.decoder != "auto":
        raise ValueError(f"--decoder {arguments.decoder} is for the builtin engine, not for {arguments.engine}")
    if arguments.engine != BUILTIN and arguments.lexicon:
        raise ValueError(f"--lexicon is for the builtin engine, not for {arguments.engine}")
    if arguments.engine != BUILTIN and getattr(arguments, "attention", None):
        raise ValueError(f"--attention is of the builtin engine, not of {arguments.engine}")
    if arguments.any_rotation and arguments.no_rectify:
        raise ValueError("--any-rotation is found by the rectifier: drop --no-rectify")


def _reading_engine(arguments: argparse.Namespace) -> Reader:
    """Rectify, then read, with the project's recogniser or another engine."""
    module = importlib.import_module("recognizer.pipeline")
    builtin = arguments.engine == BUILTIN
    framing = _own_framing(arguments) if builtin else module.framing_for(arguments.engine, arguments.margin)
    pipeline = module.Pipeline(
        arguments.weights,
        rectify=not arguments.no_rectify,
        decoder=arguments.decoder,
        engine=None if builtin else arguments.engine,
        framing=None if builtin else framing,
        lexicon=_lexicon(arguments.lexicon),
        any_rotation=arguments.any_rotation,
    )

    if pipeline.lacks_rectifier:
        print(f"rectify-ocr: {pipeline.lacks_rectifier}", file=sys.stderr)
    if arguments.attention and not pipeline.recognizer.attends:
        raise ValueError(
            "--attention DIR needs the attention head: --decoder attention, weights that hold one, and no --lexicon"
        )

    def drawn(word: Image) -> Image | None:
        return pipeline.recognizer.draw_attention(word) if arguments.attention else None

    def read(images: Sequence[Image]) -> list[Result]:
        return [
            Result(r.control_points, r.rows, r.cols, r.rectified, framing, r.text, r.confidence, drawn(r.crop))
            for r in pipeline(list(images))
        ]

    return read


def _lexicon(path: str | None) -> object:
    """The lexicon of that file, unless there is none."""
    return importlib.import_module("recognizer.lexicon").Lexicon.read(path) if path else None


def _own_framing(arguments: argparse.Namespace) -> Framing:
    """How words are cut out where no other engine reads them."""
    from rectify.framing import Framing

    return Framing(tuple(arguments.margin)) if arguments.margin else Framing()


def _no_engine(arguments: argparse.Namespace) -> Reader:
    """Rectify only."""
    module = importlib.import_module("recognizer.pipeline")
    framing = _own_framing(arguments)
    pipeline = module.Pipeline(
        arguments.weights,
        rectify=not arguments.no_rectify,
        engine=NONE,
        framing=framing,
        any_rotation=arguments.any_rotation,
    )
    if pipeline.lacks_rectifier:
        raise ValueError(f"{arguments.weights} holds no rectifier")

    def is_bent(image: Image, points: Points, is_line: bool) -> bool:
        return pipeline.rectifier is not None and bool(pipeline.rectifier.judge(image, points, is_line=is_line)[1])

    def locate(images: Sequence[Image]) -> list[Result]:
        places = pipeline.locate(images)
        return [
            Result(points, places.rows, places.cols, is_bent(image, points, bool(line)), framing)
            for image, points, line in zip(images, places.points, places.lines, strict=True)
        ]

    return locate


ENGINES: dict[str, Callable[[argparse.Namespace], Reader]] = {
    BUILTIN: _reading_engine,
    "rapidocr": _reading_engine,
    "tesseract": _reading_engine,
    "easyocr": _reading_engine,
    NONE: _no_engine,
}
"""Choices of --engine; the others are the names in ``recognizer.engines``, written here so that --help stays quick."""


class _Run:
    """One run over all inputs."""

    def __init__(self, arguments: argparse.Namespace, reader: Reader) -> None:
        self.arguments = arguments
        self.reader = reader
        self.failed = False
        self.log: Callable[..., None] = print
        """Writes a line; beside a progress bar, above it."""
        self.taken: set[str] = set()
        """Files that no result may replace."""
        self.numbers: Counter[tuple[Path, str]] = Counter()
        """Results by the name that they were to have."""
        self.outputs = _output_folders(arguments)
        files = [image for image in arguments.images if image != STDIN and not os.path.isdir(image)]
        self.read_from = {_key(Path(file).parent) for file in files}
        """Folders in which there may be more pictures of the user's than those that are read."""
        self.plain = len(arguments.images) == 1 and not os.path.isdir(arguments.images[0])
        """One picture prints its text alone; what a folder prints does not depend on how many it holds."""

    def run(self) -> int:
        from rectify.stream import stream

        sources = list(self._sources())
        self.taken.update(_key(source.path) for source in sources if source.path)
        # A thread to load ahead is not worth its start for one picture, and could not be stopped while it waits for
        # standard input.
        threads = int(len(sources) > 1 and all(source.path for source in sources))
        for entry in self._progress(stream(sources, _load, self.reader, threads), len(sources)):
            if entry.image is None:
                self._complain(entry.error)
            elif entry.result is None:
                self._complain(f"{entry.item.label}: {entry.error}")
            else:
                files = self._save(entry.item, entry.image, entry.result)
                self._print(entry.item, entry.image, entry.result, files)
        return int(self.failed)

    def _sources(self) -> Iterator[Source]:
        for label in self.arguments.images:
            if label == STDIN:
                yield Source(STDIN, None, "stdin")
            elif os.path.isdir(label):
                found = list(_pictures(Path(label), self.outputs, self._complain))
                if not found:
                    from rectify.folders import no_pictures

                    self._complain(f"{label}: {no_pictures(Path(label))}")
                yield from found
            else:
                yield Source(label, Path(label), Path(label).stem)

    def _progress(self, entries: Iterable[Entry], count: int) -> Iterable[Entry]:
        """The entries, with a bar on a terminal unless the results go there too."""
        if self.arguments.quiet or count <= BAR_FROM or not _is_terminal(sys.stderr) or _is_terminal(sys.stdout):
            return entries
        from tqdm import tqdm

        self.log = tqdm.write
        return tqdm(entries, total=count, unit="crop")

    def _save(self, source: Source, image: Image, result: Result) -> dict[str, str]:
        """The files that were written, by the option that asked for them."""
        from rectify.images import write_png
        from rectify.overlay import draw_overlay
        from rectify.rectifier import flatten

        points, rows, cols = result.control_points, result.rows, result.cols
        # A crop that was left alone is saved as it is.
        framing = result.framing
        cut = partial(flatten, margin=framing.margin, least_height=framing.least_height, sharp=framing.sharp)
        straight = cut if result.rectified else _as_it_is
        makers = {"output": partial(straight, image, points, rows, cols)}
        makers["overlay"] = partial(draw_overlay, image, points, rows, cols)
        if result.attention is not None:
            makers["attention"] = partial(_as_it_is, result.attention)
        files = {}
        for option, picture in makers.items():
            if folder := getattr(self.arguments, option):
                path = self._free_path(folder, source.stem)
                try:
                    write_png(path, picture())
                    files[option] = str(path)
                except OSError as error:
                    self._complain(f"{source.label}: cannot save: {error}")
        return files

    def _free_path(self, folder: Path, stem: str) -> Path:
        """``stem.png``, or ``stem-2.png`` and so on where that is an input or a result of this run; in a folder that
        inputs are in, where it is any file."""
        while True:
            self.numbers[folder, stem] += 1
            number = self.numbers[folder, stem]
            path = folder / (f"{stem}-{number}.png" if number > 1 else f"{stem}.png")
            beside = _key(path.parent) in self.read_from and path.exists()
            if not beside and _key(path) not in self.taken:
                self.taken.add(_key(path))
                return path

    def _print(self, source: Source, image: Image, result: Result, files: dict[str, str]) -> None:
        if self.arguments.json:
            values = {
                "path": source.label,
                "text": result.text,
                "confidence": None if result.confidence is None else round(result.confidence, 4),
                "rectified": result.rectified,
                "control_points": [[round(float(x), 2), round(float(y), 2)] for x, y in result.control_points],
                "size": [image.shape[1], image.shape[0]],
                **({"files": files} if files else {}),
            }
            # A name that is no UTF-8 is written by escapes, which give it back.
            plain = all(_is_text(name) for name in (source.label, *files.values()))
            print(json.dumps(values, ensure_ascii=not plain))
        elif result.text is not None:
            columns = [source.label.translate(_ESCAPES), result.text, f"{result.confidence:.4f}"]
            print(result.text if self.plain else "\t".join(columns))

    def _complain(self, message: object) -> None:
        self.failed = True
        self.log(f"rectify-ocr: {message}", file=sys.stderr)


def _pictures(folder: Path, outputs: Sequence[Path], complain: Callable[[object], None]) -> Iterator[Source]:
    """The pictures below a folder, but for results of an earlier run."""
    from rectify.folders import pictures_below

    results = {_key(output) for output in outputs}
    pictures = pictures_below(
        folder,
        skip=lambda path: _key(path) in results,
        on_error=lambda error: complain(f"{error.filename}: {error.strerror}"),
    )
    for path in pictures:
        below = path.relative_to(folder)
        yield Source(str(path), path, str(below.parent / below.stem))


def _load(source: Source) -> Image:
    from rectify.images import ImageError, read_image

    if source.path is None:
        if sys.stdin is None:
            raise ImageError("standard input", "closed")
        return read_image(sys.stdin.buffer.read(), "standard input")
    return read_image(source.path)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()  # closed by the shell, it is None


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _as_it_is(image: Image, *_: object) -> Image:
    return image


def _key(path: Path) -> str:
    """Equal for two names of one file, on file systems that ignore case too."""
    return str(path.resolve()).casefold()
