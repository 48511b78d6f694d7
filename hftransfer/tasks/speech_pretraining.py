"""Hidden stretches of recordings are told from others: a checkpoint goes on learning speech that nobody wrote down.

The contrastive task of wav2vec 2.0, Baevski et al. 2020, https://arxiv.org/abs/2006.11477, section 3.2. The run is a
checkpoint for any recipe on recordings.
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
from hftransfer.tasks._hidden import _Hidden, own_draw


class SpeechPretraining(_Hidden):
    """Recordings to their hidden frames. Inputs: `input_values` of shape (batch, time) at the checkpoint's rate.

    A guess is right when the frame that stood there is found among `negatives` other hidden ones of the recording.
    """

    columns: ClassVar[dict[str, Kind]] = {"audio": "audio", "label": "label"}
    auto_model: ClassVar[str] = "AutoModelForPreTraining"
    auto_processor: ClassVar[str] = "AutoFeatureExtractor"
    requires: ClassVar[dict[str, str]] = {"soundfile": "speech", "soxr": "speech"}
    loss_input: ClassVar[str] = "mask_time_indices"
    pretraining: ClassVar[str] = "feature-extraction"

    crop_seconds: float = Field(default=8.0, gt=0.1)
    """Training hears a random part of this length of a longer recording, scoring its beginning."""
    mask_time_prob: float = Field(default=0.065, gt=0, lt=1)
    """Share of the frames at which a hidden stretch begins, as in the paper, section 4.2."""
    mask_time_length: int = Field(default=10, ge=2)
    """Frames of a stretch, likewise."""
    gumbel_temperature: float = Field(default=0.5, gt=0)
    """Of the choice of codes in training; 0.5 is where the annealing of the paper's base model ends."""

    def check_row(self, row: dict[str, Any]) -> str | None:
        return _audio.row_fault(row, silent=False)

    def new_processor(self, config: Any, rows: Any) -> Any:
        return _audio.new_extractor(config) or super().new_processor(config, rows)

    def config(self) -> dict[str, Any]:
        """A model that hides nothing by itself has no vector to put in the place of what is hidden."""
        hides = {"mask_time_prob": self.mask_time_prob, "mask_time_length": self.mask_time_length}
        return {"apply_spec_augment": True} | hides

    def check(self, splits: dict[str, Any], config: Any) -> list[str]:
        kind = model_classes(self.auto_model, config)[0]
        if "sampled_negative_indices" not in inspect.signature(kind.forward).parameters:
            raise ModelError(
                f"a {config.model_type} checkpoint has no contrastive task; take one of model type wav2vec2"
            )
        return []

    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        name, arrays = _audio.extract_features(rows["audio"], self.processor)
        return {name: arrays, "length": [len(array) for array in arrays]}

    @property
    def augments(self) -> bool:
        return True

    def augment(self, row: dict[str, Any], draw: np.random.Generator) -> dict[str, Any]:
        samples = np.asarray(row["input_values"])
        return self._hidden(self._part(samples, draw), draw)

    def _part(self, samples: np.ndarray, draw: np.random.Generator | None) -> np.ndarray:
        longest = round(self.crop_seconds * self.processor.sampling_rate)
        start = int(draw.integers(0, max(1, len(samples) - longest + 1))) if draw else 0
        return samples[start : start + longest]

    def _hidden(self, samples: np.ndarray, draw: np.random.Generator) -> dict[str, Any]:
        """The samples, which frames are hidden, and for each frame which others it is to be told from."""
        frames, negatives = self._frames(len(samples)), self.architecture.num_negatives
        length = min(self.mask_time_length, frames)
        starts = draw.permutation(frames - length + 1)[: max(1, round(self.mask_time_prob * frames))]
        hidden = np.zeros(frames, bool)
        hidden[(starts[:, None] + np.arange(length)).ravel()] = True
        places = np.flatnonzero(hidden)
        others = np.zeros((frames, negatives), int)
        if len(places) > 1:
            drawn = draw.integers(0, len(places) - 1, (len(places), negatives))
            # The frame itself is passed over.
            others[places] = places[drawn + (drawn >= np.arange(len(places))[:, None])]
        return {"input_values": samples, "hidden": hidden, "others": others}

    def _frames(self, samples: int) -> int:
        """Frames that the convolutions make of so many samples."""
        config = self.architecture
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples

    def collator(self) -> Callable[[list[dict[str, Any]]], Batch]:
        import torch

        pad = _audio.collator(self.processor, self.architecture)

        def collate(rows: list[dict[str, Any]]) -> Batch:
            cells = [row if "hidden" in row else self._of_recording(row) for row in rows]
            batch = pad(cells)
            frames = self._frames(batch["input_values"].shape[1])
            hidden = np.stack([np.pad(row["hidden"], (0, frames - len(row["hidden"]))) for row in cells])
            # The model counts the frames of the whole batch.
            others = np.stack(
                [
                    np.pad(row["others"], ((0, frames - len(row["others"])), (0, 0))) + number * frames
                    for number, row in enumerate(cells)
                ]
            )
            return batch | {
                "mask_time_indices": torch.from_numpy(hidden),
                "sampled_negative_indices": torch.from_numpy(others),
            }

        return collate

    def _of_recording(self, row: dict[str, Any]) -> dict[str, Any]:
        samples = self._part(np.asarray(row["input_values"]), None)
        return self._hidden(samples, own_draw(samples))

    @property
    def replaces_loss(self) -> bool:
        return True

    def install_loss(self, model: Any, references: np.ndarray) -> None:
        """The mean over the hidden frames, where the model gives the sum, so that rates do not follow the lengths."""
        model.set_gumbel_temperature(self.gumbel_temperature)

        def averaged(_module: Any, _args: Any, kwargs: dict[str, Any], output: Any) -> Any:
            if getattr(output, "loss", None) is not None:
                output.loss = output.loss / kwargs["mask_time_indices"].sum()
            return output

        model.register_forward_hook(averaged, with_kwargs=True, prepend=True)

    def predict(self, model: Any, batch: Batch) -> Outputs:
        """Rows of one length together, since models with group norm hear the padding."""
        found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        lengths = batch["attention_mask"].sum(dim=1)
        for length in lengths.unique().tolist():
            rows = (lengths == length).nonzero()[:, 0]
            found |= dict(zip(rows.tolist(), self._guessed(model, batch, rows, length), strict=True))
        losses, right = zip(*(found[row] for row in range(len(lengths))), strict=True)
        return {"losses": list(losses), "right": list(right)}  # type: ignore[dict-item]

    def _guessed(self, model: Any, batch: Batch, rows: Any, length: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each of some rows of one length, the loss of each hidden frame, and whether it is found."""
        import torch

        frames = self._frames(length)
        hidden = batch["mask_time_indices"][rows, :frames]
        made = model(batch["input_values"][rows, :length], mask_time_indices=hidden)
        guesses, truths = made.projected_states.float(), made.projected_quantized_states.float()
        found = []
        for number, row in enumerate(rows.tolist()):
            at = hidden[number].nonzero()[:, 0]
            others = batch["sampled_negative_indices"][row, at] - row * batch["mask_time_indices"].shape[1]
            candidates = torch.cat([truths[number, at, None], truths[number, others]], dim=1)
            likeness = torch.cosine_similarity(guesses[number, at, None], candidates, dim=-1)
            logits = likeness / model.config.contrastive_logits_temperature
            # Another frame may have the very code that is looked for.
            equal = (candidates[:, 1:] == candidates[:, :1]).all(dim=-1)
            logits[:, 1:].masked_fill_(equal, float("-inf"))
            # Where all codes are one, there is nothing to tell apart, and chance decides.
            blind = equal.all(dim=1)
            losses = (logits.logsumexp(dim=1) - logits[:, 0]).masked_fill(blind, float(np.log(logits.shape[1])))
            right = (logits.argmax(dim=1) == 0) & ~blind
            found.append((losses.cpu().numpy(), right.long().cpu().numpy()))
        return found

    def read(self, text: str) -> dict[str, Any]:
        return _audio.given(text)

    def show(self, row: dict[str, Any], prediction: Any, reference: Any) -> dict[str, Any]:
        return _audio.shown(row["audio"])

    def answer(self, outputs: Outputs) -> dict[str, Any]:
        return {
            "loss": float(np.nanmean(outputs["losses"])),
            "found": float(np.mean(np.asarray(outputs["right"]) == 1)),
        }
