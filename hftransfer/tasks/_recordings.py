"""Recordings that an encoder reads: their processor, Whisper's window, random crops, players in reports."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.features import Audio, Feature
from hftransfer.core.results import JsonObject
from hftransfer.tasks import Processor, Task, _audio, _audio_script, _whisper
from hftransfer.tasks._types import EncodedRow, Row

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig

    from hftransfer.core.data_facts import InputFact


class Recordings(Task):
    """Adds the input `audio` to a family of tasks."""

    inputs: ClassVar[dict[str, Feature]] = {"audio": Audio()}
    auto_processor: ClassVar[str] = "AutoFeatureExtractor"
    augmentations: ClassVar[tuple[str, ...]] = ("gain", "noise", "time_mask", "bin_mask")
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

    def open_processor(
        self, read: Callable[..., Processor], config: PretrainedConfig, rows: Dataset | None
    ) -> Processor:
        processor = super().open_processor(read, config, rows)
        _whisper.set_window(processor, self.window_seconds)
        return processor

    def new_processor(self, config: PretrainedConfig, rows: Dataset) -> Processor:
        return _audio.new_extractor(config) or super().new_processor(config, rows)

    def config_fields(self) -> dict[str, Any]:
        return super().config_fields() | _whisper.window_fields(self.window_seconds)

    def input_facts(self, rows: Dataset) -> dict[InputFact, np.ndarray]:
        return _audio.input_facts(rows["audio"], self.processor)

    @property
    def augments(self) -> bool:
        return True

    def augment(self, row: EncodedRow, rng: np.random.Generator) -> EncodedRow:
        name, rate = self.processor.model_input_names[0], self.processor.sampling_rate
        return _audio.random_crop(row, name, self.crop_seconds, rate, rng)

    def script_values(self, rows: Dataset) -> dict[str, Any]:
        return super().script_values(rows) | _audio_script.script_values(
            rows["audio"], self.processor, self.architecture, self.crop_seconds
        )

    def render(self, row: Row, prediction: Any, reference: Any) -> JsonObject:
        return {**_audio.render(row["audio"])}
