"""Checks of metrics against a task, before any training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.core import plugins
from hftransfer.core.errors import HubError, RecipeError
from hftransfer.hub import client
from hftransfer.metrics import Metric, load_metric
from hftransfer.tasks import Predictions, Task

if TYPE_CHECKING:
    from datasets import Dataset


def check_metrics(names: Iterable[str]) -> None:
    """Make sure that every name is a metric of hftransfer or the id of a metric on the Hub.

    Raises:
        RecipeError: it is neither, or the Hub cannot be asked.
    """
    for name in names:
        if name in plugins.names("metrics"):
            continue
        try:
            client.resolve_revision(name if "/" in name else f"evaluate-metric/{name}", repo_type="space")
        except HubError as error:
            near = plugins.nearest(name, plugins.names("metrics"))
            raise RecipeError(f"evaluation.metrics: '{name}' is no metric of hftransfer, and {error}; {near}") from None


def check_metric(name: str, task: Task, splits: Mapping[str, Dataset]) -> None:
    """Make sure that a metric can compare what the task predicts, by the references of each split.

    Raises:
        RecipeError: it cannot, or a class without which it has no value is missing.
    """
    try:
        metric = load_metric(name, task.metric_options())
        values = {split: _perfect_value(metric, task, rows) for split, rows in splits.items()}
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, ImportError) as error:
        known, reason = ", ".join(task.default_metrics()), " ".join(str(error).split())[:200]
        raise RecipeError(
            f"evaluation.metrics: '{name}' does not fit the task '{task.name}' (its own: {known}): {reason}"
        ) from None
    for split, value in values.items():
        if value is not None and np.isnan(value):
            raise RecipeError(
                f"evaluation.metrics: '{name}' has no value on the {len(splits[split])} rows of split '{split}', which "
                f"lack a class that the metric needs: data.splits.{split} may be larger"
            )


def _perfect_value(metric: Metric, task: Task, rows: Dataset) -> float | None:
    """The metric of the references against themselves; None where only the first rows were looked at."""
    few = task.references(rows.select(range(min(8, len(rows)))))
    has_classes = few.dtype.kind == "i"
    # A Hub metric may look at how many classes there are, and a class that no row has cannot be predicted.
    whole = has_classes or metric.name not in plugins.names("metrics")
    references = task.references(rows) if whole else few
    compared = _certain(task, references) if metric.needs_probabilities else references
    if metric.needs_ranks:
        compared = _first_ranks(task, len(references))
    value = metric(compared, references)[metric.name]
    return float(value) if has_classes else None


def _first_ranks(task: Task, count: int) -> np.ndarray:
    """The ranks of a model that finds every counterpart first.

    Raises:
        TypeError: the task ranks nothing.
    """
    if not task.rank_directions:
        raise TypeError("it compares ranks of counterparts, which these rows do not have")
    return np.zeros((count, task.rank_directions), dtype=int)


def _certain(task: Task, references: Predictions) -> np.ndarray:
    """The probabilities of a model that is right and certain, shape (rows, classes).

    Raises:
        TypeError: the task has no classes.
    """
    if not task.labels or references.dtype.kind != "i":
        raise TypeError("it compares probabilities of classes")
    return references.astype(float) if references.ndim == 2 else np.eye(len(task.labels))[references]
