"""Prediction heads with attention, which read a sequence of features letter by letter (torch)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recognizer.classic.config import ClassicConfig

START = 0
"""Class that the head of kind ``lstm`` takes for the letter before the first."""


class AttentionHead(nn.Module):
    """Features to the scores of each letter, the letter before fed back; subclasses say how a step is computed.

    Source: Bahdanau et al., ICLR 2015, section 3.1; for text in Shi et al., RARE, CVPR 2016, section 3.2.2.
    """

    def __init__(self, steps: int, classes: int, start: int) -> None:
        super().__init__()
        self.steps, self.classes, self.start = steps, classes, start

    def forward(self, features: Tensor, letters: Tensor | None = None) -> Tensor:
        """Scores of the letters.

        Args:
            features: (N, T, F).
            letters: (N, L) classes that stand before each letter but the first, in training; None feeds back the
                best ones.

        Returns:
            (N, steps, classes), in training (N, L + 1, classes).
        """
        before = features.new_full((features.shape[0],), self.start, dtype=torch.long)
        keys, state, scores = self.keys(features), self.initial(features), []
        for step in range(self.steps if letters is None else letters.shape[1] + 1):
            state, out = self.step(features, keys, state, before)
            scores.append(out)
            before = out.argmax(1) if letters is None else letters[:, min(step, letters.shape[1] - 1)]
        return torch.stack(scores, dim=1)

    def keys(self, features: Tensor) -> Tensor:
        """What the state is compared with (N, T, A); the same in every step."""
        raise NotImplementedError

    def initial(self, features: Tensor) -> tuple[Tensor, ...]:
        """The state before the first letter."""
        raise NotImplementedError

    def step(
        self, features: Tensor, keys: Tensor, state: tuple[Tensor, ...], before: Tensor
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """The next state and the scores (N, classes) of the next letter, ``before`` (N,) being the one before it."""
        raise NotImplementedError


class LstmHead(AttentionHead):
    """The head of deep-text-recognition-benchmark: an LSTM cell on the glimpse and the one-hot letter before."""

    def __init__(self, inputs: int, config: ClassicConfig) -> None:
        super().__init__(config.steps, config.classes, START)
        hidden = config.hidden
        self.key = nn.Linear(inputs, hidden, bias=False)
        self.query = nn.Linear(hidden, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)
        self.cell = nn.LSTMCell(inputs + config.classes, hidden)
        self.output = nn.Linear(hidden, config.classes)

    def keys(self, features: Tensor) -> Tensor:
        return self.key(features)

    def initial(self, features: Tensor) -> tuple[Tensor, ...]:
        zeros = features.new_zeros(features.shape[0], self.cell.hidden_size)
        return zeros, zeros

    def step(
        self, features: Tensor, keys: Tensor, state: tuple[Tensor, ...], before: Tensor
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        seen = glimpse(features, self.score(torch.tanh(keys + self.query(state[0])[:, None])))
        letter = F.one_hot(before, self.classes).to(seen.dtype)
        # Written out, since the cell has no counterpart in ONNX.
        gates = F.linear(torch.cat([seen, letter], dim=1), self.cell.weight_ih, self.cell.bias_ih)
        gates = gates + F.linear(state[0], self.cell.weight_hh, self.cell.bias_hh)
        write, forget, new, show = gates.chunk(4, dim=1)
        memory = torch.sigmoid(forget) * state[1] + torch.sigmoid(write) * torch.tanh(new)
        hidden = torch.sigmoid(show) * torch.tanh(memory)
        return (hidden, memory), self.output(hidden)


class GruHead(AttentionHead):
    """The head of aster.pytorch: a GRU on the embedded letter before and the glimpse; the last embedding is the start.

    Source: Shi et al., ASTER, PAMI 2018, section 3.2.2, in one direction.
    """

    def __init__(self, inputs: int, config: ClassicConfig) -> None:
        super().__init__(config.steps, config.classes, config.classes)
        units = config.attention
        self.query = nn.Linear(units, units)
        self.key = nn.Linear(inputs, units)
        self.score = nn.Linear(units, 1)
        self.embedding = nn.Embedding(config.classes + 1, units)
        self.cell = nn.GRUCell(units + inputs, units)
        self.output = nn.Linear(units, config.classes)

    def keys(self, features: Tensor) -> Tensor:
        return self.key(features)

    def initial(self, features: Tensor) -> tuple[Tensor, ...]:
        return (features.new_zeros(features.shape[0], self.cell.hidden_size),)

    def step(
        self, features: Tensor, keys: Tensor, state: tuple[Tensor, ...], before: Tensor
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        (hidden,) = state
        seen = glimpse(features, self.score(torch.tanh(keys + self.query(hidden)[:, None])))
        inputs = torch.cat([self.embedding(before), seen], dim=1)
        # Written out, since the cell has no counterpart in ONNX.
        given = F.linear(inputs, self.cell.weight_ih, self.cell.bias_ih).chunk(3, dim=1)
        kept = F.linear(hidden, self.cell.weight_hh, self.cell.bias_hh).chunk(3, dim=1)
        reset, update = torch.sigmoid(given[0] + kept[0]), torch.sigmoid(given[1] + kept[1])
        new = torch.tanh(given[2] + reset * kept[2])
        hidden = (1 - update) * new + update * hidden
        return (hidden,), self.output(hidden)


def glimpse(features: Tensor, scores: Tensor) -> Tensor:
    """The features (N, T, F) weighted by the softmax of their scores (N, T, 1), (N, F)."""
    return (torch.softmax(scores, dim=1).transpose(1, 2) @ features).squeeze(1)
