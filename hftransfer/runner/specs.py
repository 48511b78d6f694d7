"""What a recipe asks to be trained: the tuned model, its baselines, the steps of `compress`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.core.variants import UNTRAINED_BASELINES, Variant
from hftransfer.data.load import DataOptions
from hftransfer.data.splits import SplitOptions
from hftransfer.recipe.schema import Data, Recipe
from hftransfer.strategies import Strategy
from hftransfer.strategies._compression_steps import CompressionSteps
from hftransfer.tasks import Task
from hftransfer.training.arguments import DEFAULTS

# Arguments that need evaluations during the training, and a schedule that does.
_EVALUATED = ("load_best_model_at_end", "metric_for_best_model")
_BY_LOSS = "reduce_lr_on_plateau"


@dataclass(frozen=True)
class TrainingSpec:
    """One model to train."""

    variant: str
    strategy: Strategy
    training: dict[str, Any]
    """Fields of TrainingArguments: the strategy's own, then the recipe's."""

    def uses_trainer(self, task: Task) -> bool:
        """Whether a model of the task is trained by the Trainer in any step."""
        return any(step.uses_trainer(task) for step, _ in self.strategy.steps())


def tuned_spec(recipe: Recipe) -> TrainingSpec:
    """The recipe's own training."""
    whole = CompressionSteps(first=recipe.strategy, then=recipe.compress) if recipe.compress else recipe.strategy
    return TrainingSpec("tuned", whole, recipe.strategy.training | recipe.training)


def baseline_specs(recipe: Recipe) -> Iterator[TrainingSpec]:
    """The trained baselines, each with its strategy's own learning rate and at least as many epochs as the recipe.

    `max_steps` bounds them all alike. They are evaluated at their end alone, unless the recipe says how often.
    """
    asked = any(key in _EVALUATED or key.startswith("eval_") for key in recipe.training)
    evaluation = {} if asked or recipe.training.get("lr_scheduler_type") == _BY_LOSS else {"eval_strategy": "no"}
    for name in recipe.evaluation.baselines or []:
        if name in (*UNTRAINED_BASELINES, *recipe.task.own_baselines):
            continue
        strategy = _with_default_fields(name)
        shared = {key: value for key, value in recipe.training.items() if key != "learning_rate"}
        training = strategy.training | evaluation | shared
        if "num_train_epochs" in shared:
            epochs = max(shared["num_train_epochs"], strategy.training.get("num_train_epochs", 0))
            training["num_train_epochs"] = epochs
        yield TrainingSpec(name, strategy, training)


def _with_default_fields(name: str) -> Strategy:
    """A strategy with its defaults.

    Raises:
        RecipeError: it has fields without a default.
    """
    try:
        strategy: Strategy = plugins.load("strategies", name)()
    except ValidationError:
        strategy = Strategy()
    if strategy.name != name or getattr(strategy, "teacher", "") is None:
        raise RecipeError(f"evaluation.baselines: strategy '{name}' needs fields of its own, so it can be no baseline")
    return strategy


def compression_variants(recipe: Recipe) -> list[str]:
    """The variants between the steps of `compress`: the tuned model, and each that follows but for the last."""
    names = [strategy.name for strategy in [recipe.strategy, *recipe.compress]][:-1]
    return [Variant.compression_step(number, name).name for number, name in enumerate(names, 1)]


def gate_reference(recipe: Recipe) -> str:
    """The variant that an exported model may lose no more than `export.max_drop` against."""
    return next(iter(compression_variants(recipe)), "tuned")


def with_defaults(recipe: Recipe) -> dict[str, Any]:
    """The recipe with every default written out, those of the training included."""
    steps = [strategy for strategy in [recipe.strategy, *recipe.compress] if strategy.uses_trainer(recipe.task)]
    return recipe.model_dump() | {"training": DEFAULTS | tuned_spec(recipe).training if steps else recipe.training}


def data_options(data: Data, *, decode: bool = True, check_rows: int | None = None) -> DataOptions:
    """The section `data` of a recipe as plain options.

    `check_rows` is for a check alone. Without `decode`, images are decoded only where rows may be left out, or some are
    encoded later than the others.
    """
    splits = SplitOptions(data.splits.train, data.splits.validation, data.splits.test, data.splits.by_group)
    return DataOptions(
        columns=data.columns,
        names=data.names,
        splits=splits,
        max_rows=data.max_rows,
        check_rows=check_rows,
        shots=data.shots,
        unlabelled=data.unlabelled,
        sampling=data.sampling,
        on_error=data.on_error,
        drop=data.drop,
        decode=decode or data.on_error == "skip" or data.unlabelled is not None,
    )
