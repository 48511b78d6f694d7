"""Parts of Transformers that have no public name, or that 4.57 and 5 do differently: its Trainer.

Each function says which versions it was read in, and why there is no public way.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from torch.utils.data import Sampler
    from transformers import PreTrainedModel, Trainer, TrainingArguments


def accelerate_variables() -> dict[str, str]:
    """The environment variables that Accelerate reads.

    Transformers 4.57: TrainingArguments hands mixed precision, compiling and FSDP on to Accelerate by setting these
    when it is created. Transformers 5 passes them as arguments.
    """
    return {name: value for name, value in os.environ.items() if name.startswith("ACCELERATE_")}


@contextmanager
def accelerate_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Add to the environment variables of Accelerate for one training; afterwards they are what they were before.

    Without it, the next training in the same process would take over what this one has set.
    """
    before = accelerate_variables()
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in accelerate_variables():
            del os.environ[name]
        os.environ.update(before)


def use_one_gpu(arguments: TrainingArguments) -> None:
    """Have a process train on one GPU at most; several are for torchrun.

    Transformers 4.57 and 5: with several GPUs in sight, Trainer copies the model into threads (`DataParallel`), whose
    copies would share the hooks of a replaced loss. The count has no public setter.
    """
    arguments._n_gpu = min(1, arguments.n_gpu)


def use_plain_cpu(arguments: TrainingArguments) -> None:
    """Call the CPU of several processes `cpu`, not `cpu:0`.

    Transformers 4.57: Trainer restores the optimizer to the device of the arguments, and PyTorch knows no `cpu:0`.
    """
    import torch

    arguments.__dict__["_setup_devices"] = torch.device("cpu")


def group_by_length() -> dict[str, Any]:
    """TrainingArguments for batches of rows of like length.

    A flag in Transformers 4.57, one of several strategies in 5.
    """
    from transformers import TrainingArguments

    if "group_by_length" in {field.name for field in dataclasses.fields(TrainingArguments)}:
        return {"group_by_length": True}
    return {"train_sampling_strategy": "group_by_length"}


def checkpointing_names(training: Mapping[str, Any]) -> dict[str, Any]:
    """TrainingArguments under the names of the installed version for recomputing activations.

    Transformers 5.24 calls `gradient_checkpointing` and its options `activation_checkpointing`; recipes may say either.
    """
    from transformers import TrainingArguments

    old, new = "gradient_checkpointing", "activation_checkpointing"
    known = {field.name for field in dataclasses.fields(TrainingArguments)}
    wanted, other = (new, old) if new in known else (old, new)
    renamed = {name.replace(other, wanted): value for name, value in training.items() if name.startswith(other)}
    return {name: value for name, value in training.items() if not name.startswith(other)} | renamed


def checkpointing_options(arguments: TrainingArguments) -> dict[str, Any]:
    """The options of recomputing activations, under the name that the installed version has for them."""
    names = [field.name for field in dataclasses.fields(arguments) if field.name.endswith("checkpointing_kwargs")]
    return next((dict(options) for name in names if (options := getattr(arguments, name))), {})


def load_lengths(trainer: Trainer) -> None:
    """Have the sampler that groups rows by length hold all lengths in memory.

    Transformers 4.57 and 5: Trainer gives it a column of `datasets` 4 and later, which is read from the file again for
    every row of every epoch. Only a private method of Trainer makes the sampler.
    """
    build = trainer._get_train_sampler

    def build_with_lengths(*args: Any) -> Sampler[int] | None:
        sampler = build(*args)
        if getattr(sampler, "lengths", None) is not None:
            sampler.lengths = sampler.lengths[:]
        return sampler

    trainer._get_train_sampler = build_with_lengths


def restore_weight_names(model: PreTrainedModel, file: Path) -> None:
    """Give the weights in a checkpoint of a training the names that the model has for them.

    Transformers 5 saves some architectures (ViT, AST) under the names of earlier versions, and Trainer, which reads a
    checkpoint without translating them, would resume from the weights before the training.
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    if not file.is_file():
        return
    with safe_open(file, framework="pt") as tensors:
        renamed = set(tensors.keys()) - set(model.state_dict())
    if renamed:
        partial = file.with_name(file.name + ".partial")
        # Copies: some weights are parts of one tensor (RF-DETR), and others shared.
        weights = {name: tensor.detach().clone().contiguous() for name, tensor in model.state_dict().items()}
        save_file(weights, str(partial), metadata={"format": "pt"})
        partial.replace(file)


def save_checkpoint(trainer: Trainer) -> None:
    """Save a checkpoint now; the callbacks are told.

    Transformers 4.57 and 5: a callback can ask for one at the end of a step, but not within an evaluation.
    """
    trainer._save_checkpoint(trainer.model, None)
    trainer.control = trainer.callback_handler.on_save(trainer.args, trainer.state, trainer.control)


def end_step(trainer: Trainer) -> None:
    """Evaluate and save as at the end of a step, for one whose evaluation was stopped.

    Transformers 4.57 and 5: that also tells the schedule and the choice of the best checkpoint of the loss, which only
    this private method does.
    """
    trainer.control.should_log, trainer.control.should_evaluate, trainer.control.should_save = False, True, True
    trainer._maybe_log_save_evaluate(None, None, trainer.model, None, trainer.state.epoch, None, time.time())


def load_random_state(trainer: Trainer, checkpoint: str) -> None:
    """Set the random states of a checkpoint; Transformers 4.57 and 5 do so only when the next epoch begins."""
    trainer._load_rng_state(checkpoint)


def last_logged_step(trainer: Trainer) -> int:
    """The step after which Trainer last logged the loss; in Transformers 4.57 and 5 no public attribute has it."""
    return int(trainer._globalstep_last_logged)


def set_last_logged(trainer: Trainer, step: int) -> None:
    """Have Trainer take the mean of the losses since this step.

    Transformers 4.57 and 5: a resumed training logs the mean of the steps since it was resumed.
    """
    trainer._globalstep_last_logged = step
