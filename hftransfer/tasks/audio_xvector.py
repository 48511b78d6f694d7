"""Embeddings of recordings by speaker: whether two recordings are of one voice (speaker verification).

wav2vec2 and its relatives or Whisper's encoder, their hidden states averaged over the recording, or the x-vectors of a
checkpoint that has them (`AutoModelForAudioXVector`). Speakers that no training row has are tested.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from hftransfer.tasks import Encoded, ModelBatch, Outputs, Processor, Rows, Side, _audio, _speakers
from hftransfer.tasks._identities import Identities
from hftransfer.tasks._recordings import Recordings
from hftransfer.tasks._types import EncodedRow, Model, Row

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel


class AudioXvector(Recordings, Identities):
    """Recordings, `input_values` (batch, time) or spectrograms, to vectors: the output `audio`, (rows, size)."""

    identified: ClassVar[str] = "audio"
    label_names: ClassVar[tuple[str, ...]] = ("labels", "share")
    own_baselines: ClassVar[tuple[str, ...]] = _speakers.BASELINES

    crop_seconds: float = Field(default=4.0, gt=0, le=3600)
    """Training sees a random part of this length of a longer recording; scoring sees all that the model can read."""

    def check_row(self, row: Row) -> str | None:
        return _audio.fault(row, silence=False)

    def model_class(self, config: PretrainedConfig) -> str:
        if config.model_type == "whisper":
            from hftransfer.tasks import _whisper_encoder

            _whisper_encoder.register()
        pooled = _speakers.has_xvectors(config)
        return "AutoModelForAudioXVector" if pooled or config.model_type == "whisper" else self.auto_model

    def with_pooling(self, named: Callable[[], str | None]) -> Self:
        """Recordings have no class token: the mean, unless the recipe wants the first frame."""
        return self.model_copy(update={"pooling": self.pooling or "mean"})

    def open_processor(
        self, read: Callable[..., Processor], config: PretrainedConfig, rows: Dataset | None
    ) -> Processor:
        processor = super().open_processor(read, config, rows)
        if _speakers.has_xvectors(config):
            # Their pooling of padded rows is a loop over rows, which a graph would have for one size of a batch.
            processor.return_attention_mask = False
        return processor

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        _audio.check_extractor(self.processor)
        return super().check(splits, config) + _audio.truncated(splits, self.processor)

    def encode(self, rows: Rows) -> Encoded:
        encoded = _speakers.encode(rows, self.processor, self.architecture)
        if "label" in rows:
            encoded.inputs["labels"] = list(rows["label"])
        encoded.side.update(self.side_of(rows))
        return encoded

    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        import torch

        batch = _audio.pad_batch(self.processor, self.architecture, encoded)
        batch["share"] = _speakers.shares(batch, encoded)
        if "labels" in encoded[0]:
            batch["labels"] = torch.tensor([row["labels"] for row in encoded])
        return batch

    @property
    def _states(self) -> str:
        """The output that is pooled, or pooled already."""
        return "embeddings" if _speakers.has_xvectors(self.architecture) else "last_hidden_state"

    def states(self, output: Any) -> Tensor:
        states: Tensor = getattr(output, self._states)
        return states

    def embedding_size(self, model: PreTrainedModel) -> int:
        has_xvectors = _speakers.has_xvectors(self.architecture)
        return int(model.config.xvector_output_dim) if has_xvectors else super().embedding_size(model)

    def batch_embeddings(self, hidden: Tensor, batch: ModelBatch) -> Tensor:
        if _speakers.has_xvectors(self.architecture):
            return self.embed(hidden[:, None], None)
        return self.embed(hidden, _speakers.frame_mask(batch["share"], hidden.shape[1]))

    def outputs(self, model: Model, batch: ModelBatch, side: Side) -> Outputs:
        hidden = _audio.unpadded_logits(model, batch, self.processor.model_input_names[0], self._states)
        return {self.identified: _speakers.pooled(hidden, batch, self.embed)}

    def own_baseline(
        self, name: str, rows: Mapping[str, Dataset], encoded: Mapping[str, Dataset], seed: int
    ) -> dict[str, Outputs]:
        return _speakers.baseline(name, encoded, self.processor, self.architecture, self.identified)

    @property
    def usage_snippet(self) -> tuple[str, str, str]:
        return _speakers.usage(self.pooling)

    def tiny_row(self, number: int) -> Row:
        """Of twelve speakers."""
        return {"label": f"p{number % 12}"}
