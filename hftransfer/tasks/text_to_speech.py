"""A text to speech: an encoder of characters and a decoder that writes a spectrogram frame by frame (SpeechT5).

Ao et al. 2022, https://arxiv.org/abs/2110.07205. A vocoder makes sound of the spectrogram (`_vocoder.py`). What is
scored is held against recordings, and says little of how natural speech sounds: that takes listeners.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from pydantic import Field

from hftransfer.core.features import Audio, Feature, Json, Text
from hftransfer.core.results import JsonObject
from hftransfer.tasks import (
    Encoded,
    ModelBatch,
    Outputs,
    Predictions,
    Processor,
    Rows,
    Side,
    _audio,
    _vocoder,
    object_array,
    stack,
)
from hftransfer.tasks import _speech_synthesis as speech
from hftransfer.tasks._choice_hooks import Sampled
from hftransfer.tasks._limits import SAMPLED, refuse_unknown_ids
from hftransfer.tasks._spoken import SpokenAnswers
from hftransfer.tasks._types import EncodedRow, Model, Row

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig

    from hftransfer.core.data_facts import InputFact

_NO_HEAD = "a model that writes spectrograms has no head that could be trained alone"


class TextToSpeech(SpokenAnswers):
    """Texts to spectrograms. Inputs: `input_ids` of shape (batch, tokens), `speaker_embeddings` (batch, values).

    Outputs: `spectrogram` of shape (rows, frames, bins), log10 of mel amplitudes, generated, filled up with NaN.
    """

    inputs: ClassVar[dict[str, Feature]] = {"text": Text(), "speaker": Json(optional=True)}
    target: ClassVar[tuple[str, Feature] | None] = ("audio", Audio())
    auto_model: ClassVar[str] = "AutoModelForTextToSpectrogram"
    auto_processor: ClassVar[str] = "AutoProcessor"
    metrics: ClassVar[list[str]] = ["mel_cepstral_distortion"]
    own_baselines: ClassVar[tuple[str, ...]] = speech.BASELINES
    output_names: ClassVar[tuple[str, ...]] = ("spectrogram",)
    not_exported: ClassVar[str] = "generate frame by frame with three graphs, which no class of Optimum runs"
    refuses: ClassVar[dict[str, str]] = {
        "few_shot": "it compares rows of one class each, and these have recordings",
        "distill": "the speech of a teacher is no label for another model",
        "linear_probe": _NO_HEAD,
        "lp_ft": _NO_HEAD,
        "multi_task": "its decoder has a memory of what it has spoken, and other tasks share encoders alone",
        "prune": "its layers are those of an encoder and of a decoder, and no list of one of them makes the model",
    }
    requires: ClassVar[dict[str, str]] = {"soundfile": "speech", "soxr": "speech", "sentencepiece": "text"}
    local_files: ClassVar[tuple[str, ...]] = ("vocoder", "recognizer")
    tiny_model: ClassVar[str] = "speecht5"
    suggested_checkpoints = {"text": ("microsoft/speecht5_tts",)}

    max_frames_per_token: float = Field(default=20.0, gt=0, le=1000)
    """Frames for each token of a text after which generation ends, at the latest."""
    sampling_rate: int = Field(default=16_000, ge=4000, le=48_000)
    """Samples a second of what a new model synthesizes; a checkpoint has its own."""

    @classmethod
    def likeness(cls, columns: Mapping[str, str], rows: Sampled) -> float:
        """Recordings with texts are more often there to be recognized."""
        return -0.25

    def infer(self, rows: Dataset) -> Self:
        if "speaker" not in rows.column_names or self.speakers is not None:
            return self
        return self.model_copy(update={"speakers": speech.speaker_names(rows["speaker"][:])})

    def check_row(self, row: Row) -> str | None:
        return _audio.fault(row, silence=False)

    def model_class(self, config: PretrainedConfig) -> str:
        speech.check_model(config)
        return self.auto_model

    def new_processor(self, config: PretrainedConfig, rows: Dataset) -> Processor:
        return speech.new_processor(config, rows["text"][:], self.sampling_rate)

    def default_metrics(self) -> list[str]:
        return [*self.metrics, *["round_trip_wer"] * (self.recognizer is not None)]

    def metric_options(self) -> JsonObject:
        return {"recognizer": self.recognizer}

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        _vocoder.check(self.vocoder, self.processor.feature_extractor)
        speech.check_lengths(splits, self.processor, config)
        for rows in splits.values():
            sampled = rows.select(range(min(SAMPLED, len(rows))))
            for cell in sampled["speaker"] if "speaker" in rows.column_names else ():
                speech.speaker_vector(cell, self.speakers, config.speaker_embedding_dim)
        return []

    def input_facts(self, rows: Dataset) -> dict[InputFact, np.ndarray]:
        return _audio.input_facts(rows["audio"], self.processor.feature_extractor)

    def encode(self, rows: Rows) -> Encoded:
        ids = self.processor.tokenizer(rows["text"], verbose=False)["input_ids"]
        refuse_unknown_ids(ids, self.processor.tokenizer, self.architecture)
        size, speakers = self.architecture.speaker_embedding_dim, rows.get("speaker", [None] * len(ids))
        inputs = {"input_ids": [np.array(it) for it in ids]}
        inputs["speaker_embeddings"] = [speech.speaker_vector(cell, self.speakers, size) for cell in speakers]
        if "audio" in rows:
            inputs["labels"] = [speech.spectrogram(cell, self.processor.feature_extractor) for cell in rows["audio"]]
        return Encoded(inputs, {"text": rows["text"]}, length=[len(it) for it in inputs.get("labels", ids)])

    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        return speech.pad(encoded, self.processor.tokenizer.pad_token_id, self.architecture.reduction_factor)

    def outputs(self, model: Model, batch: ModelBatch, side: Side) -> Outputs:
        return {"spectrogram": stack(speech.generate(model, batch, self.max_frames_per_token))}

    def postprocess(self, outputs: Outputs, side: Side) -> Predictions:
        pairs = zip(outputs["spectrogram"], side["text"], strict=True)
        return object_array([self.spoken(speech.frames_of(filled), text) for filled, text in pairs])

    def references(self, rows: Dataset) -> Predictions:
        extractor, references = self.processor.feature_extractor, []
        for text, cell in zip(rows["text"][:], rows["audio"], strict=True):
            reference = self.spoken(speech.spectrogram(cell, extractor), text)
            reference.sound = partial(speech.read_recording, cell, extractor.sampling_rate)
            references.append(reference)
        return object_array(references)

    def own_baseline(
        self, name: str, rows: Mapping[str, Dataset], encoded: Mapping[str, Dataset], seed: int
    ) -> dict[str, Outputs]:
        return speech.baseline_outputs(name, encoded)
