"""Whisper's encoder alone, for which Transformers has no Auto class: hidden states of recordings without a decoder.

Its weights have the names that they have in `WhisperForAudioClassification`, by which a saved model is read too.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import AutoModelForAudioXVector, WhisperConfig, WhisperPreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.modeling_whisper import WhisperEncoder


class WhisperForAudioXVector(WhisperPreTrainedModel):
    """Hidden states of shape (rows, frames, size) of spectrograms of shape (rows, bins, 2 x frames)."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__(config)
        self.encoder = WhisperEncoder(config)
        self.post_init()

    def forward(self, input_features: Tensor, **_kwargs: Any) -> BaseModelOutput:
        """The last hidden states; labels are for the task's own loss."""
        return BaseModelOutput(last_hidden_state=self.encoder(input_features).last_hidden_state)


def register() -> None:
    """Let the Auto class for embeddings of speakers know Whisper."""
    AutoModelForAudioXVector.register(WhisperConfig, WhisperForAudioXVector, exist_ok=True)
