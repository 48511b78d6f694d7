"""What a checkpoint keeps and what it changes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from hftransfer.core.errors import RecipeError
from hftransfer.core.plugins import Plugin
from hftransfer.data.encode import Encoded
from hftransfer.models.layers import logits_layer
from hftransfer.tasks import Task


@dataclass(frozen=True)
class TrainingContext:
    """What a training may look at beside its model."""

    task: Task
    """The task, with labels and processor."""
    rows: dict[str, Any]
    """Split -> its rows, before they are encoded."""
    encoded: Encoded
    """The same as the model takes them."""
    folder: Path
    """Where is kept what no step of the training changes."""
    predict: Callable[[Task, Any, Encoded, str], dict[str, Any]]
    """Outputs of a model for a split, by task, model, rows and the split's name."""


class Strategy(Plugin):
    """Base of the strategies. `prepare` and `merge` take and give a Transformers model."""

    training: ClassVar[dict[str, Any]] = {}
    """TrainingArguments that suit the strategy; a recipe's `training:` goes before them."""
    uses_unlabelled: ClassVar[bool] = False
    """Whether the strategy learns from the rows of `data.unlabelled`."""

    replaces_loss: ClassVar[bool] = False
    """Whether the strategy trains by a loss that is not the model's."""

    def steps(self) -> list[tuple["Strategy", dict[str, Any]]]:
        """The trainings, one after the other, each with TrainingArguments that go before the recipe's own."""
        return [(self, {})]

    def check(self, task: Task, model: Any) -> None:
        """Look at the task and at the model, which has no weights yet (torch's meta device).

        Raises:
            RecipeError, ModelError: the strategy cannot adapt such a model.
        """

    def prepare(self, model: Any) -> Any:
        """The model to train."""
        return model

    def keep(self, model: Any, ground: TrainingContext) -> Encoded:
        """The rows to train on: what no step of the training changes is computed here, once."""
        return ground.encoded

    def learning_rate_factors(self, model: Any) -> dict[str, float]:
        """Parameter -> factor of the learning rate; empty where all learn alike."""
        return {}

    def callbacks(self, model: Any) -> list[Any]:
        """TrainerCallbacks of the strategy, for the prepared model."""
        return []

    def after_checkpoint(self, model: str) -> "Strategy":
        """The strategy as it follows a training whose model lies there."""
        return self

    def auxiliary_plans(self) -> dict[str, Any]:
        """Name -> the plan of a further head that is trained beside the recipe's own."""
        return {}

    def auxiliary_models(self, model: Any) -> dict[str, Any]:
        """Name -> the trained model of a further head."""
        return {}

    def adapter(self, model: Any) -> Any:
        """What a trained model adds to its checkpoint, where that can be saved by itself; else None."""
        return None

    def merge(self, model: Any) -> Any:
        """The model to ship, made from the trained one."""
        return model


def remove_hooks(model: Any) -> Any:
    """The model without the hooks that a strategy has put into `model.hooks`."""
    for hook in model.hooks:
        hook.remove()
    del model.hooks
    return model


def check_one_class(strategy: Strategy, task: Task, model: Any) -> None:
    """Refuse rows of a strategy that compares classes, where they have not one each.

    Raises:
        RecipeError: so it is.
        ModelError: the model has no layer that makes their logits.
    """
    if getattr(task, "problem_type", None) != "single_label_classification":
        raise RecipeError(f"strategy {strategy.name} needs one class a row, and these rows of '{task.name}' have none")
    logits_layer(model)
