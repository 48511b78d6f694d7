"""TrainingArguments of a training, refused in a sentence before any weights are read where they cannot work."""

from __future__ import annotations

import copy
import dataclasses
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftransfer.core.errors import RecipeError
from hftransfer.training.compat import (
    accelerate_environment,
    accelerate_variables,
    checkpointing_names,
    checkpointing_options,
    group_by_length,
    use_one_gpu,
    use_plain_cpu,
)

if TYPE_CHECKING:
    from transformers import TrainingArguments

DEFAULTS: dict[str, Any] = {
    "per_device_train_batch_size": 16,
    "per_device_eval_batch_size": 32,
    "lr_scheduler_type": "linear",
    "warmup_steps": 0,
    "weight_decay": 0.01,
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "save_total_limit": 2,
    "logging_strategy": "epoch",
    "report_to": "none",
}
"""TrainingArguments of every training; the strategy's override them, and the recipe's override both."""

# Reentrant checkpointing gives a block no gradient where its input has none: after frozen embeddings. And Trainer would
# assume that under checkpointing every parameter has a gradient in every process.
_GRADIENT_CHECKPOINTING = {
    "gradient_checkpointing_kwargs": {"use_reentrant": False},
    "ddp_find_unused_parameters": True,
}
# Seconds from a checkpoint to the next, where the recipe does not say when to save: what an interruption may cost.
_SECONDS_BETWEEN_SAVES = 60.0

_REFUSALS = (
    *(ValueError, TypeError, ImportError, RuntimeError, ArithmeticError, LookupError, OSError),
    *(AttributeError, AssertionError),
)
"""What Transformers and Accelerate raise for values of a wrong type, or that do not go together."""
# What a script says of itself.
_SCRIPTS_OWN = ("output_dir", "seed", "data_seed", "logging_strategy")
# What the configuration of Accelerate may ask for, and the recipe may not.
_SHARDED = ("fsdp", "deepspeed", "megatron_lm")


def training_arguments(training: Mapping[str, Any], folder: Path, seed: int, by_length: bool) -> TrainingArguments:
    """TrainingArguments of one training.

    They get two attributes: `accelerate_variables`, environment variables that the training needs, and
    `seconds_between_saves`, for which no checkpoint follows another (0: each is written). Epochs of small data are over
    sooner than their checkpoint is written.

    Args:
        training: Fields of TrainingArguments that differ from `DEFAULTS`.
        folder: Where Trainer writes checkpoints.
        seed: Seed of the weights, of the order of the rows and of augmentation.
        by_length: Whether batches hold rows of like length.

    Raises:
        RecipeError: values that TrainingArguments refuses, or that would silently have no effect.
    """
    from transformers import TrainingArguments

    fixed: dict[str, Any] = {
        "output_dir": str(folder),
        "seed": seed,
        "data_seed": seed,
        "remove_unused_columns": False,
        "use_cpu": uses_cpu(training),
    }
    with accelerate_environment({}), _as_recipe_error():
        chosen = _GRADIENT_CHECKPOINTING | _chosen(training, by_length) | fixed
        arguments = TrainingArguments(**checkpointing_names(chosen))
        arguments.accelerate_variables = accelerate_variables()
    # Processes would not agree on the time.
    exact = "save_strategy" in training or arguments.load_best_model_at_end or arguments.world_size > 1
    arguments.seconds_between_saves = 0.0 if exact else _SECONDS_BETWEEN_SAVES
    _check_values(arguments)
    if arguments.device.type == "cpu":
        arguments.dataloader_pin_memory = False
        use_plain_cpu(arguments)
    use_one_gpu(arguments)
    with accelerate_environment(arguments.accelerate_variables), _as_recipe_error():
        _build_trainer(arguments)
    return arguments


def _chosen(training: Mapping[str, Any], by_length: bool) -> dict[str, Any]:
    """The fields of a training, those left out by `DEFAULTS`."""
    # A checkpoint within an epoch does not hold the order that grouping by length has given its rows.
    whole_epochs = training.get("save_strategy", DEFAULTS["save_strategy"]) != "steps"
    return DEFAULTS | (group_by_length() if by_length and whole_epochs else {}) | dict(training)


