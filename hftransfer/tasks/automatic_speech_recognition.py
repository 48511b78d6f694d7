"""A recording to a transcript: by CTC (wav2vec2, HuBERT, w2v-BERT) or by generation (Whisper).

https://huggingface.co/docs/transformers/tasks/asr
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from hftransfer.core.empty_model import empty_model
from hftransfer.core.features import Audio, Feature, Text
from hftransfer.core.media import seconds
from hftransfer.core.results import JsonObject
from hftransfer.metrics._scripts import uses_spaces
from hftransfer.tasks import (
    IGNORED,
    Encoded,
    ModelBatch,
    Outputs,
    Predictions,
    Processor,
    Rows,
    Side,
    Task,
    _audio,
    _ctc,
    _normalization,
    _whisper,
    object_array,
)
from hftransfer.tasks._generation import generation_outputs, word_changes
from hftransfer.tasks._limits import check_start
from hftransfer.tasks._types import EncodedRow, Model, Row

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig, PreTrainedModel

    from hftransfer.core.data_facts import InputFact


class AutomaticSpeechRecognition(Task):
    """Recordings to texts. Inputs: `input_values` of shape (batch, time) or spectrograms, at the checkpoint's rate.

    Outputs: `ids` and `logprobs`; by CTC of the likeliest character of each frame, by generation of the generated
    tokens and of the reference's tokens.
    """

    inputs: ClassVar[dict[str, Feature]] = {"audio": Audio()}
    target: ClassVar[tuple[str, Feature] | None] = ("text", Text())
    auto_model: ClassVar[str] = "AutoModelForCTC"
    auto_processor: ClassVar[str] = "AutoProcessor"
    metrics: ClassVar[list[str]] = ["wer", "cer"]
    augmentations: ClassVar[tuple[str, ...]] = ("gain", "noise", "time_mask", "bin_mask")
    refuses: ClassVar[dict[str, str]] = {
        "few_shot": "it compares rows of one class each, and these have transcripts",
        "distill": "the transcripts of a teacher are no labels for another model",
    }
    requires: ClassVar[dict[str, str]] = {"soundfile": "speech", "soxr": "speech", "jiwer": "speech"}
    tiny_model: ClassVar[str] = "wav2vec2"
    suggested_checkpoints = {"audio": ("openai/whisper-tiny", "sample:whisper_tiny_en")}

    max_target_length: int = Field(default=128, ge=2, le=10**5)
    """Tokens that are generated at most."""
    language: str | None = None
    """The language that is spoken, as Whisper names it (`es` or `spanish`); left out, Whisper detects it for each row.

    By CTC, `turkish` and `azerbaijani` fold I to ı and İ to i.
    """
    vocabulary: Literal["checkpoint", "new"] = "checkpoint"
    """Of a CTC checkpoint: its vocabulary, or the characters of the training text (another language)."""
    window_seconds: int | None = Field(default=None, ge=1, le=30)
    """Seconds of a recording that Whisper reads; left out, the checkpoint's, 30. What a row costs grows with it."""
    normalization: _normalization.Kind = "none"
    """What is compared when texts are scored: `basic` leaves case and punctuation out, `english` writes numbers as
    digits and contractions in full too. The model is trained on the texts as they are."""

    @property
    def _generates(self) -> bool:
        return not hasattr(self.processor.tokenizer, "word_delimiter_token")

    def model_class(self, config: PretrainedConfig) -> str:
        return "AutoModelForSpeechSeq2Seq" if config.is_encoder_decoder else self.auto_model

    def check_row(self, row: Row) -> str | None:
        return _audio.fault(row, silence=False)

    def open_processor(
        self, read: Callable[..., Processor], config: PretrainedConfig, rows: Dataset | None
    ) -> Processor:
        """The checkpoint's, its vocabulary too, where it was trained to transcribe; else one for the training texts."""
        transcribes = any("ForCTC" in name for name in config.architectures or [])
        reused = self.vocabulary == "checkpoint" and transcribes
        if rows is None or config.is_encoder_decoder or reused:
            processor = self._with_language(read(self.auto_processor), config)
            if self.window_seconds is not None:
                _whisper.set_window(processor.feature_extractor, self.window_seconds)
            return processor
        return self._with_language(_ctc.new_processor(read("AutoFeatureExtractor"), rows, self.language), config)

    def new_processor(self, config: PretrainedConfig, rows: Dataset) -> Processor:
        extractor = _audio.new_extractor(config)
        # Other decoders have tokenizers of their own.
        if extractor is None or (config.is_encoder_decoder and config.model_type != "whisper"):
            return super().new_processor(config, rows)
        if config.is_encoder_decoder:
            return self._with_language(_whisper.new_processor(extractor, rows, config), config)
        return self._with_language(_ctc.new_processor(extractor, rows, self.language), config)

    def _with_language(self, processor: Processor, config: PretrainedConfig) -> Processor:
        if self.language is not None and (config.is_encoder_decoder or not _ctc.folds_dotless_i(self.language)):
            _whisper.set_language(processor, self.language, config)
        return processor

    def finalize(self, model: PreTrainedModel) -> None:
        """Write the language where generation looks for it."""
        if not self._generates:
            return
        tokenizer = self.processor.tokenizer
        if self.language is not None or _whisper.has_languages(tokenizer, model.config):
            _whisper.write_language(model, tokenizer, None if self.language is None else tokenizer.language)

    def config_fields(self) -> JsonObject:
        if self.processor is None or self._generates:
            return _whisper.window_fields(self.window_seconds)
        tokenizer = self.processor.tokenizer
        # The sum over frames, as in the paper of CTC, would weight long rows more than short ones.
        fields = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "ctc_loss_reduction": "mean"}
        return fields | {"ctc_zero_infinity": True}

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        extractor, tokenizer = self.processor.feature_extractor, self.processor.tokenizer
        _audio.check_extractor(extractor, pads=not self._generates)
        if not self._generates:
            return _ctc.check(splits, self.processor, config, self.language) + _unspaced(splits)
        check_start(empty_model(self.model_class(config), config), _whisper.token_ids(tokenizer, "a"))
        positions = _whisper.positions_for(self.max_target_length, config)
        warnings = _audio.truncated(splits, extractor)
        warnings += _whisper.check_lengths(splits, tokenizer, positions, self.max_target_length)
        warnings += _unspaced(splits)
        if self.language is None and _whisper.has_languages(tokenizer, config):
            warnings.append(
                "task.language is left out: training names no language, and scoring lets the model detect it"
            )
        return warnings

    def input_facts(self, rows: Dataset) -> dict[InputFact, np.ndarray]:
        ids, durations = [self._ids(text) for text in rows["text"][:]], [seconds(cell) for cell in rows["audio"]]
        if self._generates:
            lost = [len(tokens) > self.max_target_length for tokens in ids]
        else:
            lost = _ctc.more_than_frames(ids, durations, self.processor.feature_extractor, self.architecture)
        pace = np.array([len(text) for text in rows["text"][:]]) / durations
        facts = _audio.input_facts(rows["audio"], self.processor.feature_extractor)
        return facts | {"label_lost": np.array(lost), "pace": pace}

    def encode(self, rows: Rows) -> Encoded:
        name, arrays, lengths = _audio.extract_features(rows["audio"], self.processor.feature_extractor)
        inputs = {name: arrays}
        if "text" in rows:
            inputs["labels"] = [np.array(self._ids(text), dtype=np.int64) for text in rows["text"]]
        return Encoded(inputs, length=lengths)

    def _ids(self, text: str) -> list[int]:
        """A text as labels."""
        if self._generates:
            return _whisper.token_ids(self.processor.tokenizer, text)
        return _ctc.character_ids(self.processor.tokenizer, text, self.language)

    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        import torch

        batch = _audio.pad_batch(self.processor.feature_extractor, self.architecture, encoded)
        if "labels" in encoded[0]:
            labels = [torch.tensor(row["labels"]) for row in encoded]
            batch["labels"] = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=IGNORED)
        return batch

    def outputs(self, model: Model, batch: ModelBatch, side: Side) -> Outputs:
        if self._generates:
            inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
            return generation_outputs(model, inputs, batch.get("labels"), self.max_target_length, 1)
        name = self.processor.feature_extractor.model_input_names[0]
        return _ctc.frame_outputs(_audio.unpadded_logits(model, batch, name))

    def postprocess(self, outputs: Outputs, side: Side) -> Predictions:
        return object_array(_normalization.normalized(self._texts(outputs), self.normalization))

    def _texts(self, outputs: Outputs) -> list[str]:
        """The transcripts as the model writes them."""
        decode = _whisper.decode if self._generates else _ctc.decode
        return [" ".join(text.split()) for text in decode(self.processor.tokenizer, outputs["ids"])]

    def references(self, rows: Dataset) -> Predictions:
        texts = rows["text"][:]
        if self._generates:
            texts = [" ".join(text.split()) for text in texts]
        else:
            texts = [_ctc.normalize(self.processor.tokenizer, text, self.language) for text in texts]
        return object_array(_normalization.normalized(texts, self.normalization))

    def wrong(self, reference: str, prediction: str) -> str:
        """No text, or some where there is none."""
        return "" if reference else "?"

    def error(self, prediction: str, reference: str) -> float:
        """The word error rate; of an empty reference 1, unless the prediction is empty too."""
        import jiwer

        return float(jiwer.wer(reference, prediction)) if reference else float(prediction != "")

    def render(self, row: Row, prediction: str, reference: str) -> JsonObject:
        return {**_audio.render(row["audio"]), "changes": word_changes(reference, prediction)}

    def respond(self, outputs: Outputs, side: Side) -> JsonObject:
        return {"text": self._texts(outputs)[0]}


def _unspaced(splits: Mapping[str, Dataset]) -> list[str]:
    """A warning where texts have no spaces between words."""
    if uses_spaces(splits["test"]["text"][:]):
        return []
    return ["the texts have no spaces between words, so that wer counts whole texts: evaluation.metrics: [cer]"]
