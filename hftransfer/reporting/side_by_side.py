"""Several runs side by side: scores, costs, paired differences, learning curves, and what their recipes differ in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import yaml

from hftransfer.core.results import JsonObject, RunResult, Score
from hftransfer.core.variants import Variant
from hftransfer.metrics import lower_is_better
from hftransfer.reporting.choice import Option, pareto_plot
from hftransfer.reporting.plots import Plot, comparison_plot, curves_plot
from hftransfer.reporting.redaction import checkpoint_name, recipe_yaml
from hftransfer.reporting.tables import Table, amount, headline_scores, interval, metric_label, number
from hftransfer.reporting.verdict import verdict

# Beyond this number of runs, a column for each does not fit on a screen.
_MOST_COLUMNS = 5


@dataclass(frozen=True)
class Difference:
    """A run against the best one of those that were scored on the same test rows."""

    run: str
    best: str
    score: Score
    """How much larger its mean error of a row is, with the interval of a paired bootstrap."""

    @property
    def outcome(self) -> str:
        """What the interval says."""
        return "worse" if self.score.low > 0 else "better" if self.score.high < 0 else "tie"


def with_own_names(results: Sequence[RunResult]) -> list[RunResult]:
    """The runs, those of one name numbered."""
    seen: dict[str, int] = {}
    named = []
    for result in results:
        seen[result.name] = number = seen.get(result.name, 0) + 1
        named.append(result if number == 1 else result.model_copy(update={"name": f"{result.name} ({number})"}))
    return named


def tables(results: Sequence[RunResult], differences: Sequence[Difference] = ()) -> list[Table]:
    """Scores and costs, paired differences, and the recipes: a column for each of a few runs; of many, a row."""
    verdicts = Table(
        "Verdicts", ("run", "verdict"), [(result.name, verdict(result) or "no baseline") for result in results]
    )
    scores, recipes = comparison(results), _recipe_differences(results)
    if len(results) > _MOST_COLUMNS:
        every = [scores, difference_table(differences), verdicts, recipes]
    else:
        turned = _turned(scores)
        first = ("verdict", *(text for _, text in verdicts.rows))
        every = [replace(turned, rows=[first, *turned.rows]), difference_table(differences), _turned(recipes)]
    return [table for table in every if table.rows]


def plots(results: Sequence[RunResult]) -> list[Plot]:
    """Scores; scores against costs where all runs have one metric; learning curves where several have some."""
    found = [comparison_plot(results)]
    if len({(result.task, result.headline) for result in results}) == 1:
        metric = results[0].headline
        options = [_option(result) for result in results]
        found.append(pareto_plot(options, metric, lower_is_better=lower_is_better(metric), stacked=True))
    if curves := curves_plot(results):
        found.append(curves)
    return found


def difference_table(differences: Sequence[Difference]) -> Table:
    """What the paired differences are."""
    rows = [(it.run, it.best, interval(it.score), f"{it.score.count:,}", it.outcome) for it in differences]
    header = ("run", "compared with the best", "larger mean error of a row", "test rows", "outcome")
    return Table("Paired differences on the same test rows, with intervals of a bootstrap", header, rows)


def comparison(results: Sequence[RunResult]) -> Table:
    """Test scores and costs, a row for each run."""
    header = (
        "run",
        "task",
        "checkpoint",
        "strategy",
        "metric",
        "tuned, test",
        "alternatives",
        "trainable parameters",
        "training s",
        "whole run, s",
        "MB",
        "p50 ms",
    )
    return Table("Test scores and costs", header, [_comparison_row(result) for result in results])


def _comparison_row(result: RunResult) -> tuple[str, ...]:
    scores, seconds = headline_scores(result), result.seconds.get("train tuned")
    alternatives = [
        f"{name} {number(score.value)}"
        for name, score in scores.items()
        if Variant.parse(name).kind not in ("tuned", "export")
    ]
    return (
        result.name,
        result.task,
        checkpoint_name(result),
        result.recipe["strategy"]["name"],
        metric_label(result.headline, result),
        interval(scores["tuned"]),
        ", ".join(alternatives),
        f"{result.parameters['trainable']:,}",
        "" if seconds is None else amount(seconds),
        amount(sum(result.seconds.values())),
        amount(result.pytorch.bytes / 1e6),
        amount(result.pytorch.p50_ms),
    )


def _option(result: RunResult) -> Option:
    costs = {
        "ms a row": result.pytorch.p50_ms,
        "training, min": result.seconds.get("train tuned", 0.0) / 60,
        "model, MB": result.pytorch.bytes / 1e6,
    }
    return Option(result.name, headline_scores(result)["tuned"], costs)


def _turned(table: Table) -> Table:
    """The table with a column for each of its rows."""
    if not table.rows:
        return table
    header, *rows = zip(table.header, *table.rows, strict=True)
    return Table(table.title, header, rows)


def _recipe_differences(results: Sequence[RunResult]) -> Table:
    """The keys in which the recipes differ; local paths are cut to their last component."""
    recipes = [_flat(yaml.safe_load(recipe_yaml(result))) for result in results]
    keys = [key for key in dict.fromkeys(key for recipe in recipes for key in recipe)]
    differing = [key for key in keys if len({recipe.get(key, "") for recipe in recipes}) > 1]
    rows = [
        (result.name, *(recipe.get(key, "") for key in differing))
        for result, recipe in zip(results, recipes, strict=True)
    ]
    return Table("What the recipes differ in", ("key", *differing), rows if differing else [])


def _flat(section: JsonObject, place: str = "") -> dict[str, str]:
    """Dotted key -> value in words."""
    flat: dict[str, str] = {}
    for key, value in section.items():
        below = f"{place}.{key}" if place else key
        if isinstance(value, dict) and value:
            flat |= _flat(value, below)
        else:
            flat[below] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return flat
