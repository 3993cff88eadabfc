"""The language network: how probable a text is as such, letter by letter (torch)."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from recognizer.charset import ASCII94
from recognizer.language import END


@dataclass(frozen=True)
class LanguageConfig:
    """Shape of a language network."""

    charset: str = ASCII94
    embedding: int = 48
    """Values of a letter."""
    units: int = 256
    """Of the LSTM."""


class LanguageNetwork(nn.Module):
    """Log probabilities of texts, each letter by those before it.

    Source: Mikolov et al., Recurrent neural network based language model, Interspeech 2010; here of letters, with an
    LSTM.
    """

    def __init__(self, config: LanguageConfig = LanguageConfig()) -> None:
        super().__init__()
        self.config = config
        classes = 1 + len(config.charset)
        self.embedding = nn.Embedding(classes, config.embedding)
        self.sequence = nn.LSTM(config.embedding, config.units, batch_first=True)
        self.output = nn.Linear(config.units, classes)

    def forward(self, texts: Tensor) -> Tensor:
        """How probable texts are.

        Args:
            texts: (N, L) int64 classes, ``END`` after a text's last letter.

        Returns:
            (N, L + 1) natural logarithms of the probabilities of each letter after those before it and of the end
            after the last one, then zeros.
        """
        before, after = F.pad(texts, (1, 0), value=END), F.pad(texts, (0, 1), value=END)
        scores = self.output(self.sequence(self.embedding(before))[0]).log_softmax(2)
        letters = scores.gather(2, after[:, :, None]).squeeze(2)
        # Letters, and the end after the last one; what follows only fills the row up.
        counted = (before != END).float()
        counted[:, 0] = 1
        return letters * counted
