"""Several processes that train as one, started by torchrun: who does which part, and what they exchange.

A batch is one batch however many processes share it. Each loads its part, all exchange the parts, and each sends its
rows through the networks; the rows that come out are exchanged again, so that every process computes the same loss of
the whole batch. Batch normalisation and dropout see the whole batch, too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

WAIT = timedelta(hours=2)
"""How long processes wait for each other: the first one evaluates while the others do nothing."""

Value = TypeVar("Value")


def connect(on: str = "") -> None:
    """Join the other processes, if torchrun started this one: gloo on the CPU, NCCL with GPUs, one for each process.

    Args:
        on: as ``device`` takes it.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        gpus = torch.cuda.is_available() and on != "cpu"
        if gpus:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if gpus else "gloo", timeout=WAIT)


def device(name: str) -> torch.device:
    """The device that this process computes on.

    Args:
        name: ``cpu`` or ``cuda``; empty for a GPU where there is one.

    Raises:
        ValueError: another name, or no GPU.
    """
    if name not in ("", "cpu", "cuda"):
        raise ValueError(f"device: {name!r} is none of cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: cuda, but torch finds no GPU; leave it out to train on the CPU")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def disconnect() -> None:
    """Leave the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which one this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def processes_here() -> int:
    """How many of them share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if world() > 1 else 1


def barrier() -> None:
    """Wait until every process is here."""
    if world() > 1:
        dist.barrier()


def collected(value: Value) -> list[Value]:
    """The values of all processes, by rank."""
    values: list[Any] = [value]
    if world() > 1:
        values = [None] * world()
        dist.all_gather_object(values, value)
    return values


def divided(compute: Callable[[slice], Sequence[Tensor]], count: int) -> list[Tensor]:
    """``count`` rows of tensors that the processes compute together: each some of them, and each gets all.

    Args:
        compute: the rows (n, ...) of a slice of 0 .. count - 1; process r of W computes r, r + W, r + 2·W, …

    Returns:
        (count, ...) each. A loss of them that every process computes alike gives, summed over the processes,
        ``world()`` times the gradient of that loss; the mean over processes that DistributedDataParallel takes is then
        the gradient.
    """
    if world() == 1:
        return list(compute(slice(None)))
    return [_Gather.apply(rows, count) for rows in compute(slice(rank(), None, world()))]


def share_statistics(module: nn.Module) -> nn.Module:
    """The module with its batch normalisation and dropout replaced by ones that see the rows of all processes; the
    names and values of its state stay."""
    for name, child in module.named_children():
        if type(child) in _SHARED:
            child.__class__ = _SHARED[type(child)]
        elif isinstance(child, nn.Dropout):
            setattr(module, name, SharedDropout(child.p))
        else:
            share_statistics(child)
    return module


class _Shared(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation by the mean and variance over the rows of all processes; torch's own does it on GPUs only."""

    def forward(self, rows: Tensor) -> Tensor:
        if not self.training:
            return super().forward(rows)
        values = rows.float()  # whatever autocast made of it: variances need the precision
        variance, mean = torch.var_mean(values, [0, *range(2, rows.ndim)], correction=0)
        count = torch.full_like(mean, rows.numel() / rows.shape[1])
        means, variances, counts = _Gather.apply(torch.stack([mean, variance, count])[None], world()).unbind(1)
        total = counts.sum(0)
        mean = (counts * means).sum(0) / total
        variance = (counts * (variances + (means - mean).square())).sum(0) / total
        self._keep(mean.detach(), (variance * total / (total - 1)).detach())
        scale = self.weight * torch.rsqrt(variance + self.eps)
        scale, shift = (value.view(-1, *[1] * (rows.ndim - 2)) for value in (scale, self.bias - mean * scale))
        return (values * scale + shift).to(rows.dtype)

    @torch.no_grad()
    def _keep(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics as torch does, which divides the variance by the count less one."""
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


class SharedBatchNorm1d(_Shared, nn.BatchNorm1d):
    """Of rows (N, C) or (N, C, L)."""


class SharedBatchNorm2d(_Shared, nn.BatchNorm2d):
    """Of rows (N, C, H, W)."""


_SHARED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: SharedBatchNorm1d,
    nn.BatchNorm2d: SharedBatchNorm2d,
}


class SharedDropout(nn.Dropout):
    """Dropout that draws for the rows of all processes and takes its own, from generators that are in the same state:
    the draws are those of a single process."""

    def forward(self, rows: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return super().forward(rows)
        counts = torch.tensor(collected(len(rows)))
        # A batch of all rows, laid out in memory as the single process's: torch fills it in that order.
        order = sorted(range(rows.ndim), key=rows.stride, reverse=True)
        shape = [int(counts.sum()), *rows.shape[1:]]
        ones = torch.ones([shape[axis] for axis in order], dtype=rows.dtype, device=rows.device)
        drawn = F.dropout(ones.permute([order.index(axis) for axis in range(rows.ndim)]), self.p)
        return rows * drawn[rank() :: world()]


class _Gather(torch.autograd.Function):
    """The rows of all processes in turn: first ones, second ones, and so on; backwards the sum of all gradients."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, count: int) -> Tensor:
        most = -(-count // world())
        padded = rows.new_zeros(most, *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(world())]
        dist.all_gather(parts, padded)
        return torch.stack(parts, 1).flatten(0, 1)[:count]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total[rank() :: world()], None
