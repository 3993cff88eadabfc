"""Which parameters of a run learn, and at which rate."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import product

from torch import nn

from train.config import ConfigError, nearest

Parts = Mapping[str, nn.Module]
"""The networks of a run by name; a parameter's full name starts with that of its network."""


class Frozen:
    """Holds some parameters of a run, and the statistics of their batch normalisation, as they are.

    Args:
        names: parts of the networks, such as ``rectifier`` or ``recognizer.encoder.convolutions``, or single
            parameters.

    Raises:
        ConfigError: no such part, or nothing would learn.
    """

    def __init__(self, parts: Parts, names: Sequence[str]) -> None:
        self._names = tuple(names)
        parameters = parameters_of(parts)
        known = _prefixes(parameters)
        for name in names:
            if name not in known:
                raise ConfigError(f"frozen: no part {name}{nearest(name, known)}")
        for name, parameter in parameters.items():
            parameter.requires_grad_(not self.holds(name))
        if not any(parameter.requires_grad for parameter in parameters.values()):
            raise ConfigError(f"frozen: {', '.join(names)} leaves nothing to train")
        self._normalizations = [
            module
            for part, network in parts.items()
            for name, module in network.named_modules(prefix=part)
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and self.holds(name)
        ]

    def holds(self, name: str) -> bool:
        """Whether a parameter or module, by its full name, is held."""
        return any(name == frozen or name.startswith(f"{frozen}.") for frozen in self._names)

    def hold_statistics(self) -> None:
        """To be called whenever the networks were set to train, which lets batch normalisation follow each batch."""
        for module in self._normalizations:
            module.eval()


def parameters_of(parts: Parts) -> dict[str, nn.Parameter]:
    """All parameters by their full names."""
    return {
        name: parameter for part, network in parts.items() for name, parameter in network.named_parameters(prefix=part)
    }


def _prefixes(names: Collection[str]) -> dict[str, None]:
    """Every dotted beginning of the names, in their order."""
    return {".".join(name.split(".")[:end]): None for name in names for end in range(1, name.count(".") + 2)}


def parameter_groups(
    parts: Parts, rates: Mapping[str, float], carried: Collection[str], carried_rate: float
) -> list[dict[str, object]]:
    """What learns, for the optimiser: biases and normalisation are not decayed.

    Args:
        rates: relative rate of each part that has one of its own.
        carried: full names of the parameters that other weights brought.
        carried_rate: their rate relative to the rate of what starts fresh.
    """
    groups: list[dict[str, object]] = []
    for part, decayed, slowed in product(parts, (True, False), (False, True)):
        members = [
            parameter
            for name, parameter in parameters_of({part: parts[part]}).items()
            if parameter.requires_grad
            and (parameter.ndim > 1) == decayed
            and (name in carried and carried_rate != 1) == slowed
        ]
        if members:
            rate = rates.get(part, 1.0) * (carried_rate if slowed else 1.0)
            groups.append({"params": members, "relative_rate": rate, **({} if decayed else {"weight_decay": 0.0})})
    return groups
