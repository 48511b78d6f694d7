"""One label, several labels or a number for a recording (wav2vec2, HuBERT, AST, Whisper's encoder).

https://huggingface.co/docs/transformers/tasks/audio_classification
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hftransfer.core.compat import model_classes
from hftransfer.core.errors import ModelError
from hftransfer.tasks import Encoded, ModelBatch, Outputs, Rows, Side, _audio
from hftransfer.tasks._classification import Classification
from hftransfer.tasks._recordings import Recordings
from hftransfer.tasks._types import EncodedRow, Model, Row

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig


class AudioClassification(Recordings, Classification):
    """Recordings, of any rate, to labels. Inputs: `input_values` of shape (batch, time) at the checkpoint's rate."""

    auto_model: ClassVar[str] = "AutoModelForAudioClassification"
    mixes: ClassVar[tuple[str, ...]] = ("mixup",)

    def check_row(self, row: Row) -> str | None:
        return _audio.fault(row) or super().check_row(row)

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        super().check(splits, config)
        _audio.check_extractor(self.processor)
        model_class = model_classes(self.auto_model, config)[0]
        forward = inspect.getsource(model_class.forward)
        if not self.single_label and "problem_type" not in forward and "loss_function" not in forward:
            raise ModelError(
                f"{model_class.__name__} learns one label a row alone, and the rows are a {self.problem_type}: "
                "take a checkpoint of another kind, such as audio-spectrogram-transformer"
            )
        return _audio.truncated(splits, self.processor)

    def encode(self, rows: Rows) -> Encoded:
        name, arrays, lengths = _audio.extract_features(rows["audio"], self.processor)
        inputs = {name: arrays}
        if "label" in rows:
            inputs["labels"] = self._targets(rows["label"])
        return Encoded(inputs, length=lengths)

    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        import torch

        batch = _audio.pad_batch(self.processor, self.architecture, encoded)
        if "labels" in encoded[0]:
            batch["labels"] = torch.tensor(np.array([row["labels"] for row in encoded]))
        return batch

    def outputs(self, model: Model, batch: ModelBatch, side: Side) -> Outputs:
        name = self.processor.model_input_names[0]
        # A linear probe is scored on the cached features of its frozen backbone.
        if name not in batch:
            return super().outputs(model, batch, side)
        return {"logits": np.stack(_audio.unpadded_logits(model, batch, name))}
