"""Hidden frames of recordings are found among others: a checkpoint goes on learning speech without transcripts.

The contrastive task of wav2vec 2.0, Baevski et al. 2020, https://arxiv.org/abs/2006.11477, section 3.2. The run is a
checkpoint for any recipe on recordings.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from hftransfer.core.compat import model_classes
from hftransfer.core.errors import ModelError
from hftransfer.core.features import Audio, Feature
from hftransfer.core.results import JsonObject
from hftransfer.tasks import Encoded, ModelBatch, Outputs, Predictions, Processor, Rows, Side, _audio, stack
from hftransfer.tasks._masked_rows import MaskedRows, row_rng
from hftransfer.tasks._types import EncodedRow, Model, Row

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PretrainedConfig, PreTrainedModel
    from transformers.utils import ModelOutput


class SpeechPretraining(MaskedRows):
    """Recordings to their hidden frames. Inputs: `input_values` of shape (batch, time) at the checkpoint's rate.

    A prediction is right when, of the hidden frame and `num_negatives` (a field of the config) other hidden ones of the
    recording, it is most similar to the first.
    """

    inputs: ClassVar[dict[str, Feature]] = {"audio": Audio()}
    auto_model: ClassVar[str] = "AutoModelForPreTraining"
    auto_processor: ClassVar[str] = "AutoFeatureExtractor"
    output_names: ClassVar[tuple[str, ...]] = ("projected_states", "projected_quantized_states")
    label_names: ClassVar[tuple[str, ...]] = ("mask_time_indices",)
    pretraining: ClassVar[str] = "feature-extraction"
    refuses: ClassVar[dict[str, str]] = MaskedRows.refuses | {
        "linear_probe": "its model has no head that could be trained alone",
        "lp_ft": "its model has no head that could be trained alone",
        "multi_task": "it trains with the losses of the models, and this task replaces its model's",
    }
    requires: ClassVar[dict[str, str]] = {"soundfile": "speech", "soxr": "speech"}
    tiny_model: ClassVar[str] = "wav2vec2"
    suggested_checkpoints = {"audio": ("facebook/wav2vec2-base",)}

    crop_seconds: float = Field(default=8.0, gt=0.1, le=3600)
    """Training sees a random part of this length of a longer recording, scoring its beginning."""
    mask_time_prob: float = Field(default=0.065, gt=0, lt=1)
    """Share of the frames at which a hidden span begins, as in the paper, section 4.2."""
    mask_time_length: int = Field(default=10, ge=2, le=10**4)
    """Frames of a hidden span, as in the paper, section 4.2."""
    gumbel_temperature: float = Field(default=0.5, gt=0, le=100)
    """Temperature of the choice of codes in training; 0.5 is where the annealing of the paper's base model ends."""

    def check_row(self, row: Row) -> str | None:
        return _audio.fault(row, silence=False)

    def new_processor(self, config: PretrainedConfig, rows: Dataset) -> Processor:
        return _audio.new_extractor(config) or super().new_processor(config, rows)

    def config_fields(self) -> JsonObject:
        """A model without `apply_spec_augment` has no vector that takes the place of hidden frames."""
        mask = {"mask_time_prob": self.mask_time_prob, "mask_time_length": self.mask_time_length}
        return {"apply_spec_augment": True} | mask

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        model_class = model_classes(self.auto_model, config)[0]
        if "sampled_negative_indices" not in inspect.signature(model_class.forward).parameters:
            raise ModelError(
                f"a {config.model_type} checkpoint has no contrastive task; take one of model type wav2vec2"
            )
        return []

    def encode(self, rows: Rows) -> Encoded:
        name, arrays, lengths = _audio.extract_features(rows["audio"], self.processor)
        return Encoded({name: arrays}, length=lengths)

    @property
    def augments(self) -> bool:
        return True

    def augment(self, row: EncodedRow, rng: np.random.Generator) -> EncodedRow:
        return self._mask(self._crop(np.asarray(row["input_values"]), rng), rng)

    def _crop(self, samples: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """A random part of `crop_seconds`, without `rng` the first."""
        longest = round(self.crop_seconds * self.processor.sampling_rate)
        start = int(rng.integers(0, max(1, len(samples) - longest + 1))) if rng else 0
        return samples[start : start + longest]

    def _mask(self, samples: np.ndarray, rng: np.random.Generator) -> EncodedRow:
        """The samples, which frames are `hidden`, and for each of them the numbers of its `negatives`."""
        frames, negatives_per_frame = self._frames(len(samples)), self.architecture.num_negatives
        length = min(self.mask_time_length, frames)
        starts = rng.permutation(frames - length + 1)[: max(1, round(self.mask_time_prob * frames))]
        hidden = np.zeros(frames, bool)
        hidden[(starts[:, None] + np.arange(length)).ravel()] = True
        places = np.flatnonzero(hidden)
        negatives = np.zeros((frames, negatives_per_frame), int)
        if len(places) > 1:
            sampled = rng.integers(0, len(places) - 1, (len(places), negatives_per_frame))
            # A frame is no negative of its own: from its place on, numbers are shifted by one.
            negatives[places] = places[sampled + (sampled >= np.arange(len(places))[:, None])]
        return {"input_values": samples, "hidden": hidden, "negatives": negatives}

    def _mask_for_scoring(self, row: EncodedRow) -> EncodedRow:
        """The beginning of a recording, with hidden frames that depend on its samples alone."""
        samples = self._crop(np.asarray(row["input_values"]), None)
        return self._mask(samples, row_rng(samples))

    def _frames(self, samples: int) -> int:
        """Frames that the convolutions make of so many samples."""
        config = self.architecture
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples

    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        import torch

        masked = [row if "hidden" in row else self._mask_for_scoring(row) for row in encoded]
        batch = _audio.pad_batch(self.processor, self.architecture, masked)
        frames = self._frames(batch["input_values"].shape[1])
        hidden = [np.pad(row["hidden"], (0, frames - len(row["hidden"]))) for row in masked]
        # The model counts the frames of the whole batch.
        negatives = [
            np.pad(row["negatives"], ((0, frames - len(row["negatives"])), (0, 0))) + number * frames
            for number, row in enumerate(masked)
        ]
        return batch | {
            "mask_time_indices": torch.from_numpy(np.stack(hidden)),
            "sampled_negative_indices": torch.from_numpy(np.stack(negatives)),
        }

    @property
    def replaces_loss(self) -> bool:
        return True

    def install_loss(self, model: PreTrainedModel, references: Predictions) -> None:
        """The mean over the hidden frames instead of their sum, so that learning rates do not depend on the lengths."""
        model.set_gumbel_temperature(self.gumbel_temperature)

        def average(_module: PreTrainedModel, _args: Any, kwargs: ModelBatch, output: ModelOutput) -> ModelOutput:
            if getattr(output, "loss", None) is not None:
                output.loss = output.loss / kwargs["mask_time_indices"].sum()
            return output

        model.register_forward_hook(average, with_kwargs=True, prepend=True)

    def outputs(self, model: Model, batch: ModelBatch, side: Side) -> Outputs:
        """Rows of one length together, since group norm sees the padding."""
        by_row: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        lengths = batch["attention_mask"].sum(dim=1)
        for length in lengths.unique().tolist():
            rows = (lengths == length).nonzero()[:, 0]
            by_row |= dict(zip(rows.tolist(), self._scores(model, batch, rows, length), strict=True))
        losses, right = zip(*(by_row[row] for row in range(len(lengths))), strict=True)
        return {"losses": stack([*losses]), "right": stack([*right])}

    def _scores(
        self, model: PreTrainedModel, batch: ModelBatch, rows: torch.Tensor, length: int
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each of some rows of one length, the loss of each hidden frame, and whether it is found."""
        frames = self._frames(length)
        hidden = batch["mask_time_indices"][rows, :frames]
        output = model(batch["input_values"][rows, :length], mask_time_indices=hidden)
        predictions, targets = output.projected_states.float(), output.projected_quantized_states.float()
        scores = []
        for number, row in enumerate(rows.tolist()):
            places = hidden[number].nonzero()[:, 0]
            negatives = batch["sampled_negative_indices"][row, places] - row * batch["mask_time_indices"].shape[1]
            scores.append(
                _contrast(
                    predictions[number, places],
                    targets[number, places],
                    targets[number, negatives],
                    model.config.contrastive_logits_temperature,
                )
            )
        return scores

    def render(self, row: Row, prediction: np.ndarray, reference: np.ndarray) -> JsonObject:
        return {**_audio.render(row["audio"])}

    def respond(self, outputs: Outputs, side: Side) -> JsonObject:
        return {"loss": float(np.nanmean(outputs["losses"])), "found": float(np.mean(outputs["right"] == 1))}


def _contrast(
    predictions: torch.Tensor, targets: torch.Tensor, negatives: torch.Tensor, temperature: float
) -> tuple[np.ndarray, np.ndarray]:
    """The contrastive loss of each hidden frame (section 3.2 of the paper), and whether its target is found.

    `predictions` and `targets` have the shape (frames, size), `negatives` (frames, negatives, size).
    """
    import torch

    candidates = torch.cat([targets[:, None], negatives], dim=1)
    logits = torch.cosine_similarity(predictions[:, None], candidates, dim=-1) / temperature
    # A negative may have the very code of the target.
    equal = (candidates[:, 1:] == candidates[:, :1]).all(dim=-1)
    logits[:, 1:].masked_fill_(equal, float("-inf"))
    # Where all of them have, there is nothing to tell apart: the loss is that of chance.
    indistinct = equal.all(dim=1)
    losses = (logits.logsumexp(dim=1) - logits[:, 0]).masked_fill(indistinct, float(np.log(logits.shape[1])))
    right = (logits.argmax(dim=1) == 0) & ~indistinct
    return losses.cpu().numpy(), right.long().cpu().numpy()
