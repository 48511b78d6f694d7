"""Whisper's encoder with a class for each frame, for which Transformers has no class.

The layers are those of `WhisperForAudioClassification`, whose forward averages over time before its last layer; here
that layer answers for each frame of 20 ms. So a saved model is read by `AutoModelForAudioClassification` too.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import AutoModelForAudioFrameClassification, WhisperConfig, WhisperForAudioClassification
from transformers.modeling_outputs import TokenClassifierOutput


class WhisperForAudioFrameClassification(WhisperForAudioClassification):
    """Logits of shape (rows, frames, classes) of spectrograms of shape (rows, bins, 2 x frames)."""

    def forward(self, input_features: Tensor, **_kwargs: Any) -> TokenClassifierOutput:
        """The last layer of each frame; labels are for the task's own loss."""
        hidden = self.encoder(input_features).last_hidden_state
        return TokenClassifierOutput(logits=self.classifier(self.projector(hidden)))


def register() -> None:
    """Let the Auto class for frames know Whisper."""
    AutoModelForAudioFrameClassification.register(WhisperConfig, WhisperForAudioFrameClassification, exist_ok=True)
