"""Callbacks of every training: augmentation that knows the epoch, a progress bar, when checkpoints are written."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import TrainerCallback

from hftransfer.core.progress import Progress
from hftransfer.data.encode import ROW
from hftransfer.training.compat import restore_weight_names

if TYPE_CHECKING:
    from transformers import PreTrainedModel, TrainerControl, TrainerState, TrainingArguments

    from hftransfer.data.encode import EncodedSplits, Example
    from hftransfer.tasks import ModelBatch

COMPLETE = "complete"
"""The file that marks a checkpoint as written to its end."""


class AugmentingCollator(TrainerCallback):
    """The collator of the training rows, which augments them; as a callback it is given the epoch.

    The random numbers depend on seed, epoch and row alone, so that a resumed training augments the same way.
    """

    def __init__(self, encoded: EncodedSplits, seed: int) -> None:
        """Augment the rows of `encoded` as it says."""
        self.encoded, self.seed = encoded, seed
        # In shared memory: workers that live longer than an epoch see it change.
        self.epoch = torch.zeros(1, dtype=torch.long).share_memory_()

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any
    ) -> None:
        # Trainer counts epochs in fractions.
        self.epoch.fill_(int(state.epoch + 1e-6))

    def __call__(self, rows: list[Example]) -> ModelBatch:
        """A batch; rows without a number (those of other splits than `train`) are not augmented."""
        augment = self.encoded.augment
        if augment is not None and ROW in rows[0]:
            generators = (np.random.default_rng((self.seed, int(self.epoch), int(row[ROW]))) for row in rows)
            rows = [augment(row, rng) for row, rng in zip(rows, generators, strict=True)]
        return self.encoded.collate(rows)


class ProgressBar(TrainerCallback):
    """One bar for the whole training, with the latest losses."""

    def __init__(self, name: str) -> None:
        """Call the training by this name."""
        self.name = name

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any
    ) -> None:
        hidden = not state.is_world_process_zero
        self.bar = Progress(total=state.max_steps, desc=f"training {self.name}", unit="step", disable=hidden)
        self.losses: dict[str, str] = {}

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any
    ) -> None:
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        logs = kwargs.get("logs") or {}
        self.losses |= {key: f"{logs[key]:.3f}" for key in ("loss", "eval_loss") if key in logs}
        self.bar.set_postfix(self.losses)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any
    ) -> None:
        self.bar.close()


class SaveSeldom(TrainerCallback):
    """Leaves out a checkpoint that follows another, or the start of the training, within some seconds."""

    def __init__(self, seconds: float) -> None:
        """So many seconds."""
        self.seconds = seconds
        self.saved = time.monotonic()

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any
    ) -> None:
        if time.monotonic() - self.saved < self.seconds:
            control.should_save = False

    on_step_end = on_epoch_end

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any) -> None:
        self.saved = time.monotonic()


class MarkComplete(TrainerCallback):
    """Marks a checkpoint as complete. The last of the callbacks, since others may add files to a checkpoint.

    Trainer writes a checkpoint file by file; one that a killed run left without the mark is not resumed from.
    """

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            model: PreTrainedModel = kwargs["model"]
            restore_weight_names(model, folder / "model.safetensors")
            (folder / COMPLETE).touch()
