"""One training by the Hugging Face Trainer, resumed from its last complete checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.core.machine import keep_freed_memory
from hftransfer.core.ranks import from_main
from hftransfer.core.termination import deferred_sigterm
from hftransfer.training.checkpoints import is_last_step, last_checkpoint
from hftransfer.training.compat import accelerate_environment, load_lengths

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from transformers import PreTrainedModel, TrainerCallback, TrainingArguments

    from hftransfer.data.encode import EncodedSplits

# What Trainer logs of the steps since it was resumed, and of no use beyond them.
_SINCE_RESUMED = ("_runtime", "_per_second", "train_loss")


def train(
    model: PreTrainedModel,
    encoded: EncodedSplits,
    arguments: TrainingArguments,
    callbacks: Sequence[TrainerCallback],
    name: str,
    *,
    learning_rate_factors: Mapping[str, float],
) -> list[dict[str, float]]:
    """Train a model in place on `train`, with the loss on `validation` in the log.

    Args:
        model: The model; only parameters that require a gradient are trained.
        encoded: The rows.
        arguments: What `training_arguments` made; a complete checkpoint in its output folder is resumed from.
        callbacks: Those of the strategy.
        name: What the progress bar calls the training.
        learning_rate_factors: Parameter -> factor of its learning rate; 1 for those left out.

    Returns:
        Trainer's log: one entry a logging, each with numbers by name (`loss`, `eval_loss`, `epoch`, `step` ...).
    """
    from transformers import PrinterCallback, ProgressCallback

    from hftransfer.training.callbacks import AugmentingCollator, CompleteCheckpoint, ProgressBar, SaveWhenDone
    from hftransfer.training.resumable import ResumableTrainer

    if arguments.device.type == "cpu":
        keep_freed_memory()
    collator = AugmentingCollator(encoded, arguments.seed)
    checkpoint = from_main(lambda: last_checkpoint(Path(arguments.output_dir), name))
    first = encoded.splits["train"]
    rows = first if encoded.stream is None else encoded.stream
    if checkpoint is not None:
        # It was evaluated then.
        arguments.eval_on_start = False
        if is_last_step(checkpoint):
            # Trainer would train a further step after a checkpoint of the last one within an epoch; of rows that make a
            # single step, the last one ends an epoch.
            rows = first.select(range(min(len(first), arguments.train_batch_size * arguments.world_size)))
    with accelerate_environment(arguments.accelerate_variables), deferred_sigterm():
        trainer = ResumableTrainer(
            model=model,
            args=arguments,
            train_dataset=rows,
            eval_dataset=encoded.splits["validation"],
            data_collator=collator,
            callbacks=[
                collator,
                *callbacks,
                ProgressBar(name),
                SaveWhenDone(arguments.seconds_between_saves),
            ],
        )
        trainer.add_callback(CompleteCheckpoint(trainer))
        for replaced in (ProgressCallback, PrinterCallback):
            trainer.remove_callback(replaced)
        load_lengths(trainer)
        if learning_rate_factors:
            _scale_learning_rates(trainer.create_optimizer(), model, learning_rate_factors)
        with warnings.catch_warnings():
            # On file systems with coarse times Trainer orders checkpoints by number, and warns of it at each save.
            warnings.filterwarnings("ignore", "mtime may not be reliable")
            trainer.train(resume_from_checkpoint=checkpoint)
        trainer.save_if_terminated()
    return [
        {
            key: float(value)
            for key, value in entry.items()
            if isinstance(value, int | float) and not key.endswith(_SINCE_RESUMED)
        }
        for entry in trainer.state.log_history
    ]


def _scale_learning_rates(optimizer: Optimizer, model: PreTrainedModel, factors: Mapping[str, float]) -> None:
    """Split the optimizer's groups by the factors of their parameters; the schedule preserves the ratios."""
    by_parameter = {id(parameter): factors.get(name, 1.0) for name, parameter in model.named_parameters()}
    groups = []
    for group in optimizer.param_groups:
        for factor in sorted({by_parameter[id(parameter)] for parameter in group["params"]}):
            members = [parameter for parameter in group["params"] if by_parameter[id(parameter)] == factor]
            groups.append(group | {"params": members, "lr": group["lr"] * factor})
    optimizer.param_groups[:] = groups
