"""The attention head: letters one after the other, each where the word is looked at next (torch)."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
            (N, 2, steps, classes) logits, with ``letters`` (N, 2, L + 1, classes).
        """
        return self.outputs(features, letters)[0]

    def outputs(self, features: Tensor, letters: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The logits, and where each letter looks: (N, 2, steps or L + 1, T), shares of the frames from the left."""
        given = (None, None) if letters is None else letters.unbind(1)
        scores, weights = self.forwards(features, given[0])
        mirrored_scores, mirrored_weights = self.backwards(features.flip(1), given[1])
        return torch.stack([scores, mirrored_scores], 1), torch.stack([weights, mirrored_weights.flip(2)], 1)


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

    def forward(self, features: Tensor, letters: Tensor | None) -> tuple[Tensor, Tensor]:
        """Scores (N, L + 1, classes) after each of the letters (N, L), from before the first, and the mean weight
        (N, L + 1, T) of each frame; without letters those of ``steps`` letters, the best of each step fed back."""
        if letters is None:
            return self._read(features)
        before = F.pad(letters, (1, 0), value=END)  # the end also stands for what is before the first letter
        states = self.state(self.embedding(before))[0]
        return self._look(states, 0, *self._frames(features))

    def _read(self, features: Tensor) -> tuple[Tensor, Tensor]:
        frames = self._frames(features)
        before = features.new_full((features.shape[0],), END, dtype=torch.long)
        hidden = memory = features.new_zeros(features.shape[0], self.state.hidden_size)
        scores: list[Tensor] = []
        weights: list[Tensor] = []
        for step in range(self.steps):
            hidden, memory = self._advance(self.embedding(before), hidden, memory)
            for kept, found in zip((scores, weights), self._look(hidden[:, None], step, *frames), strict=True):
                kept.append(found)
            before = scores[-1].squeeze(1).argmax(1)
        return torch.cat(scores, dim=1), torch.cat(weights, dim=1)

    def _advance(self, letter: Tensor, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """One step of ``state``, written out, since a cell has no counterpart in ONNX."""
        gates = F.linear(letter, self.state.weight_ih_l0, self.state.bias_ih_l0)
        gates = gates + F.linear(hidden, self.state.weight_hh_l0, self.state.bias_hh_l0)
        write, forget, new, show = gates.chunk(4, dim=1)
        memory = torch.sigmoid(forget) * memory + torch.sigmoid(write) * torch.tanh(new)
        return torch.sigmoid(show) * torch.tanh(memory), memory

    def _frames(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Keys (N, heads, T, units / heads), which know their place, and values of the same shape."""
        keys = self.key(features) + positions(features.shape[1], self.key.out_features, features)
        return self._by_head(keys), self._by_head(self.value(features))

    def _look(self, states: Tensor, first: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (N, L, classes) and weights (N, L, T) of states (N, L, units), those of letters ``first``, …"""
        places = positions(first + states.shape[1], self.query.out_features, states)[first:]
        queries = self._by_head(self.query(states) + places)
        weights = (queries @ keys.transpose(2, 3) / math.sqrt(keys.shape[3])).softmax(3)
        seen = torch.cat((weights @ values).unbind(1), dim=2)
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
