"""What a search may change of a recipe: multiples of the strategy's own hyper-parameters, and lists of values."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hftransfer.choosing import grid
from hftransfer.choosing.grid import Base
from hftransfer.core.errors import RecipeError
from hftransfer.recipe.schema import Recipe
from hftransfer.runner.specs import with_defaults

if TYPE_CHECKING:
    from optuna import Trial

_RATE, _EPOCHS, _STEPS = "training.learning_rate", "training.num_train_epochs", "training.max_steps"
_BATCH, _RANK = "training.per_device_train_batch_size", "strategy.r"
# From a tenth to ten times: the usual range around a default that somebody has tuned.
_RATES = (0.1, 10.0)
_TIMES = {_EPOCHS: (0.5, 1.0, 2.0), _STEPS: (0.5, 1.0, 2.0), _BATCH: (0.5, 1.0, 2.0), _RANK: (0.5, 1.0, 2.0, 4.0)}


@dataclass(frozen=True)
class Dimension:
    """One key that the search changes."""

    key: str
    choices: tuple[str, ...] = ()
    """Values in YAML; empty for a number."""
    times: tuple[float, ...] = ()
    """Multiples of the strategy's own value; empty for the learning rate, which is drawn on a logarithmic scale."""

    def __str__(self) -> str:
        """As it is shown before the search."""
        if self.choices:
            return f"{self.key}: one of {', '.join(self.choices)}"
        if self.times:
            return f"{self.key}: {', '.join(f'{factor:g}' for factor in self.times)} times its own value"
        return f"{self.key}: {_RATES[0]:g} to {_RATES[1]:g} times its own value"

    def suggest(self, trial: Trial) -> str | float:
        """A choice, or a multiple of the own value."""
        if self.choices or self.times:
            chosen: str | float = trial.suggest_categorical(self.key, self.choices or self.times)
            return chosen
        return trial.suggest_float(self.key, *_RATES, log=True)


@dataclass(frozen=True)
class SearchSpace:
    """All keys that the search changes, and what all its trials share."""

    base: Base
    common: tuple[str, ...]
    """Overrides of all trials."""
    dimensions: tuple[Dimension, ...]

    def defaults(self) -> list[dict[str, str | float]]:
        """The parameters of the recipe as it is, with each combination of choices."""
        choices = {one.key: one.choices for one in self.dimensions if one.choices}
        numbers = dict.fromkeys((one.key for one in self.dimensions if not one.choices), 1.0)
        return [dict(zip(choices, values, strict=True)) | numbers for values in itertools.product(*choices.values())]

    def suggest(self, trial: Trial) -> dict[str, str | float]:
        """The parameters of a trial; those that its strategy does not have are left out."""
        chosen = {one.key: one.suggest(trial) for one in self.dimensions if one.choices}
        recipe = self.base.read([*self.common, *(f"{key}={value}" for key, value in chosen.items())])
        return chosen | {one.key: one.suggest(trial) for one in self.dimensions if one.key in _own_values(recipe)}

    def values(self, parameters: dict[str, str | float]) -> dict[str, str]:
        """Key of the recipe -> its value in YAML."""
        choices = {key: str(value) for key, value in parameters.items() if isinstance(value, str)}
        recipe = self.base.read([*self.common, *(f"{key}={value}" for key, value in choices.items())])
        own = _own_values(recipe)
        numbers = {key: factor for key, factor in parameters.items() if isinstance(factor, float) and key in own}
        return choices | {key: _written(key, own[key] * factor) for key, factor in numbers.items()}


def search_space(base: Base, overrides: Sequence[str]) -> SearchSpace:
    """What may be changed: each list of values, and the numbers of the strategies that no override fixes.

    Raises:
        RecipeError: a value does not fit, or there is nothing to change.
    """
    combinations = grid.combinations(base, overrides)
    axes = {
        key: dict.fromkeys(combination.values[key] for combination in combinations) for key in combinations[0].values
    }
    choices = [Dimension(key, tuple(values)) for key, values in axes.items()]
    common = tuple(text for text in combinations[0].overrides if text.partition("=")[0] not in axes)
    fixed = {text.partition("=")[0] for text in common} | axes.keys()
    keys = dict.fromkeys(key for combination in combinations for key in _own_values(base.read(combination.overrides)))
    numbers = [Dimension(key, times=_TIMES.get(key, ())) for key in keys if key not in fixed]
    if not choices and not numbers:
        raise RecipeError(
            f"nothing to search: strategy {base.read(common).strategy.name} has no learning rate; give a field several "
            "values, such as strategy=[linear_probe, lora]"
        )
    return SearchSpace(base, common, (*choices, *numbers))


def _own_values(recipe: Recipe) -> dict[str, float]:
    """Key -> the value that the recipe, or else its strategy, has for it."""
    values: dict[str, float] = {}
    if recipe.strategy.uses_trainer(recipe.task):
        training = with_defaults(recipe)["training"]
        length = _STEPS if training.get("max_steps", -1) > 0 else _EPOCHS
        values = {key: training[key.partition(".")[2]] for key in (_RATE, length, _BATCH)}
    rank = getattr(recipe.strategy, "r", None)
    return values | ({_RANK: rank} if isinstance(rank, int) else {})


def _written(key: str, value: float) -> str:
    return f"{value:.3g}" if key == _RATE else str(max(1, round(value)))
