"""TrainingArguments and the plain Hugging Face Trainer; resume."""

import copy
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hftransfer.core.errors import RecipeError
from hftransfer.core.machine import keep_freed_memory
from hftransfer.data.encode import Encoded

# What every training starts from; the strategy's own arguments go before these, a recipe's before both.
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

_COMPLETE = "complete"
# Checkpointing as torch did it first gives a block no gradient where what comes in has none: frozen embeddings. And
# Trainer would take it that under checkpointing every parameter has a gradient in every process.
_KEPT_GRADIENTS = {"gradient_checkpointing_kwargs": {"use_reentrant": False}, "ddp_find_unused_parameters": True}


def arguments(training: dict[str, Any], folder: Path, seed: int, by_length: bool) -> Any:
    """TrainingArguments of one training.

    Raises:
        RecipeError: values that TrainingArguments refuses, or that would be ignored without a word.
    """
    from transformers import TrainingArguments

    fixed = {
        "output_dir": str(folder),
        "seed": seed,
        "data_seed": seed,
        "remove_unused_columns": False,
    }
    # A checkpoint within an epoch does not hold the order that grouping has drawn for it.
    whole_epochs = training.get("save_strategy", DEFAULTS["save_strategy"]) != "steps"
    grouped = _by_length() if by_length and whole_epochs else {}
    with _environment({}), _refused():
        made = TrainingArguments(**(DEFAULTS | _KEPT_GRADIENTS | grouped | training | fixed))
        # Mixed precision, compiling and FSDP, as Transformers 4 tells Accelerate of them.
        made.wrote = _written()
    _refuse_late(made)
    if made.fp16 and made.device.type == "cpu":
        raise RecipeError("training.fp16: there is no half precision on a CPU (it would train in fp32); use bf16")
    if made.device.type == "cpu":
        made.dataloader_pin_memory = False
    # Several GPUs are for torchrun: copies of a model in threads would share the hooks of losses.
    made._n_gpu = min(1, made.n_gpu)
    with _environment(made.wrote), _refused():
        _try(made)
    return made


@contextmanager
def _refused() -> Iterator[None]:
    """A sentence of what Transformers refuses."""
    try:
        yield
    except (ValueError, TypeError, ImportError, RuntimeError, ArithmeticError, LookupError, OSError) as error:
        raise RecipeError(f"training: {' '.join(str(error).split())[:300]}") from None


def _written() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("ACCELERATE_")}


@contextmanager
def _environment(more: dict[str, str]) -> Iterator[None]:
    """What `arguments` found that TrainingArguments tells Accelerate, for this training and for no later one."""
    before = _written()
    os.environ.update(more)
    try:
        yield
    finally:
        for name in _written():
            del os.environ[name]
        os.environ.update(before)


def _try(made: Any) -> None:
    """Begin a training of next to nothing: optimizer, schedule, reports and the rest are made by Trainer alone."""
    import torch
    from transformers import Trainer

    with tempfile.TemporaryDirectory() as folder:
        tried = copy.copy(made)
        # Labels are smoothed by what the model's config says.
        tried.output_dir, tried.label_smoothing_factor = folder, 0.0
        trainer = Trainer(torch.nn.Linear(1, 1), tried, train_dataset=[{}], eval_dataset=[{}])
        if not tried.optim_target_modules:
            trainer.create_optimizer_and_scheduler(100)


def _refuse_late(made: Any) -> None:
    """What TrainingArguments takes, and the Trainer refuses only when it trains."""
    least = {"per_device_train_batch_size": 1, "per_device_eval_batch_size": 1, "gradient_accumulation_steps": 1}
    for name, value in least.items():
        if getattr(made, name) < value:
            raise RecipeError(f"training.{name}: at least {value}, got {getattr(made, name)}")
    if made.max_steps <= 0 and not made.num_train_epochs > 0:
        raise RecipeError(f"training.num_train_epochs: more than 0, got {made.num_train_epochs}")
    if not 0 < made.learning_rate < float("inf"):
        raise RecipeError(f"training.learning_rate: a number over 0, got {made.learning_rate}")
    if made.load_best_model_at_end and made.metric_for_best_model not in ("loss", "eval_loss"):
        raise RecipeError(
            f"training.metric_for_best_model: only 'loss' is known while training, got '{made.metric_for_best_model}'"
        )


def _by_length() -> dict[str, Any]:
    """Batches of rows of like length, as the installed Transformers calls it."""
    from hftransfer.recipe.training_arguments import training_fields

    if "group_by_length" in training_fields():
        return {"group_by_length": True}
    return {"train_sampling_strategy": "group_by_length"}


