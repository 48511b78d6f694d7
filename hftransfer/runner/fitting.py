"""What a task fits to a model's outputs on validation rows, such as thresholds, and what they change on test rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hftransfer.core.files import nest_outputs
from hftransfer.core.results import Score, Thresholds
from hftransfer.data.encode import EncodedSplits
from hftransfer.evaluation.scoring import Answers, answers
from hftransfer.runner.context import RunContext
from hftransfer.tasks import Outputs, Predictions, Side

# Scored with and without thresholds.
_METRICS = ("f1", "precision", "recall")

FitInputs = tuple[Mapping[str, Outputs], Mapping[str, Side], Mapping[str, Predictions]]


def fit_outputs(
    context: RunContext,
    variant: str,
    flat: dict[str, np.ndarray],
    load: Callable[[], Any] | None = None,
    encoded: EncodedSplits | None = None,
) -> None:
    """Let the task fit what it needs to the outputs of a model, once in the life of the run.

    `load` gives the model, for splits that the outputs lack; where there is none, nothing is fitted to these splits.
    `encoded` are the rows as the model was trained on them.
    """
    task, splits = context.plan.task, context.plan.task.fit_splits
    outputs, rows = nest_outputs(flat), encoded or context.encoded
    missing = [split for split in splits if split not in outputs]
    if not splits or (missing and load is None):
        return

    def make() -> dict[str, Any]:
        if missing and load is not None:
            model = load()
            outputs.update({it: context.predict_for_training(task, model, rows, it) for it in missing})
        return task.fit_outputs(*fit_inputs(context, outputs, rows))

    context.run_folder.record(f"{variant}/fitted", make)


def recall_fitted(context: RunContext, variant: str) -> None:
    """Put what was fitted to a variant's outputs into the context."""
    if context.plan.task.fit_splits:
        context.fitted[variant] = context.run_folder.record(f"{variant}/fitted", dict)


def refit_baselines(context: RunContext) -> None:
    """Fit again what is needed to score the baselines of a finished run; of the tuned model, its record has it."""
    splits = context.plan.task.fit_splits
    for variant in context.outputs["test"].keys() - {"tuned"} if splits else ():
        outputs = {split: context.outputs.get(split, {}).get(variant) for split in splits}
        present = {split: it for split, it in outputs.items() if it is not None}
        if variant == "majority" or len(present) < len(splits):
            context.fitted[variant] = {}
        else:
            context.fitted[variant] = context.plan.task.fit_outputs(*fit_inputs(context, present, context.encoded))


def fit_inputs(context: RunContext, outputs: dict[str, Outputs], encoded: EncodedSplits) -> FitInputs:
    """What `Task.fit_outputs` takes."""
    splits = context.plan.task.fit_splits
    sides = {split: encoded.side(split) for split in splits}
    return {it: outputs[it] for it in splits}, sides, {split: context.references(split) for split in splits}


def fit_warnings(context: RunContext) -> list[str]:
    """What could not be fitted to the tuned model."""
    task, tuned = context.plan.task, {split: outputs["tuned"] for split, outputs in context.outputs.items()}
    if not task.fit_splits or not set(task.fit_splits) <= tuned.keys():
        return []
    return task.fit_warnings(*fit_inputs(context, tuned, context.encoded))


def score_thresholds(context: RunContext) -> Thresholds | None:
    """What the fitted thresholds of the tuned model change on the test rows; None where there are none."""
    values = context.fitted.get("tuned", {}).get("thresholds")
    if not values:
        return None
    task, references = context.plan.task, context.references("test")
    without = answers(task, context.outputs["test"]["tuned"], context.side("test"), references)
    answered = {"before": without, "after": context.answers("test", "tuned")}
    scorer, units = context.scorer(_METRICS), context.units("test")
    resampled = scorer.resample(answered, references, units)
    before, after = resampled["before"], resampled["after"]
    signs: dict[str, int] = dict.fromkeys(before, 1)
    rule, count = context.plan.recipe.task.threshold, len(references)
    if "cost" in rule:
        positive = task.metric_options().get("positive")
        costs = {
            name: Answers(_costs(it.predictions, references, rule["cost"], positive), None)
            for name, it in answered.items()
        }
        # The mean of costs is their mean absolute error against 0.
        means = context.scorer(["mae"]).resample(costs, np.zeros(count), units)
        before["cost"], after["cost"] = means["before"]["mae"], means["after"]["mae"]
        signs["cost"] = -1

    def intervals(values: dict[str, np.ndarray]) -> dict[str, Score]:
        return {name: scorer.interval(it, count) for name, it in values.items()}

    return Thresholds(
        rule=rule,
        values=values,
        before=intervals(before),
        after=intervals(after),
        gain=intervals({name: sign * (after[name] - before[name]) for name, sign in signs.items()}),
    )


def _costs(predictions: Predictions, references: Predictions, cost: dict[str, float], positive: int | None) -> Any:
    """What the answers of each row cost, shape (rows,); of several labels the sum over them."""
    if positive is not None:
        predictions, references = predictions == positive, references == positive
    false_positives = (predictions == 1) & (references == 0)
    false_negatives = (predictions == 0) & (references == 1)
    costs = cost["false_positive"] * false_positives + cost["false_negative"] * false_negatives
    return costs.reshape(len(costs), -1).sum(axis=1)