def script_arguments(training: Mapping[str, Any], by_length: bool) -> dict[str, Any]:
    """The fields that a script without this package gives to TrainingArguments: those that are not its defaults.

    Unless the best checkpoint is loaded, nothing follows from checkpoints and from the size of batches of evaluation;
    nothing ever does from what is logged when.
    """
    from transformers import TrainingArguments

    chosen = _chosen(training, by_length)
    if not chosen.get("load_best_model_at_end"):
        chosen |= {"save_strategy": "no", "save_total_limit": None, "per_device_eval_batch_size": 8}
    if chosen.get("gradient_checkpointing") or chosen.get("activation_checkpointing"):
        chosen = {"gradient_checkpointing_kwargs": {"use_reentrant": False}} | chosen
    named = checkpointing_names({name: value for name, value in chosen.items() if name not in _SCRIPTS_OWN})
    defaults = {field.name: field.default for field in dataclasses.fields(TrainingArguments)}
    return {name: value for name, value in named.items() if value != defaults[name]}


def rows_of_step(training: Mapping[str, Any]) -> int:
    """The training rows of an optimizer step of one process."""
    return int(training["per_device_train_batch_size"] * training.get("gradient_accumulation_steps", 1))


def uses_cpu(training: Mapping[str, Any]) -> bool:
    """Whether a run trains on the CPU: because it is asked to, or since there is nothing else.

    Unless they are told, TrainingArguments asks for a GPU for bf16, and Accelerate, which looks for GPUs alone, takes
    each process of a launcher for the only one.
    """
    import torch

    return bool(training.get("use_cpu", False)) or not torch.accelerator.is_available()


@contextmanager
def _as_recipe_error() -> Iterator[None]:
    """Turn what Transformers raises into a sentence."""
    try:
        yield
    except _REFUSALS as error:
        raise RecipeError(f"training: {' '.join(str(error).split())[:300]}") from None


def _check_values(arguments: TrainingArguments) -> None:
    """Refuse what TrainingArguments accepts, and Trainer refuses only when it trains."""
    for name in _SHARDED:
        if os.environ.get(f"ACCELERATE_USE_{name.upper()}", "false").lower() in ("1", "true"):
            raise RecipeError(f"accelerate launch: {name} cannot be used, only data parallelism (--multi_gpu)")
    metric = arguments.metric_for_best_model
    if arguments.load_best_model_at_end and metric not in ("loss", "eval_loss"):
        raise RecipeError(f"training.metric_for_best_model: only 'loss' is computed while training, got '{metric}'")
    if arguments.fp16 and arguments.device.type == "cpu":
        raise RecipeError("training.fp16: there is no half precision on a CPU (it would train in fp32); use bf16")


def _build_trainer(arguments: TrainingArguments) -> None:
    """Build Trainer, optimizer, schedule and loader for a model of two weights: they alone know which values they take.

    Raises:
        RecipeError: options of checkpointing that torch does not have.
    """
    import torch
    from torch.utils.data import DataLoader
    from transformers import Trainer

    with tempfile.TemporaryDirectory() as folder:
        trial = copy.copy(arguments)
        # Whether labels can be smoothed depends on the model's config, and modules are named as in the real model.
        trial.output_dir, trial.label_smoothing_factor = folder, 0.0
        trial.optim_target_modules = trial.optim_target_modules and "all-linear"
        model = torch.nn.Sequential(torch.nn.Linear(1, 1))
        Trainer(model, trial, train_dataset=[{}], eval_dataset=[{}]).create_optimizer_and_scheduler(100)
    DataLoader(
        [{}],
        num_workers=arguments.dataloader_num_workers,
        persistent_workers=arguments.dataloader_persistent_workers,
        prefetch_factor=arguments.dataloader_prefetch_factor,
    )
    options = {"use_reentrant": False} | checkpointing_options(arguments)
    try:
        torch.utils.checkpoint.checkpoint(torch.nn.Identity(), torch.zeros(1, requires_grad=True), **options)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"training.gradient_checkpointing_kwargs: {str(error).partition(chr(10))[0]}") from None
