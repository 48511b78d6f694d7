"""Scores of all variants: metrics with intervals, gains over the baselines, calibration, scores by group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import compress

import numpy as np

from hftransfer.core import plugins
from hftransfer.core.features import class_names
from hftransfer.core.progress import Progress
from hftransfer.core.results import RiskCoverage, Score
from hftransfer.core.variants import CHEAP_BASELINES, Variant
from hftransfer.data.splits import GROUP
from hftransfer.evaluation.calibration import calibration_error
from hftransfer.evaluation.scoring import rows_without_numbers
from hftransfer.evaluation.selective import risk_coverage
from hftransfer.metrics import lower_is_better
from hftransfer.reporting.tables import interval
from hftransfer.runner.context import RunContext
from hftransfer.runner.plan import Plan

# Groups that are scored apart, the largest ones.
_GROUPS = 100

Scores = dict[str, Score]


def score_variants(context: RunContext) -> dict[str, object]:
    """The fields `scores`, `transfer_gain`, `calibration_error` and `groups` of a record."""
    plan, scorer = context.plan, context.scorer()
    scores: dict[str, dict[str, Scores]] = {}
    test_values: dict[str, dict[str, np.ndarray]] = {}
    for split, variants in Progress(context.outputs.items(), desc="bootstrap intervals", unit="split"):
        references, answers = context.references(split), {name: context.answers(split, name) for name in variants}
        values = scorer.resample(answers, references, context.units(split))
        scores[split] = {
            variant: {name: scorer.interval(resampled, len(references)) for name, resampled in of_metrics.items()}
            for variant, of_metrics in values.items()
        }
        if split == "test":
            test_values = values
    headline, count = plan.metrics[0], len(plan.rows.splits["test"])
    sign = -1 if lower_is_better(headline) else 1
    gains = {
        name: scorer.interval(sign * (test_values["tuned"][headline] - test_values[name][headline]), count)
        for name in _baselines(test_values)
    }
    return {
        "scores": scores,
        "transfer_gain": gains,
        "calibration_error": _calibration_errors(context),
        "groups": _scores_by_group(context),
    }


def _baselines(variants: Iterable[str]) -> list[str]:
    """The variants that the tuned model is held against: what is not made from it."""
    return [name for name in variants if Variant.parse(name).kind in ("baseline", "pretrained")]


def _calibration_errors(context: RunContext) -> dict[str, float]:
    """Variant -> calibration error on test, where rows have classes."""
    if context.plan.task.row_target not in ("class", "classes"):
        return {}
    references = context.references("test")
    probabilities = {
        name: context.answers("test", name).probabilities for name in context.outputs["test"] if name != "majority"
    }
    return {name: calibration_error(it, references) for name, it in probabilities.items() if it is not None}


def score_abstaining(context: RunContext) -> RiskCoverage | None:
    """What the tuned model gains on test by abstaining where it is uncertain; None without probabilities."""
    task = context.task_of("tuned")
    confidence = task.confidence(context.outputs["test"]["tuned"], context.side("test"))
    if confidence is None:
        return None
    confidence = np.nan_to_num(confidence)
    return risk_coverage(
        confidence, context.errors("test") == 0, context.plan.recipe.evaluation.confidence, context.plan.recipe.seed
    )


def _scores_by_group(context: RunContext) -> dict[str, Scores]:
    """Group -> variant -> headline score on the test rows of the group; of the largest groups."""
    scorer, references, units = context.scorer(), context.references("test"), context.units("test")
    scorer = replace(scorer, metrics=scorer.metrics[:1])
    scores: dict[str, Scores] = {}
    for group, members in largest_groups(context.plan).items():
        answers = {name: context.answers("test", name).select(members) for name in context.outputs["test"]}
        own_units = None if units is None else list(compress(units, members))
        if own_units is not None and len(set(own_units)) == 1:
            # Of a group that is one unit, only its rows can be drawn.
            own_units = None
        for variant, values in scorer.resample(answers, references[members], own_units).items():
            headline = values[context.plan.metrics[0]]
            # One row, or rows of one number, have no R squared.
            if np.isfinite(headline).sum() > 1 and np.isfinite(headline[0]):
                scores.setdefault(group, {})[variant] = scorer.interval(headline, int(members.sum()))
    return scores


def largest_groups(plan: Plan) -> dict[str, np.ndarray]:
    """Group of the test rows -> which of them are in it; none where rows are in no group."""
    test = plan.rows.splits["test"]
    if GROUP not in test.column_names:
        return {}
    named = dict(enumerate(class_names(test.features[GROUP]) or []))
    names = np.array([named.get(value, str(value)) for value in test[GROUP][:]])
    return {group: names == group for group, _ in Counter(names.tolist()).most_common(_GROUPS)}


def score_warnings(context: RunContext, scores: dict[str, Scores], gains: Scores, groups: object) -> list[str]:
    """Warnings of groups without a score, and of every variant that does better than the tuned model."""
    headline = context.plan.metrics[0]
    return _unscored_groups(context.plan, groups) + _better_baselines(headline, scores, gains) + _lost_rows(context)


def _lost_rows(context: RunContext) -> list[str]:
    """A warning for each variant and split with rows whose outputs are no numbers."""
    warnings = []
    for split, variants in context.outputs.items():
        count = len(context.references(split))
        for name, outputs in variants.items():
            lost = np.flatnonzero(rows_without_numbers(context.plan.task, outputs, context.side(split), count))
            if len(lost):
                warnings.append(
                    f"the outputs of {name} are no numbers (NaN or infinite) on {len(lost)} of {count} rows of {split} "
                    f"(the first is row {lost[0]}): they count as wrong"
                )
    return warnings


def _unscored_groups(plan: Plan, groups: object) -> list[str]:
    missing = [group for group in largest_groups(plan) if isinstance(groups, dict) and group not in groups]
    named = f"{', '.join(missing[:8])}{', ...' if missing[8:] else ''}"
    return [f"{plan.metrics[0]} has no value on the rows of {len(missing)} groups of test: {named}"] if missing else []


def _better_baselines(headline: str, test: dict[str, Scores], gains: Scores) -> list[str]:
    return [
        f"tuned is worse than {variant} on test: {headline} {test['tuned'][headline].value:.4f} against "
        f"{test[variant][headline].value:.4f} (paired difference {interval(gain)}); {_advice(variant)}"
        for variant, gain in gains.items()
        if gain.value < 0
    ]


def _advice(baseline: str) -> str:
    """What may help against a baseline that is better."""
    if baseline in (*CHEAP_BASELINES, "pretrained"):
        return "the transfer gains nothing: try another learning rate, more epochs, another strategy or checkpoint"
    if baseline in plugins.names("strategies"):
        return f"strategy {baseline} suits these rows better"
    return "these rows need no checkpoint: use the baseline itself, or try other settings of the task"