def train(
    model: Any, encoded: Encoded, args: Any, callbacks: list[Any], what: str, *, rates: dict[str, float]
) -> list[dict[str, float]]:
    """Train in place, going on from the last complete checkpoint in the output folder; returns the Trainer's log.

    `what` names the training in its progress bar; `rates` are factors of the learning rate by parameter.
    """
    from transformers import PrinterCallback, ProgressCallback, Trainer

    if args.device.type == "cpu":
        keep_freed_memory()
    augment = _vary(encoded, args.seed)
    with _environment(args.wrote):
        trainer = Trainer(
            model=model,
            args=args,
            train_dataset=encoded.splits["train"],
            eval_dataset=encoded.splits["validation"],
            data_collator=augment,
            # A checkpoint is marked as complete when the others have left in it what is theirs.
            callbacks=[augment, *callbacks, _follow(what)],
        )
        for plain in (ProgressCallback, PrinterCallback):
            trainer.remove_callback(plain)
        _read_lengths(trainer)
        if rates:
            _spread_rates(trainer.create_optimizer(), model, rates)
        with warnings.catch_warnings():
            # Where a file system's times are coarse, Trainer orders checkpoints by number, and says so at each save.
            warnings.filterwarnings("ignore", "mtime may not be reliable")
            trainer.train(resume_from_checkpoint=last_complete(Path(args.output_dir)))
    return [
        {k: float(v) for k, v in entry.items() if isinstance(v, int | float)} for entry in trainer.state.log_history
    ]


def _read_lengths(trainer: Any) -> None:
    """Have the sampler that groups rows by length hold their lengths.

    It is given a column of `datasets`, and would read it from the file for every row of every epoch.
    """
    build = trainer._get_train_sampler

    def built(*given: Any) -> Any:
        sampler = build(*given)
        if getattr(sampler, "lengths", None) is not None:
            sampler.lengths = sampler.lengths[:]
        return sampler

    trainer._get_train_sampler = built


def _spread_rates(optimizer: Any, model: Any, rates: dict[str, float]) -> None:
    """Split the optimizer's groups by the factors of their parameters, which the scheduler then keeps."""
    factors = {id(parameter): rates.get(name, 1.0) for name, parameter in model.named_parameters()}
    groups = []
    for group in optimizer.param_groups:
        for factor in sorted({factors[id(parameter)] for parameter in group["params"]}):
            some = [parameter for parameter in group["params"] if factors[id(parameter)] == factor]
            groups.append(group | {"params": some, "lr": group["lr"] * factor})
    optimizer.param_groups[:] = groups


def last_complete(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end."""
    found = [path.parent for path in folder.glob(f"checkpoint-*/{_COMPLETE}")]
    return str(max(found, key=lambda path: int(path.name.rpartition("-")[2]))) if found else None


def _vary(encoded: Encoded, seed: int) -> Any:
    """A collator that varies the training rows, and a callback that tells it the epoch.

    What is drawn depends on seed, epoch and row alone, so that a resumed training draws the same.
    """
    import torch
    from transformers import TrainerCallback

    class AugmentRows(TrainerCallback):
        # Workers that live longer than an epoch see it change.
        epoch = torch.zeros(1, dtype=torch.long).share_memory_()

        def on_epoch_begin(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
            self.epoch.fill_(int(state.epoch + 1e-6))

        def __call__(self, rows: list[dict[str, Any]]) -> Any:
            if encoded.augment is not None and "row" in rows[0]:
                draws = (np.random.default_rng((seed, int(self.epoch), int(row["row"]))) for row in rows)
                rows = [encoded.augment(row, draw) for row, draw in zip(rows, draws, strict=True)]
            return encoded.collate(rows)

    return AugmentRows()


def _keep_names(model: Any, file: Path) -> None:
    """Give the weights of a checkpoint the names that the model has for them.

    Transformers 5 saves some architectures (ViT, AST) under their old names, and Trainer, which reads a checkpoint
    without translating them, would go on from the weights before the training.
    """
    from safetensors import safe_open
    from safetensors.torch import save_model

    if not file.is_file():
        return
    with safe_open(file, framework="pt") as tensors:
        foreign = set(tensors.keys()) - set(model.state_dict())
    if foreign:
        partial = file.with_name(file.name + ".partial")
        save_model(model, str(partial), metadata={"format": "pt"})
        partial.replace(file)


def _follow(what: str) -> Any:
    """A callback that shows a bar with the losses, and marks a checkpoint as complete.

    Trainer writes a checkpoint file by file; one that a killed run left without the mark is not resumed from.
    """
    from tqdm.auto import tqdm
    from transformers import TrainerCallback

    class Follow(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
            hidden = not state.is_world_process_zero
            self.bar = tqdm(total=state.max_steps, desc=f"training {what}", unit="step", disable=hidden)
            self.losses: dict[str, str] = {}

        def on_step_end(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
            self.bar.update(state.global_step - self.bar.n)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_kwargs: Any) -> None:
            self.losses |= {k: f"{logs[k]:.3f}" for k in ("loss", "eval_loss") if k in (logs or {})}
            self.bar.set_postfix(self.losses)

        def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **_kwargs: Any) -> None:
            if state.is_world_process_zero:
                folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
                _keep_names(model, folder / "model.safetensors")
                (folder / _COMPLETE).touch()

        def on_train_end(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
            self.bar.close()

    return Follow()
