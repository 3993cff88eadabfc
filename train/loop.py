"""The training loop."""

from __future__ import annotations

import copy
import csv
import io
import math
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from data.loader import Batch, BatchDataset, View, training_loader
from recognizer.recognizer import TEMPERATURE
from rectify.weights_io import WeightFile
from train import checkpoint, distributed
from train.carry_over import carry_over, describe
from train.config import Config, as_tree, config_from
from train.depth import Carried, change_depth
from train.output import complain, write_text
from train.parameters import Frozen, parameter_groups, parameters_of
from train.system import System
from train.validation import Validation
from train.weights import SUFFIX, find_safetensors, load_tensors, same_shapes, save_network

PRECISIONS = ("float32", "bf16")
SHAPING = ("localization", "refiner", "recognizer", "attention", "classic", "imported", "rectify", "frozen")
"""Settings that a state can only be gone on from with as they were."""


class Training:
    """One run: everything that changes from step to step, and the means to stop and go on.

    Args:
        config: of the run; its ``out`` folder receives config.yaml, the state, the averaged weights, metrics.csv,
            TensorBoard events and pictures.
    """

    def __init__(self, config: Config) -> None:
        if config.precision not in PRECISIONS:
            raise ValueError(f"precision: {config.precision!r} is none of {', '.join(PRECISIONS)}")
        distributed.connect(config.device)
        self.device = distributed.device(config.device)
        torch.manual_seed(config.seed)
        torch.set_num_threads(max(1, config.threads // distributed.processes_here()))
        self.config = config
        self.out = Path(config.out)
        self.system = System(config).to(self.device)
        self.average = copy.deepcopy(self.system).requires_grad_(False)
        self.frozen = Frozen(self.system.parts(), config.frozen)
        self._carried: frozenset[str] = frozenset()
        self.optimizer = self._optimizer()
        self.step = 0
        self._losses: nn.Module = self.system
        if distributed.world() > 1:
            self.system.check_processes(distributed.world())
            distributed.share_statistics(self.system)
            # Some parts may have no loss of theirs, such as a head of weight 0.
            self._losses = DistributedDataParallel(self.system, broadcast_buffers=False, find_unused_parameters=True)

    def initialize(self, source: str) -> None:
        """Start from weights (see ``weights.find_safetensors``) and say what was carried over; networks that are not
        there start fresh, and so do characters that the weights do not know.

        Raises:
            ValueError: a network of another shape.
        """
        files, notes = find_safetensors(source), []
        for kind, network in self.system.parts().items():
            if kind == "refiner" and kind not in files and "rectifier" in files:
                seen = self._see_as_rectifier(files["rectifier"], network)
                if seen:
                    notes.append("; ".join(["refiner: starts with the features of the rectifier", *seen.notes()]))
                    continue
            if kind not in files:
                notes.append(f"{kind}: starts fresh, {source} holds none")
                continue
            fresh, note = self._load(files[kind], kind, network)
            notes.append(f"{kind}: {note}")
            self._carried |= parameters_of({kind: network}).keys() - {f"{kind}.{name}" for name in fresh}
            # Else whoever is asked where a reading is not sure would not be asked.
            if TEMPERATURE in files[kind].config:
                self.system.inherited[kind] = {TEMPERATURE: files[kind].config[TEMPERATURE]}
        self.average.inherited = self.system.inherited
        self.average.load_state_dict(self.system.state_dict())
        self.optimizer = self._optimizer()
        if distributed.rank() == 0:
            for note in notes:
                complain(note)

    def _see_as_rectifier(self, file: WeightFile, network: nn.Module) -> Carried | None:
        """Give a refiner the rectifier's features, if that is of its shape but for residual blocks; it corrects nothing
        at first."""
        fitted = self._fitted(file, "refiner")
        if not same_shapes(fitted.tensors, network.state_dict()):
            return None
        network.load_state_dict(fitted.tensors)
        network.reset_to_identity()
        return fitted

    def _load(self, file: WeightFile, kind: str, network: nn.Module) -> tuple[set[str], str]:
        """Put weights into a network; returns the names of the tensors that are fresh, whole or partly, and a note."""
        old = new = file.config.get("charset", "")
        if self.system.charset and old:
            new = self.system.charset.characters
        fitted = self._fitted(file, kind)
        tensors, fresh = carry_over(fitted.tensors, old, network.state_dict(), new)
        try:
            network.load_state_dict(tensors)
        except RuntimeError as error:
            raise ValueError(f"{file.path}: does not fit the configuration: {error}") from error
        whole = not (fitted.added or fitted.dropped)
        return fresh | fitted.added, "; ".join([describe(old, new, whole), *fitted.notes()])

    def _fitted(self, file: WeightFile, kind: str) -> Carried:
        """The tensors of a file for a network of the system, with as many residual blocks."""
        old, new = (description.get("blocks", ()) for description in (file.config, self.system.description(kind)))
        return change_depth(kind, load_tensors(file), old, self.system.parts()[kind].state_dict(), new)

    def resume(self) -> None:
        """Go on from the checkpoint of the run.

        Raises:
            FileNotFoundError, ValueError: none there, one of networks that the configuration does not describe, or one
                of after its last step.
        """
        tensors, notes = checkpoint.read(self.out / checkpoint.FILE)
        # Rebuilt, so that settings which are newer than the state have their defaults.
        before, now = config_from(notes["config"]), self.config
        changed = [key for key in SHAPING if getattr(before, key) != getattr(now, key)]
        if before.sampling.height != now.sampling.height:
            changed.append("sampling.height")
        if (before.carried_rate == 1) != (now.carried_rate == 1):  # the optimiser's groups are others with it
            changed.append("carried_rate")
        if changed:
            raise ValueError(
                f"{self.out}: its state is of a run with another {', '.join(changed)}; to train on with that, start a "
                f"new run with init={self.out}"
            )
        if now.steps < notes["step"]:
            raise ValueError(
                f"{self.out}: its state is of step {notes['step']}, after the last one of steps={now.steps}"
            )
        self._carried = frozenset(notes.get("carried", ()))
        self.system.inherited = self.average.inherited = notes.get("inherited", {})
        self.optimizer = self._optimizer()
        checkpoint.restore(tensors, self.system, self.average, self.optimizer)
        self.step = notes["step"]

    def save(self) -> None:
        """Write the state to go on from, and the averaged weights to read with."""
        state = self.out / checkpoint.FILE
        notes = {
            "config": as_tree(self.config),
            "carried": sorted(self._carried),
            "inherited": self.system.inherited,
        }
        checkpoint.save(state, self.step, self.system, self.average, self.optimizer, **notes)
        for part, network in self.average.parts().items():
            save_network(self.out / f"{part}{SUFFIX}", network, self.average.description(part), torch.float32)

    def run(self, until: int | None = None) -> None:
        """Train to the last step, or to step ``until``; Ctrl-C ends it early, with a checkpoint and no traceback.

        Of several processes the first one writes, evaluates and shows; the others only take the steps with it.
        """
        config = self.config
        start, stop = self.step, config.steps if until is None else min(until, config.steps)
        distributed.barrier()  # nobody writes before all have looked whether the folder holds a run
        first = distributed.rank() == 0
        dataset = BatchDataset(
            config.sources,
            config.batch_size,
            View.of(
                config.localization,
                config.recognizer,
                config.rectify,
                config.refiner,
                alignment=config.losses.alignment > 0,
            ),
            config.seed,
            (distributed.rank(), distributed.world()),
        )
        with _interruptible() as interrupted, _Witness(self) if first else nullcontext() as witness:
            for batch in training_loader(dataset, self.step, stop, config.workers):
                parts = distributed.collected((batch, interrupted()))
                losses = self.take_step(Batch.joined([part for part, _ in parts]))
                stopping = any(asked for _, asked in parts)
                if witness:
                    witness.see(losses, stopping)
                if stopping:
                    return
        if first and self.step == config.steps == start:
            complain(f"{self.out}: all {config.steps} steps are taken; steps=... goes on to another end")
        elif first:
            self.save()

    def take_step(self, batch: Batch) -> dict[str, float]:
        """One optimiser step; returns the losses."""
        batch = batch.on(self.device)
        self.system.train()
        self.frozen.hold_statistics()
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate() * group["relative_rate"]
        rng = np.random.default_rng([self.config.seed, self.step])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            losses = self._losses(batch, self.step / self.config.steps, rng)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            saved = (self.out / checkpoint.FILE).exists()
            raise ValueError(
                f"the loss is no longer a number after step {self.step}: lower learning_rate, which was "
                f"{self.rate():.2g}" + (f"; the last state that was saved stays in {self.out}" if saved else "")
            )
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.system.parameters(), self.config.gradient_norm)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        return {name: loss.item() for name, loss in losses.items()}

    def rate(self) -> float:
        """Learning rate of the coming step: linear warm-up, then a cosine to a hundredth."""
        config = self.config
        warm = min(1.0, (self.step + 1) / max(1, config.warmup_steps))
        return config.learning_rate * warm * (0.01 + 0.99 * (1 + math.cos(math.pi * self.step / config.steps)) / 2)

    def _optimizer(self) -> torch.optim.Optimizer:
        """AdamW over what learns, the localization network and what was carried over at rates of their own."""
        config = self.config
        slower = ("rectifier", "refiner") if self.system.recognition else ()
        rates = dict.fromkeys(slower, config.localization_rate)
        groups = parameter_groups(self.system.parts(), rates, self._carried, config.carried_rate)
        return torch.optim.AdamW(groups, weight_decay=config.weight_decay)

    @torch.no_grad()
    def _update_average(self) -> None:
        """Exponential moving average, faster at the start so that the first weights are soon forgotten."""
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        current = self.system.state_dict()
        for name, value in self.average.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(current[name], 1 - decay)
            else:
                value.copy_(current[name])


class _Witness:
    """What is written and shown of a run while it trains: figures, pictures, checkpoints, a progress bar."""

    def __init__(self, training: Training) -> None:
        self._training, config = training, training.config
        self._validation = Validation(config)
        training.out.mkdir(parents=True, exist_ok=True)
        self._described = False
        self._log = _Log(training.out, training.step)
        self._bar = tqdm(total=config.steps, initial=training.step, unit="step", smoothing=0.05, disable=None)
        self._saved = time.monotonic()

    def __enter__(self) -> _Witness:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        self._log.close()

    def see(self, losses: dict[str, float], stopping: bool) -> None:
        """After each step."""
        training = self._training
        config, step = training.config, training.step
        if not self._described:  # not before: settings that a run cannot go on with must not replace those it has
            settings = yaml.safe_dump(plain(as_tree(config)), sort_keys=False)
            write_text(training.out / "config.yaml", settings)
            self._described = True
        self._bar.update()
        self._bar.set_postfix(losses, refresh=False)
        self._log.losses(step, losses, training.rate(), config.batch_size)
        start = time.monotonic()
        if step == config.steps or (config.evaluate_every and step % config.evaluate_every == 0):
            self._log.figures(step, self._validation.evaluate(training.average, training.out, step))
        if stopping or time.monotonic() - self._saved > 60 * config.checkpoint_minutes:
            training.save()
            self._saved = time.monotonic()
        self._log.pause(time.monotonic() - start)
        if stopping:
            print(f"stopped after step {step}; go on with --resume {training.out}", file=sys.stderr)


class _Log:
    """metrics.csv and TensorBoard events of a run; what they hold of later steps than ``step`` is of a run that was
    stopped hard, and goes."""

    def __init__(self, out: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._events = SummaryWriter(str(out), purge_step=step + 1)
        path = out / "metrics.csv"
        rows = io.StringIO()
        csv.writer(rows, lineterminator="\n").writerows([["step", "name", "value"], *_rows_until(path, step)])
        write_text(path, rows.getvalue())
        self._file = path.open("a", newline="", encoding="utf-8")
        self._table = csv.writer(self._file, lineterminator="\n")
        self._crops, self._since = 0, time.monotonic()

    def close(self) -> None:
        self._events.close()
        self._file.close()

    def pause(self, seconds: float) -> None:
        """Time that is not the training's own."""
        self._since += seconds

    def losses(self, step: int, losses: dict[str, float], rate: float, crops: int) -> None:
        """Every fiftieth step."""
        self._crops += crops
        if step % 50:
            return
        speed = self._crops / (time.monotonic() - self._since)
        self._crops, self._since = 0, time.monotonic()
        self.figures(step, {**losses, "learning_rate": rate, "crops_per_second": speed})

    def figures(self, step: int, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self._table.writerow([step, name, f"{value:.6g}"])
            self._events.add_scalar(name, value, step)
        self._file.flush()


def _rows_until(path: Path, step: int) -> list[list[str]]:
    """The figures of a run up to a step."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if len(row) == 3]
    return [row for row in rows if row[0].isdigit() and int(row[0]) <= step]


@contextmanager
def _interruptible() -> Iterator:
    """Ctrl-C and SIGTERM only set a flag; yields the function that tells it. A second Ctrl-C stops at once."""
    flag: list[int] = []

    def note(number: int, _: object) -> None:
        flag.append(number)
        signal.signal(number, previous[signal.Signals(number)])

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(flag)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def plain(value: object) -> object:
    """Tuples as lists, which YAML can hold."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
