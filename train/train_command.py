"""`rectify-ocr train`: train by a configuration."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from train.config import Config, ConfigError, as_tree, config_from, load_tree, nearest

CONFIGS = Path(__file__).parent / "configs"

EXAMPLES = """examples:
  rectify-ocr train light sources.synthetic.paths=[words.lmdb] sources.real.paths=[real.lmdb] out=runs/mine
  rectify-ocr train my.yaml learning_rate=5e-4 init=shipped
  rectify-ocr train --resume runs/mine                       (goes on where it stopped)
  rectify-ocr train --resume runs/mine steps=9000            (... but ends at another step)
  torchrun --nproc-per-node 2 -m rectify.cli train light ... (several processes share each batch)

CONFIG is a YAML file or the name of one that comes with the package: {names}.
The keys and their meaning are in train/config.py; `--show` prints the resolved configuration and stops.
"""


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        config = _config(args)
        if args.show:
            from train.loop import plain

            print(yaml.safe_dump(plain(as_tree(config)), sort_keys=False), end="")
            return 0
        _train(config, bool(args.resume))
    except (ConfigError, FileNotFoundError, FileExistsError, ValueError) as error:
        print(f"rectify-ocr: {error}", file=sys.stderr)
        return 2
    return 0


def _config(args: argparse.Namespace) -> Config:
    if args.resume:
        settings = [args.config, *args.settings] if args.config else []
        for setting in settings:
            if "=" not in setting or setting.startswith(("out=", "init=")):
                raise ConfigError(f"--resume takes the run's own configuration, folder and weights; remove {setting!r}")
        saved = Path(args.resume) / "config.yaml"
        if not saved.is_file():
            raise FileNotFoundError(f"{args.resume}: not the folder of a run, it has no config.yaml")
        return config_from({**load_tree(saved, settings), "out": str(args.resume)})
    from train.adopt import adopt_shapes

    if not args.config:
        raise ConfigError("name a configuration, or a run with --resume; see rectify-ocr train --help")
    return config_from(adopt_shapes(load_tree(_file(args.config), args.settings)))


def _file(config: str) -> Path:
    """The file of a configuration that is given by a path or by its name."""
    known = {path.stem: path for path in sorted(CONFIGS.glob("*.yaml"))}
    if config in known:
        return known[config]
    if not Path(config).is_file():
        raise ConfigError(f"no configuration or file {config}{nearest(config, known)}")
    return Path(config)


def _train(config: Config, resume: bool) -> None:
    from train import checkpoint
    from train.adopt import adopt_imported
    from train.distributed import disconnect
    from train.loop import Training

    try:
        training = Training(config if resume else adopt_imported(config))
        if resume:
            training.resume()
        elif (training.out / checkpoint.FILE).exists():
            raise FileExistsError(
                f"{training.out} holds a run already; go on with --resume {training.out}, or change out="
            )
        elif any(file for kind in ("*.onnx", "*.safetensors") for file in training.out.glob(kind)):
            raise FileExistsError(f"{training.out} holds weights that are of no run; change out=")
        elif config.init:
            training.initialize(config.init)
        training.run()
    finally:
        disconnect()


def _parser() -> argparse.ArgumentParser:
    names = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.yaml")))
    parser = argparse.ArgumentParser(
        prog="rectify-ocr train",
        description="Train the rectifier, the recogniser or both from LMDB datasets. Ctrl-C saves and stops.",
        epilog=EXAMPLES.format(names=names),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="YAML file or name of a configuration")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings that replace the file's")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="go on with the run in DIR")
    parser.add_argument("--show", action="store_true", help="print the resolved configuration and stop")
    return parser
