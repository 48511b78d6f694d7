"""The checkpoints of tasks with classes for each frame: wav2vec2 and its relatives, and Whisper's encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.errors import DataError, ModelError
from hftransfer.tasks import (
    Outputs,
    Predictions,
    Processor,
    Side,
    Task,
    _audio,
    _frames,
    _segments,
    _whisper,
    replace_loss,
)

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig, PreTrainedModel

    from hftransfer.core.data_facts import InputFact

_LOAD = """extractor, config = AutoFeatureExtractor.from_pretrained(repo), AutoConfig.from_pretrained(repo)
if config.model_type == "whisper":
    # Transformers has no class of Whisper for frames: the layers of this one answer for each frame, without its mean.
    whisper = AutoModelForAudioClassification.from_pretrained(repo)

    def model(input_features):
        hidden = whisper.encoder(input_features).last_hidden_state
        return SimpleNamespace(logits=whisper.classifier(whisper.projector(hidden)))
else:
    model = AutoModelForAudioFrameClassification.from_pretrained(repo)"""
_CALL = """samples, rate = soundfile.read("speech.wav", dtype="float32", always_2d=True)
samples = soxr.resample(samples.mean(axis=1), rate, extractor.sampling_rate)
inputs = extractor(samples, sampling_rate=extractor.sampling_rate, return_tensors="pt")
# (frames, classes), 20 ms a frame, of what one window holds; thresholds and smoothing stand in task.json.
name = extractor.model_input_names[0]
answer = model(**{name: inputs[name]}).logits[0].sigmoid()"""


class FrameCheckpoints(Task):
    """Adds how checkpoints are opened, the loss, and how the card calls a model."""

    auto_model: ClassVar[str] = "AutoModelForAudioFrameClassification"
    auto_processor: ClassVar[str] = "AutoFeatureExtractor"
    requires: ClassVar[dict[str, str]] = {"soundfile": "speech", "soxr": "speech"}
    tiny_model: ClassVar[str] = "wav2vec2"

    window_seconds: int | None = Field(default=None, ge=1, le=600)
    """Seconds that are read at once, a longer recording in several windows; left out, 30, or what Whisper reads."""

    @property
    def step(self) -> float:
        """Seconds from one frame to the next."""
        return _segments.frame_step(self.processor, self.architecture)

    @property
    def window(self) -> float:
        """Seconds that are read at once."""
        return _frames.window_of(self.processor, self.window_seconds)

    def model_class(self, config: PretrainedConfig) -> str:
        if config.model_type == "whisper":
            from hftransfer.tasks import _whisper_frames

            _whisper_frames.register()
        return self.auto_model

    def export_class(self, config: PretrainedConfig) -> str:
        """Optimum's class for frames reads waveforms alone."""
        return "AutoModelForCustomTasks" if config.model_type == "whisper" else self.auto_model

    def open_processor(
        self, read: Callable[..., Processor], config: PretrainedConfig, rows: Dataset | None
    ) -> Processor:
        processor = super().open_processor(read, config, rows)
        _frames.window_of(processor, self.window_seconds)
        return processor

    def new_processor(self, config: PretrainedConfig, rows: Dataset) -> Processor:
        processor = _audio.new_extractor(config) or super().new_processor(config, rows)
        _frames.window_of(processor, self.window_seconds)
        return processor

    def config_fields(self) -> dict[str, Any]:
        whisper = getattr(self.architecture, "model_type", "") == "whisper"
        return super().config_fields() | _whisper.window_fields(self.window_seconds if whisper else None)

    def find_labels(self, splits: Mapping[str, Dataset]) -> tuple[str, ...]:
        labels = super().find_labels(splits)
        if not labels:
            raise DataError("no training recording has a segment, so that there is nothing to learn")
        return labels

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        _audio.check_extractor(self.processor)
        if config.model_type == "whisper" and config.use_weighted_layer_sum:
            raise ModelError(
                "model.config.use_weighted_layer_sum: frames are read of Whisper's last layer alone; "
                "encoder_layers: 2 takes that of an earlier one"
            )
        given = getattr(self, "frame_thresholds", None)
        if given is not None and len(given) != len(self.labels):
            raise ModelError(
                f"task.frame_thresholds: there are {len(given)}, and {len(self.labels)} classes: "
                f"{', '.join(self.labels):.200}"
            )
        return []

    def input_facts(self, rows: Dataset) -> dict[InputFact, np.ndarray]:
        """Without `truncated`: windows read all of a recording."""
        return {"rate": _audio.input_facts(rows["audio"], self.processor)["rate"]}

    def fit_warnings(
        self, outputs: Mapping[str, Outputs], side: Mapping[str, Side], references: Mapping[str, Predictions]
    ) -> list[str]:
        active = np.any([it.active.any(axis=0) for it in references["validation"]], axis=0)
        absent = [label for label, there in zip(self.labels, active, strict=True) if not there]
        sentence = "no validation recording has a segment of these classes, whose threshold stays 0.5: "
        return [sentence + f"{', '.join(absent):.200}"] if absent else []

    @property
    def replaces_loss(self) -> bool:
        return True

    def install_loss(self, model: PreTrainedModel, references: Predictions) -> None:
        replace_loss(model, _frames.loss)

    @property
    def usage_snippet(self) -> tuple[str, str, str]:
        classes = "AutoConfig, AutoFeatureExtractor, AutoModelForAudioClassification"
        imports = (
            "from types import SimpleNamespace\n\nimport soundfile\nimport soxr\n"
            f"from transformers import {classes}, AutoModelForAudioFrameClassification"
        )
        return imports, _LOAD, _CALL
