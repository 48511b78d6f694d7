"""One label, several labels or a number for a recording (wav2vec2, HuBERT, AST, Whisper's encoder).

https://huggingface.co/docs/transformers/tasks/audio_classification
"""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.compat import model_classes
from hftransfer.core.errors import ModelError
from hftransfer.core.features import Kind
from hftransfer.tasks import Batch, Outputs, _audio
from hftransfer.tasks._classification import _Classification


class AudioClassification(_Classification):
    """Recordings, of any rate, to labels. Inputs: `input_values` of shape (batch, time) at the checkpoint's rate."""

    columns: ClassVar[dict[str, Kind]] = {"audio": "audio", "label": "label"}
    auto_model: ClassVar[str] = "AutoModelForAudioClassification"
    auto_processor: ClassVar[str] = "AutoFeatureExtractor"
    requires: ClassVar[dict[str, str]] = {"soundfile": "speech", "soxr": "speech"}

    crop_seconds: float = Field(default=8.0, gt=0)
    """Training hears a random part of this length of a longer recording; scoring hears all of it that the
    model can."""

    def check_row(self, row: dict[str, Any]) -> str | None:
        return _audio.row_fault(row) or super().check_row(row)

    def new_processor(self, config: Any, rows: Any) -> Any:
        return _audio.new_extractor(config) or super().new_processor(config, rows)

    def check(self, splits: dict[str, Any], config: Any) -> list[str]:
        _audio.check(self.processor)
        kind = model_classes(self.auto_model, config)[0]
        forward = inspect.getsource(kind.forward)
        if not self._single and "problem_type" not in forward and "loss_function" not in forward:
            raise ModelError(
                f"{kind.__name__} learns one label a row alone, and the rows are a {self.problem_type}: "
                "take a checkpoint of another kind, such as audio-spectrogram-transformer"
            )
        return _audio.cut_off(splits, self.processor)

    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        name, arrays = _audio.extract_features(rows["audio"], self.processor)
        encoded: dict[str, list[Any]] = {name: arrays, "length": [len(array) for array in arrays]}
        if "label" in rows:
            encoded["labels"] = self._targets(rows["label"])
        return encoded

    @property
    def augments(self) -> bool:
        return True

    def augment(self, row: dict[str, Any], draw: np.random.Generator) -> dict[str, Any]:
        name, rate = self.processor.model_input_names[0], self.processor.sampling_rate
        return _audio.cut(row, name, self.crop_seconds, rate, draw)

    def collator(self) -> Callable[[list[dict[str, Any]]], Batch]:
        import torch

        collate = _audio.collator(self.processor, self.architecture)

        def with_labels(rows: list[dict[str, Any]]) -> Batch:
            batch = collate(rows)
            if "labels" in rows[0]:
                batch["labels"] = torch.tensor(np.array([row["labels"] for row in rows]))
            return batch

        return with_labels

    def predict(self, model: Any, batch: Batch) -> Outputs:
        name = self.processor.model_input_names[0]
        # A probe is scored on the features that are kept of its frozen base.
        return (
            {"logits": np.stack(_audio.unpadded(model, batch, name))}
            if name in batch
            else super().predict(model, batch)
        )

    def read(self, text: str) -> dict[str, Any]:
        return _audio.given(text)

    def show(self, row: dict[str, Any], prediction: Any, reference: Any) -> dict[str, Any]:
        return _audio.shown(row["audio"])
