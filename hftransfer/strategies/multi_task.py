"""Several tasks on one encoder, a head each (Caruana 1997, https://doi.org/10.1023/A:1007379606734).

The recipe's own task is the first; `others` names the recipes of the further ones, of which task, data and checkpoint
are taken. A batch holds rows of all tasks. Each further head becomes a run of its own, in `heads/NAME` of the run.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from hftransfer.core.errors import HFTransferError, ModelError, RecipeError
from hftransfer.data.encode import Encoded, encode
from hftransfer.models.checkpoint import empty_model
from hftransfer.models.weights import load_model
from hftransfer.strategies import Strategy, TrainingContext
from hftransfer.strategies.full import Full
from hftransfer.tasks import Task


class MultiTask(Strategy):
    """Train the encoder for all tasks at once."""

    replaces_loss: ClassVar[bool] = True
    training: ClassVar[dict[str, Any]] = {"learning_rate": 2.0e-4, "num_train_epochs": 5}

    others: dict[str, str]
    """Name of a further head -> the file of its recipe, from the working directory."""
    temperature: float = Field(default=1.0, ge=1)
    """A task of n rows is drawn in proportion to n^(1 / temperature): 1 by size, the more the more alike.

    Raffel et al. 2020, https://arxiv.org/abs/1910.10683, section 3.5.2.
    """
    weighting: Literal["equal", "uncertainty"] = "equal"
    """Of the losses: all alike, or by learnt variances (Kendall et al. 2018, https://arxiv.org/abs/1705.07115)."""

    @field_validator("others")
    @classmethod
    def _some_names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not name.isidentifier():
                raise ValueError(f"the name of a head is a word, got '{name}'")
        if not value:
            raise ValueError("give at least one further recipe; for a single task use 'full'")
        return value

    def auxiliary_plans(self) -> dict[str, Any]:
        """Name -> the plan of a further head.

        Raises:
            HFTransferError: in a sentence that begins with the recipe's place, what is wrong with it.
        """
        return {name: _plan(name, path) for name, path in self.others.items()}

    def check(self, task: Task, model: Any) -> None:
        if task.replaces_loss:
            raise RecipeError(f"strategy multi_task cannot share the encoder with '{task.name}' and a loss of its own")
        if _tied(model):
            raise RecipeError(
                f"strategy multi_task cannot share the encoder of a {type(model).__name__}: it is its head"
            )
        for name, plan in self.auxiliary_plans().items():
            if plan.task.replaces_loss or plan.recipe.data.augment != "none":
                raise RecipeError(
                    f"strategy.others.{name}: multi_task takes the rows of its recipe as they are; leave out its "
                    "data.augment, task.class_weights and task.focal_gamma"
                )
            other = empty_model(plan.task, plan.origin)
            if _tied(other) or type(other.base_model) is not type(model.base_model):
                raise RecipeError(
                    f"strategy.others.{name}: a {type(other).__name__} and a {type(model).__name__} share no encoder"
                )
            for weights, theirs in zip(other.base_model.parameters(), model.base_model.parameters(), strict=False):
                if weights.shape != theirs.shape:
                    raise ModelError(f"strategy.others.{name}: its checkpoint has an encoder of another size")

    def prepare(self, model: Any) -> Any:
        """One module of all models, which share the fullest of their encoders."""
        make = empty_model if next(model.parameters()).is_meta else load_model
        others = {name: make(plan.task, plan.origin).to(model.device) for name, plan in self.auxiliary_plans().items()}
        return _several(model, others, self.weighting)

    def learning_rate_factors(self, model: Any) -> dict[str, float]:
        """The variances would not move at a rate that suits an encoder: AdamW's steps are as long as that."""
        return {"log_variances": 100.0} if self.weighting == "uncertainty" else {}

    def keep(self, model: Any, ground: TrainingContext) -> Encoded:
        """Rows of all tasks, drawn anew for each so many rows as there are."""
        parts = {"": ground.encoded}
        for name, plan in self.auxiliary_plans().items():
            parts[name] = encode(plan.task, plan.rows.labelled, ground.folder / name)
        generator = np.random.default_rng(0)
        splits = {}
        for split, temperature in (("train", self.temperature), ("validation", 1.0)):
            rows = {name: part.splits[split] for name, part in parts.items()}
            sizes = np.array([len(it) for it in rows.values()])
            shares = sizes ** (1 / temperature)
            counts = np.maximum(1, np.round(sizes.sum() * shares / shares.sum())).astype(int)
            splits[split] = _Mixed(rows, [_drawn(generator, *pair) for pair in zip(sizes, counts, strict=True)])
        return Encoded(splits, lambda rows: _collated(parts, rows), lambda row, draw: _varied(parts, row, draw))

    def auxiliary_models(self, model: Any) -> dict[str, Any]:
        """Name -> the trained model of a further task, whole."""
        for other in model.others.values():
            _share(other, model.main.base_model, registered=True)
        return dict(model.others.items())

    def merge(self, model: Any) -> Any:
        return model.main


def _tied(model: Any) -> bool:
    """Is the model its own encoder, or its head made of the encoder's weights?"""
    weights = [id(it) for _, it in model.named_parameters(remove_duplicate=False)]
    return model.base_model is model or len(set(weights)) < len(weights)


@lru_cache(maxsize=16)
def _plan(name: str, path: str) -> Any:
    from hftransfer.recipe.loader import load_recipe
    from hftransfer.runner.plan import check

    ours = {"strategy": Full(), "compress": [], "export": None, "hub": None}
    try:
        recipe = load_recipe(Path(path))
        ours["evaluation"] = recipe.evaluation.model_copy(update={"baselines": []})
        # Where it trains stays, since one device is told to all processes.
        ours["training"] = {key: value for key, value in recipe.training.items() if key == "use_cpu"}
        return check(recipe.model_copy(update=ours))
    except HFTransferError as error:
        raise type(error)(f"strategy.others.{name} ({path}): {error}") from None


def _drawn(generator: Any, size: int, count: int) -> np.ndarray:
    """`count` row numbers of `size`, each as often as the others, or once more."""
    rounds = [generator.permutation(size) for _ in range(-(-count // size))]
    return np.concatenate(rounds)[:count]


class _Mixed:
    """Rows of several data sets as one that a DataLoader can index."""

    column_names = None

    def __init__(self, rows: dict[str, Any], numbers: list[np.ndarray]) -> None:
        self.rows = rows
        self.places = [(name, int(row)) for name, some in zip(rows, numbers, strict=True) for row in some]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> dict[str, Any]:
        name, row = self.places[index]
        return {"task": name, "cells": self.rows[name][row], "row": index}


def _varied(parts: dict[str, Encoded], row: dict[str, Any], draw: np.random.Generator) -> dict[str, Any]:
    """A row as its own task varies it for training; rows to validate on have no number in their split."""
    augment = parts[row["task"]].augment
    return row | {"cells": augment(row["cells"], draw)} if augment and "row" in row["cells"] else row


def _collated(parts: dict[str, Encoded], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch for each task of which there are rows, and its number of rows."""
    import torch

    batch: dict[str, Any] = {}
    for name, part in parts.items():
        own = [row["cells"] for row in rows if row["task"] == name]
        if own:
            batch[f"batch_{name}"] = part.collate(own)
    # By this name, Trainer knows that there is a loss.
    return batch | {"labels": torch.zeros(len(rows), dtype=torch.long)}


def _several(main: Any, others: dict[str, Any], weighting: str) -> Any:
    """The module that Trainer trains."""
    import torch
    from transformers.utils import ModelOutput

    fullest = max([main, *others.values()], key=lambda it: sum(1 for _ in it.base_model.parameters()))
    base = fullest.base_model
    _share(main, base, registered=True)
    for other in others.values():
        _share(other, base, registered=False)

    class Several(torch.nn.Module):
        accepts_loss_kwargs = False

        def __init__(self) -> None:
            super().__init__()
            # The main model last, since a task looks for its own last layer from the end.
            self.others = torch.nn.ModuleDict(others)
            self.log_variances = torch.nn.Parameter(torch.zeros(1 + len(others)))
            self.log_variances.requires_grad_(weighting == "uncertainty")
            self.main = main

        def gradient_checkpointing_enable(self, **options: Any) -> None:
            """As Trainer asks a single model for it; the encoder is the main one's."""
            self.main.gradient_checkpointing_enable(**options)

        def forward(self, labels: Any = None, **batches: Any) -> Any:
            """The mean of the losses of the tasks that have rows in the batch."""
            losses = []
            for number, (name, model) in enumerate([("", self.main), *self.others.items()]):
                if (batch := batches.get(f"batch_{name}")) is not None:
                    spread = self.log_variances[number]
                    losses.append(model(**batch).loss * torch.exp(-spread) + spread)
            return ModelOutput(loss=sum(losses) / len(losses))

    return Several()


def _share(model: Any, base: Any, *, registered: bool) -> None:
    """Let a model use an encoder; not registered, its weights are not counted and saved with the model's own."""
    prefix = model.base_model_prefix
    model._modules.pop(prefix, None)
    model.__dict__.pop(prefix, None)
    if registered:
        # Before the head, as it was: a task looks for its own last layer from the end.
        model._modules = {prefix: base} | model._modules
    else:
        model.__dict__[prefix] = base
