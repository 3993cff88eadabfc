"""The attention head: letters one after the other, each where the word is looked at next (torch)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recognizer.attention import END
from recognizer.charset import ASCII94


@dataclass(frozen=True)
class AttentionConfig:
    """Shape of an attention head."""

    charset: str = ASCII94
    features: int = 256
    """Of a frame of the encoder."""
    units: int = 192
    """Of the state, of queries and of keys."""
    embedding: int = 64
    """Of a letter."""
    heads: int = 4
    """Places that a letter looks at."""
    steps: int = 32
    """Letters and end that are read at most."""
    dropout: float = 0.1
    """Before the scores."""


class AttentionHead(nn.Module):
    """Two decoders over the frames of the encoder, one from the left and one from the right.

    Source: Shi et al., ASTER, PAMI 2018, sections 3.2.2 and 3.2.3.
    """

    def __init__(self, config: AttentionConfig = AttentionConfig()) -> None:
        super().__init__()
        self.config = config
        self.forwards = Decoder(config)
        self.backwards = Decoder(config)

    def forward(self, features: Tensor, letters: Tensor | None = None) -> Tensor:
        """Scores of letters in both directions.

        Args:
            features: (N, T, F) of the encoder.
            letters: (N, 2, L) classes of the letters that stand before each but the first, ``END`` after a word's last;
                from the left and from the right. None feeds back the best ones.

        Returns:
            (N, 2, L + 1, classes) logits; without letters as many steps as the longest word has that either direction
            reads, its end included, at most ``steps``.
        """
        return self.outputs(features, letters)[0]

    def outputs(self, features: Tensor, letters: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The logits, and where each letter looks: (N, 2, L + 1, T), shares of the frames from the left."""
        if letters is None:
            return self._read(features)
        scores, weights = self.forwards(features, letters[:, 0])
        mirrored_scores, mirrored_weights = self.backwards(features.flip(1), letters[:, 1])
        return torch.stack([scores, mirrored_scores], 1), torch.stack([weights, mirrored_weights.flip(2)], 1)

    def _read(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """``outputs`` with the best letter of each step fed back."""
        frames, states = self.start(features)
        found: list[tuple[Tensor, Tensor]] = []
        for number in torch.arange(self.config.steps, device=features.device):
            scores, weights, states = self.step(number, frames, states)
            found.append((scores, weights))
            if all_ended(states):
                break
        every_score, every_weight = zip(*found, strict=True)
        return torch.stack(every_score, 2), torch.stack(every_weight, 2)

    def start(self, features: Tensor) -> tuple[list[Frames], list[State]]:
        """What all steps look at, and the states before the first, from the left and from the right."""
        sides = self.forwards.start(features), self.backwards.start(features.flip(1))
        return [frames for frames, _ in sides], [state for _, state in sides]

    def step(
        self, number: Tensor, frames: Sequence[Frames], states: Sequence[State]
    ) -> tuple[Tensor, Tensor, list[State]]:
        """One letter in both directions: scores (N, 2, classes), weights (N, 2, T) of the frames from the left, and the
        states after it.

        Args:
            number: of letters before it, a scalar int64.
        """
        scores, weights, after = zip(
            self.forwards.step(number, frames[0], states[0]),
            self.backwards.step(number, frames[1], states[1]),
            strict=True,
        )
        return torch.stack(scores, 1), torch.stack([weights[0], weights[1].flip(1)], 1), list(after)


class Frames(NamedTuple):
    """What a decoder looks at: (N, heads, T, units / heads)."""

    keys: Tensor
    """They know their place."""
    values: Tensor


class State(NamedTuple):
    """What a decoder knows after some letters."""

    before: Tensor
    """(N,) int64, the last letters."""
    ended: Tensor
    """(N,) bool, whether the word was over before or is with that."""
    hidden: Tensor
    """(N, units) of the LSTM."""
    memory: Tensor
    """(N, units), its cell."""


def all_ended(states: Sequence[State]) -> Tensor:
    """Whether all words are over, in all directions: a scalar bool."""
    return torch.stack([state.ended for state in states]).all()


class Decoder(nn.Module):
    """Reads in one direction.

    The state follows the letters alone, so that in training all letters are read at once; each looks at the frames by
    what was read so far and by its place. (In RARE and ASTER the state also follows what was looked at.)

    Source: attention by a state that only follows the output, Luong et al., Effective Approaches to Attention-based
    Neural Machine Translation, EMNLP 2015, section 3.1; several heads and positions from Vaswani et al., Attention Is
    All You Need, NIPS 2017, sections 3.2.2 and 3.5.
    """

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        classes = 1 + len(config.charset)
        self.steps, self.heads = config.steps, config.heads
        self.embedding = nn.Embedding(classes, config.embedding)
        self.state = nn.LSTM(config.embedding, config.units, batch_first=True)
        self.query = nn.Linear(config.units, config.units)
        self.key = nn.Linear(config.features, config.units)
        self.value = nn.Linear(config.features, config.units)
        self.join = nn.Linear(2 * config.units, config.units)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(config.units, classes)

    def forward(self, features: Tensor, letters: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (N, L + 1, classes) after each of the letters (N, L), from before the first, and the mean weight
        (N, L + 1, T) of each frame."""
        before = F.pad(letters, (1, 0), value=END)  # the end also stands for what is before the first letter
        states = self.state(self.embedding(before))[0]
        places = positions(states.shape[1], self.query.out_features, states)
        return self._look(states, places, self._frames(features))

    def start(self, features: Tensor) -> tuple[Frames, State]:
        """What all steps look at, and the state before the first."""
        nothing = features.new_zeros(features.shape[0], self.state.hidden_size)
        before = features.new_full((features.shape[0],), END, dtype=torch.long)
        return self._frames(features), State(before, torch.zeros_like(before, dtype=torch.bool), nothing, nothing)

    def step(self, number: Tensor, frames: Frames, state: State) -> tuple[Tensor, Tensor, State]:
        """One letter (see ``AttentionHead.step``): scores (N, classes), the mean weight (N, T) of each frame, and the
        state after it."""
        hidden, memory = self._advance(self.embedding(state.before), state.hidden, state.memory)
        places = positions(self.steps, self.query.out_features, hidden)[number]
        scores, weights = (found.squeeze(1) for found in self._look(hidden[:, None], places, frames))
        best = scores.argmax(1)
        return scores, weights, State(best, state.ended | (best == END), hidden, memory)

    def _advance(self, letter: Tensor, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """One step of ``state``, written out, since a cell has no counterpart in ONNX."""
        gates = F.linear(letter, self.state.weight_ih_l0, self.state.bias_ih_l0)
        gates = gates + F.linear(hidden, self.state.weight_hh_l0, self.state.bias_hh_l0)
        write, forget, new, show = gates.chunk(4, dim=1)
        memory = torch.sigmoid(forget) * memory + torch.sigmoid(write) * torch.tanh(new)
        return torch.sigmoid(show) * torch.tanh(memory), memory

    def _frames(self, features: Tensor) -> Frames:
        keys = self.key(features) + positions(features.shape[1], self.key.out_features, features)
        return Frames(self._by_head(keys), self._by_head(self.value(features)))

    def _look(self, states: Tensor, places: Tensor, frames: Frames) -> tuple[Tensor, Tensor]:
        """Scores (N, L, classes) and weights (N, L, T) of states (N, L, units) at places (L, units), or one
        place (units,)."""
        queries = self._by_head(self.query(states) + places)
        weights = (queries @ frames.keys.transpose(2, 3) / math.sqrt(frames.keys.shape[3])).softmax(3)
        seen = torch.cat((weights @ frames.values).unbind(1), dim=2)
        joined = torch.tanh(self.join(torch.cat([states, seen], dim=2)))
        return self.output(self.dropout(joined)), weights.mean(1)

    def _by_head(self, rows: Tensor) -> Tensor:
        """(N, M, units) as (N, heads, M, units / heads). Exporters would write the example's M into a reshape."""
        return torch.stack(rows.chunk(self.heads, dim=2), dim=1)


def positions(count: int, channels: int, like: Tensor) -> Tensor:
    """Sines and cosines (count, channels) of the places 0 … count - 1 (Vaswani et al., NIPS 2017, section 3.5)."""
    places = torch.arange(count, dtype=torch.float32, device=like.device)
    rates = torch.exp(torch.arange(0, channels, 2, device=like.device) * (-math.log(1000.0) / channels))
    angles = places[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1).to(like.dtype)
