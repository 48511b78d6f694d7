"""The hooks of a task about its scores, each with a default; the others are in `_hooks.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.errors import RecipeError
from hftransfer.tasks._state import TaskState
from hftransfer.tasks._types import Outputs, Predictions, RowTarget, Side

if TYPE_CHECKING:
    from datasets import Dataset


class ScoringHooks(TaskState):
    """What differs in the scores."""

    def default_metrics(self) -> list[str]:
        """Metrics of a recipe that names none, the headline first."""
        return self.metrics

    def metric_options(self) -> dict[str, Any]:
        """Values for the fields that metrics of `hftransfer/metrics/` may have; each metric takes those it has."""
        return {}

    @property
    def scored_splits(self) -> tuple[str, ...]:
        """Those of validation and test on which every metric has to have a value; on the other it may be NaN."""
        return ("validation", "test")

    @property
    def fit_splits(self) -> tuple[str, ...]:
        """Splits whose model outputs `fit_outputs` looks at after the training; empty: there is nothing to fit."""
        return ()

    def fit_outputs(
        self, outputs: Mapping[str, Outputs], side: Mapping[str, Side], references: Mapping[str, Predictions]
    ) -> dict[str, Any]:
        """Fields of the task fitted to the trained model's own outputs on the splits in `fit_splits`: a threshold.

        Called once a trained model, before any test row is scored. The fields are saved with the model (`task.json`).
        """
        return {}

    def fit_warnings(
        self, outputs: Mapping[str, Outputs], side: Mapping[str, Side], references: Mapping[str, Predictions]
    ) -> list[str]:
        """What `fit_outputs` could not fit, and why. Called once a run, with what `fit_outputs` was given."""
        return []

    def probabilities(self, outputs: Outputs, side: Side) -> np.ndarray | None:
        """Probabilities of shape (rows, classes); None where rows have no classes."""
        return None

    @property
    def rank_directions(self) -> int:
        """How many ranks a row has in `ranks`: image to text and text to image are 2; 0 where rows have none."""
        return 0

    def ranks(self, outputs: Outputs, side: Side) -> np.ndarray | None:
        """At which place each row's counterpart is found among those of the whole split, (rows, directions); from 0.

        For metrics of retrieval (`Metric.needs_ranks`). None where rows have no counterparts.
        """
        return None

    def wrong(self, reference: Any, prediction: Any) -> Any:
        """A prediction that is wrong, for a row whose outputs are NaN. Default: the prediction, as they make it."""
        return prediction

    def confidence(self, outputs: Outputs, side: Side) -> np.ndarray | None:
        """The probability that each row's prediction is right, shape (rows,); None where the task has none.

        Where it has one, `respond` has the key `label`, and `predict` may abstain.
        """
        return None

    @property
    def row_target(self) -> RowTarget | None:
        """What one vector of features a row can be mapped to; None where a row has no label of its own.

        The baselines `probe` and `knn` learn it of `references`, and their scores stand for the first of
        `output_names`.
        """
        return None

    def own_baseline(
        self, name: str, rows: Mapping[str, Dataset], encoded: Mapping[str, Dataset], seed: int
    ) -> dict[str, Outputs]:
        """Split -> outputs of one of `own_baselines` on its rows; what it has to learn, it learns from `train`.

        Called once a run for each that the recipe asks for, with the rows as `index_labels` writes them and as `encode`
        does. Outputs are needed for `validation` and `test`; `encoded` has the test rows under corruptions too.

        Raises:
            NotImplementedError: the task declares a baseline and does not implement it.
        """
        raise NotImplementedError(f"task '{self.name}' declares the baseline '{name}' and has no outputs of it")

    def baseline(self, references: Predictions) -> Outputs:
        """The output, the same for every row, of the best model that reads no input, fitted to training references.

        Raises:
            RecipeError: the task has no such model.
        """
        raise RecipeError(
            f"evaluation.baselines: '{self.name}' has no answer that is the most frequent one, so no 'majority'; "
            "leave it out, or take a strategy, such as 'scratch'"
        )
