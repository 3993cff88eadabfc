"""Spatial transformers of any family, on images and feature maps, alone, in parallel and in a row (torch)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rectify.families import Composition, Family
from rectify.sampler import sample

Sampler = Callable[[Tensor, Tensor], Tensor]
"""From (N, C, H, W) and a grid (N, h, w, 2) to (N, C, h, w)."""


class Transformed(NamedTuple):
    """What a spatial transformer returns."""

    image: Tensor
    """(N, C, h, w), sampled from the source."""
    grid: Tensor
    """(N, h, w, 2), where it was sampled, normalised in the source."""
    theta: Tensor
    """(N, P), the parameters of the maps."""


class Localization(nn.Module):
    """A localization network: any layers, then the parameters of a family, which start at the identity.

    The features are flattened, not pooled, since positions are what is asked for.
    """

    def __init__(self, family: Family, body: nn.Module, features: int) -> None:
        """
        Args:
            family: whose parameters are predicted.
            body: from what it looks at to any shape that flattens to (N, features).
        """
        super().__init__()
        self.family = family
        self.body = body
        self.head = nn.Linear(features, family.parameters)
        self.reset_to_identity()

    def reset_to_identity(self) -> None:
        """Predict the identity for whatever input; call it after an initialisation that went over all layers."""
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():
            self.head.bias.copy_(torch.from_numpy(self.family.identity()))

    def forward(self, seen: Tensor) -> Tensor:
        """Parameters (N, P)."""
        return self.head(self.body(seen).flatten(1))


class Transformer(nn.Module):
    """Localization network, grid generator and sampler.

    It fits anywhere: the source is an image or the output of any layer. Channels stay, the size may change.

    Source: Jaderberg et al., Spatial Transformer Networks, NIPS 2015, section 3.
    """

    def __init__(
        self,
        family: Family,
        localization: nn.Module,
        size: tuple[int, int] | None = None,
        sampler: Sampler = sample,
    ) -> None:
        """
        Args:
            family: of the maps.
            localization: from what it looks at to parameters (N, P), such as a ``Localization``.
            size: (height, width) of the output; the source's if not given.
            sampler: ``sampler.sample``, or ``sampler.sample_trilinear`` where the output is much smaller.
        """
        super().__init__()
        self.family = family
        self.localization = localization
        self.size = size
        self.sampler = sampler

    def forward(self, source: Tensor, seen: Tensor | None = None) -> Transformed:
        """Sample where the localization network says.

        Args:
            source: (N, C, H, W), what is sampled.
            seen: what the localization network looks at, if not the source: a small copy, or features that it shares
                with the network that this one serves.
        """
        return self.transform(source, self.localization(source if seen is None else seen))

    def transform(self, source: Tensor, theta: Tensor) -> Transformed:
        """Sample by parameters (N, P) that are known."""
        grid = self.family.grid(theta, *(self.size or source.shape[2:]))
        return Transformed(self.sampler(source, grid), grid, theta)


class Parallel(nn.Module):
    """Several transformers on one source, for as many objects; each with an output of its own."""

    def __init__(self, transformers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.transformers = nn.ModuleList(transformers)

    def forward(self, source: Tensor, seen: Tensor | None = None) -> list[Transformed]:
        return [transformer(source, seen) for transformer in self.transformers]


def concatenated(outputs: Iterable[Transformed]) -> Tensor:
    """The images (N, C, h, w) of parallel transformers, of one size, as one (N, ΣC, h, w)."""
    return torch.cat([output.image for output in outputs], 1)


class Series(nn.Module):
    """Several transformers in a row, each refining what the ones before made of the source.

    Their maps are composed and the source is sampled once by the whole: what one of them loses, in sharpness or beyond
    a border, is not lost for the next. The same transformer may come several times.

    Source: Lin and Lucey, Inverse Compositional Spatial Transformer Networks, CVPR 2017, for composing before sampling.
    """

    def __init__(self, transformers: Iterable[Transformer]) -> None:
        """
        Args:
            transformers: first to last; the size of each is what the next one sees, and of the last the output's.
        """
        super().__init__()
        self.transformers = nn.ModuleList(transformers)
        self.family = reduce(Composition, (transformer.family for transformer in self.transformers))

    def forward(self, source: Tensor, seen: Tensor | None = None) -> Transformed:
        """Sample by all maps together.

        Args:
            source: (N, C, H, W).
            seen: what the first localization network looks at, if not the source.

        Returns:
            theta (N, ΣP) holds the parameters of all transformers, first to last, as ``family`` takes them.
        """
        first, *others = self.transformers
        output, family = first(source, seen), first.family
        for transformer in others:
            family = Composition(family, transformer.family)
            theta = torch.cat([output.theta, transformer.localization(output.image)], 1)
            grid = family.grid(theta, *(transformer.size or source.shape[2:]))
            output = Transformed(transformer.sampler(source, grid), grid, theta)
        return output
