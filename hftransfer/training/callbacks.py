"""Callbacks of every training: augmentation that knows the epoch, a progress bar, when checkpoints are written."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import TrainerCallback

from hftransfer.core.files import seal, write_text
from hftransfer.core.progress import Progress
from hftransfer.core.termination import Terminated, has_sigterm
from hftransfer.data.encode import ROW
from hftransfer.training.checkpoints import COMPLETE, PROGRESS
from hftransfer.training.compat import restore_weight_names

if TYPE_CHECKING:
    from transformers import PreTrainedModel, TrainerControl, TrainerState, TrainingArguments

    from hftransfer.data.encode import EncodedSplits, Example
    from hftransfer.tasks import ModelBatch
    from hftransfer.training.resumable import ResumableTrainer


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


class SaveWhenDone(TrainerCallback):
    """Puts off the checkpoint of an epoch's last step until the epoch has been evaluated, and leaves out some others.

    Trainer takes an epoch whose last step is saved for a whole one: resumed from there, it would neither evaluate it
    nor draw the random numbers that the evaluation draws.
    """

    def __init__(self, seconds: float) -> None:
        """Leave out a checkpoint that follows another, or the start of the training, within so many seconds."""
        self.seconds = seconds
        self.saved = time.monotonic()
        self.put_off = False

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any
    ) -> None:
        last = control.should_training_stop or state.epoch == int(state.epoch)
        if sigterm_anywhere(args) and not last:
            control.should_save = True
        elif last:
            self.put_off |= control.should_save
            control.should_save = False

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any
    ) -> None:
        wanted = self.put_off or (control.should_save and time.monotonic() - self.saved >= self.seconds)
        # Where the evaluation is still to come, it finds the signal itself.
        control.should_save = wanted or (sigterm_anywhere(args) and not control.should_evaluate)
        self.put_off = False

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any) -> None:
        self.saved = time.monotonic()


class CompleteCheckpoint(TrainerCallback):
    """Adds to a checkpoint what Trainer leaves out, and the hashes of its files. The last of the callbacks.

    Trainer writes a checkpoint file by file; one that a killed run left without the hashes is not resumed from.
    """

    def __init__(self, trainer: ResumableTrainer) -> None:
        """Complete the checkpoints of this Trainer."""
        self.trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any
    ) -> None:
        self.trainer.restore_progress()

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any
    ) -> None:
        if sigterm_anywhere(args):
            raise Terminated

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        # Each process writes its own random state.
        progress = self.trainer.progress()
        if state.is_world_process_zero:
            model: PreTrainedModel = kwargs["model"]
            restore_weight_names(model, folder / "model.safetensors")
            write_text(folder / PROGRESS, json.dumps(progress))
            seal(folder, folder / COMPLETE)
        if sigterm_anywhere(args):
            raise Terminated


def sigterm_anywhere(arguments: TrainingArguments) -> bool:
    """Whether a process of the training got SIGTERM; all ask at the same places, and so stop at the same step."""
    if arguments.world_size == 1:
        return has_sigterm()
    received = torch.tensor(float(has_sigterm()), device=arguments.device)
    torch.distributed.all_reduce(received)
    return bool(received.item())
