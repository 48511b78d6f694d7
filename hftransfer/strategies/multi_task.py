"""Multi-task learning: several tasks on one encoder, each with its own head.

Caruana 1997, https://doi.org/10.1023/A:1007379606734. The recipe's own task is the main one; `others` names the recipes
of the auxiliary tasks, of which task, data and checkpoint are used. A batch holds rows of all tasks. Each auxiliary
model becomes a run in `heads/NAME` of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr, field_validator

from hftransfer.core.errors import ModelError, RecipeError
from hftransfer.data.encode import ROW, EncodedSplits, Example
from hftransfer.models.checkpoint import empty_model
from hftransfer.models.weights import load_model
from hftransfer.strategies import AuxiliaryTask, Strategy, TrainingContext, TrainingFields
from hftransfer.tasks import ModelBatch, Task

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel
    from transformers.utils import ModelOutput

_MAIN = ""
"""The name of the main task among those of the auxiliary ones."""


class MultiTask(Strategy):
    """Train the encoder for all tasks at once."""

    replaces_loss: ClassVar[bool] = True
    training: ClassVar[TrainingFields] = {"learning_rate": 2.0e-4, "num_train_epochs": 5}

    others: dict[str, str]
    """Name of an auxiliary task -> the file of its recipe, from the working directory."""
    temperature: float = Field(default=1.0, ge=1, le=1000)
    """A task with n rows is sampled in proportion to n^(1 / temperature): 1 by size, larger values more evenly.

    Raffel et al. 2020, https://arxiv.org/abs/1910.10683, section 3.5.2.
    """
    weighting: Literal["equal", "uncertainty"] = "equal"
    """Of the losses: equal, or by trained variances (Kendall et al. 2018, https://arxiv.org/abs/1705.07115)."""

    _tasks: dict[str, AuxiliaryTask] = PrivateAttr(default={})
    """The auxiliary tasks, once the recipes are resolved."""

    @field_validator("others")
    @classmethod
    def _names_are_words(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not name.isidentifier():
                raise ValueError(f"the name of an auxiliary task is a word, got '{name}'")
        if not value:
            raise ValueError("give at least one auxiliary recipe; for a single task use 'full'")
        return value

    def auxiliary_recipes(self) -> dict[str, str]:
        return self.others

    def with_auxiliary(self, tasks: Mapping[str, AuxiliaryTask]) -> Self:
        resolved = self.model_copy()
        resolved._tasks = dict(tasks)
        return resolved

    def check(self, task: Task, model: PreTrainedModel) -> None:
        if task.replaces_loss:
            raise RecipeError(
                f"strategy multi_task trains '{task.name}' with its model's loss; leave out what changes that in 'task'"
            )
        if _has_tied_head(model):
            raise RecipeError(
                f"strategy multi_task cannot share the encoder of a {type(model).__name__}: it has no separate head"
            )
        for name, auxiliary in self._tasks.items():
            _check_auxiliary(name, auxiliary, model)

    def prepare(self, model: PreTrainedModel) -> nn.Module:
        """One module of all models, which share the encoder with the most parameters."""
        build = empty_model if next(model.parameters()).is_meta else load_model
        others = {
            name: build(auxiliary.task, auxiliary.checkpoint).to(model.device)
            for name, auxiliary in self._tasks.items()
        }
        return _combined(model, others, self.weighting)

    def training_rows(self, model: nn.Module, context: TrainingContext) -> EncodedSplits:
        """Rows of all tasks, as many as they have together; which rows these are is sampled once."""
        parts = {_MAIN: context.encoded}
        for name, auxiliary in self._tasks.items():
            parts[name] = auxiliary.encode(context.folder / name)
        generator = np.random.default_rng(0)
        splits = {}
        for split, temperature in (("train", self.temperature), ("validation", 1.0)):
            rows = {name: part.splits[split] for name, part in parts.items()}
            sizes = np.array([len(part) for part in rows.values()])
            shares = sizes ** (1 / temperature)
            counts = np.maximum(1, np.round(sizes.sum() * shares / shares.sum())).astype(int)
            sampled = [_sample(generator, size, count) for size, count in zip(sizes, counts, strict=True)]
            splits[split] = _MixedRows(rows, sampled, numbered=split == "train")
        labels = context.task.label_names
        return EncodedSplits(
            splits,
            lambda examples: _collate(parts, examples, labels),
            lambda example, rng: _augment(parts, example, rng),
        )

    def learning_rate_factors(self, model: nn.Module) -> dict[str, float]:
        """AdamW's steps are as long as the learning rate, and at that of an encoder the variances would not move."""
        return {"log_variances": 100.0} if self.weighting == "uncertainty" else {}

    def auxiliary_models(self, model: nn.Module) -> dict[str, PreTrainedModel]:
        for auxiliary in model.others.values():
            _share_encoder(auxiliary, model.main.base_model, registered=True)
        return dict(model.others.items())

    def merge(self, model: nn.Module) -> PreTrainedModel:
        return model.main


def _check_auxiliary(name: str, auxiliary: AuxiliaryTask, model: PreTrainedModel) -> None:
    """Refuse an auxiliary task whose loss is not its model's, or whose model cannot share the encoder.

    Raises:
        RecipeError, ModelError: it is such a one.
    """
    if auxiliary.task.replaces_loss:
        raise RecipeError(
            f"strategy.others.{name}: multi_task trains it with its model's loss; leave out what changes that in 'task'"
        )
    other = empty_model(auxiliary.task, auxiliary.checkpoint)
    if _has_tied_head(other) or type(other.base_model) is not type(model.base_model):
        raise RecipeError(
            f"strategy.others.{name}: a {type(other).__name__} and a {type(model).__name__} share no encoder"
        )
    pairs = zip(other.base_model.parameters(), model.base_model.parameters(), strict=False)
    if any(weights.shape != expected.shape for weights, expected in pairs):
        raise ModelError(f"strategy.others.{name}: its checkpoint has an encoder of another size")


def _has_tied_head(model: PreTrainedModel) -> bool:
    """Whether the model is its own encoder, or its head shares weights with the encoder."""
    weights = [id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False)]
    return model.base_model is model or len(set(weights)) < len(weights)


def _sample(generator: np.random.Generator, size: int, count: int) -> np.ndarray:
    """`count` row numbers below `size`, each as often as the others or once more."""
    permutations = [generator.permutation(size) for _ in range(-(-count // size))]
    return np.concatenate(permutations)[:count]


class _MixedRows:
    """Rows of several tasks as one data set that a DataLoader can index.

    A row is a mapping of `task`, `example` and, where `numbered`, its `row`, by which training rows are augmented.
    """

    column_names = None

    def __init__(self, rows: Mapping[str, Any], sampled: list[np.ndarray], *, numbered: bool) -> None:
        self.rows, self.numbered = rows, numbered
        self.places = [(name, int(row)) for name, numbers in zip(rows, sampled, strict=True) for row in numbers]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Example:
        name, row = self.places[index]
        mixed: Example = {"task": name, "example": self.rows[name][row]}
        return mixed | {ROW: index} if self.numbered else mixed


def _augment(parts: Mapping[str, EncodedSplits], mixed: Example, rng: np.random.Generator) -> Example:
    """A training row as its own task augments it."""
    augment = parts[mixed["task"]].augment
    return mixed | {"example": augment(mixed["example"], rng)} if augment else mixed


def _collate(parts: Mapping[str, EncodedSplits], mixed: list[Example], label_names: tuple[str, ...]) -> ModelBatch:
    """A batch for each task of which there are rows, under `batch_NAME`."""
    import torch

    batch: ModelBatch = {}
    for name, part in parts.items():
        examples = [row["example"] for row in mixed if row["task"] == name]
        if examples:
            batch[f"batch_{name}"] = part.collate(examples)
    # Trainer computes a validation loss only for batches with labels.
    return batch | {name: torch.zeros(len(mixed), dtype=torch.long) for name in label_names}


def _combined(main: PreTrainedModel, others: dict[str, PreTrainedModel], weighting: str) -> nn.Module:
    """The module that Trainer trains."""
    import torch
    from transformers.utils import ModelOutput

    models = [main, *others.values()]
    encoder = max(models, key=lambda model: sum(1 for _ in model.base_model.parameters())).base_model
    _share_encoder(main, encoder, registered=True)
    for other in others.values():
        _share_encoder(other, encoder, registered=False)

    class Combined(torch.nn.Module):
        accepts_loss_kwargs = False

        def __init__(self) -> None:
            super().__init__()
            # The main model last, since a task finds its last layer from the end.
            self.others = torch.nn.ModuleDict(others)
            self.log_variances = torch.nn.Parameter(torch.zeros(1 + len(others)))
            self.log_variances.requires_grad_(weighting == "uncertainty")
            self.main = main

        def gradient_checkpointing_enable(self, **options: Any) -> None:
            """Trainer calls it on the model that it trains; the encoder is the main model's."""
            self.main.gradient_checkpointing_enable(**options)

        def activation_checkpointing_enable(self, **options: Any) -> None:
            """The same, as Transformers 5.24 calls it."""
            self.main.activation_checkpointing_enable(**options)

        def forward(self, **batches: Any) -> ModelOutput:
            """The mean of the losses of the tasks that have rows in the batch."""
            losses = []
            for number, (name, model) in enumerate([(_MAIN, self.main), *self.others.items()]):
                if (batch := batches.get(f"batch_{name}")) is not None:
                    log_variance = self.log_variances[number]
                    losses.append(model(**batch).loss * torch.exp(-log_variance) + log_variance)
            return ModelOutput(loss=sum(losses) / len(losses))

    return Combined()


def _share_encoder(model: PreTrainedModel, encoder: nn.Module, *, registered: bool) -> None:
    """Have a model use an encoder; if not registered, its weights are neither counted nor saved with the model."""
    prefix = model.base_model_prefix
    model._modules.pop(prefix, None)
    model.__dict__.pop(prefix, None)
    if registered:
        # Before the head, as it was: a task finds its last layer from the end.
        model._modules = {prefix: encoder} | model._modules
    else:
        model.__dict__[prefix] = encoder
