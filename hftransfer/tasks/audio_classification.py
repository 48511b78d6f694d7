"""One label, several labels or a number for a recording (wav2vec2, HuBERT, AST, Whisper's encoder).

https://huggingface.co/docs/transformers/tasks/audio_classification
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.compat import model_classes
from hftransfer.core.errors import ModelError
from hftransfer.core.features import Audio, Feature
from hftransfer.core.results import JsonObject
from hftransfer.tasks import Encoded, ModelBatch, Outputs, Predictions, Processor, Rows, Side, _audio, _whisper
from hftransfer.tasks._classification import Classification
from hftransfer.tasks._types import EncodedRow, Model, Row

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig

    from hftransfer.core.data_facts import InputFact


class AudioClassification(Classification):
    """Recordings, of any rate, to labels. Inputs: `input_values` of shape (batch, time) at the checkpoint's rate."""

    inputs: ClassVar[dict[str, Feature]] = {"audio": Audio()}
    auto_model: ClassVar[str] = "AutoModelForAudioClassification"
    auto_processor: ClassVar[str] = "AutoFeatureExtractor"
    augmentations: ClassVar[tuple[str, ...]] = ("gain", "noise", "time_mask", "bin_mask")
    mixes: ClassVar[tuple[str, ...]] = ("mixup",)
    requires: ClassVar[dict[str, str]] = {"soundfile": "speech", "soxr": "speech"}
    tiny_model: ClassVar[str] = "wav2vec2"
    suggested_checkpoints = {"audio": ("facebook/wav2vec2-base-960h", "sample:whisper_tiny_en")}

    crop_seconds: float = Field(default=8.0, gt=0, le=3600)
    """Training sees a random part of this length of a longer recording; scoring sees all that the model can read."""

    window_seconds: int | None = Field(default=None, ge=1, le=30)
    """Seconds of a recording that Whisper reads; left out, the checkpoint's, 30. What a row costs grows with it."""

    @classmethod
    def suggested_fields(cls, rows: Dataset) -> dict[str, Any]:
        return _audio.suggested_window(rows)

    def check_row(self, row: Row) -> str | None:
        return _audio.fault(row) or super().check_row(row)

    def open_processor(
        self, read: Callable[..., Processor], config: PretrainedConfig, rows: Dataset | None
    ) -> Processor:
        processor = super().open_processor(read, config, rows)
        _whisper.set_window(processor, self.window_seconds)
        return processor

    def config_fields(self) -> dict[str, Any]:
        return super().config_fields() | _whisper.window_fields(self.window_seconds)

    def new_processor(self, config: PretrainedConfig, rows: Dataset) -> Processor:
        return _audio.new_extractor(config) or super().new_processor(config, rows)

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

    def input_facts(self, rows: Dataset) -> dict[InputFact, np.ndarray]:
        return _audio.input_facts(rows["audio"], self.processor)

    def encode(self, rows: Rows) -> Encoded:
        name, arrays, lengths = _audio.extract_features(rows["audio"], self.processor)
        inputs = {name: arrays}
        if "label" in rows:
            inputs["labels"] = self._targets(rows["label"])
        return Encoded(inputs, length=lengths)

    @property
    def augments(self) -> bool:
        return True

    def augment(self, row: EncodedRow, rng: np.random.Generator) -> EncodedRow:
        name, rate = self.processor.model_input_names[0], self.processor.sampling_rate
        return _audio.random_crop(row, name, self.crop_seconds, rate, rng)

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

    def render(self, row: Row, prediction: Predictions, reference: Predictions) -> JsonObject:
        return {**_audio.render(row["audio"])}
