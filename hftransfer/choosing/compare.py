"""Runs of a grid against each other: differences to the best with their intervals, costs, and which one to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hftransfer.choosing import grid
from hftransfer.choosing.grid import Combination
from hftransfer.choosing.paired import over_rows, same_rows, test_rows
from hftransfer.core.errors import RecipeError
from hftransfer.core.files import write_text
from hftransfer.core.plugins import Record
from hftransfer.core.results import RunResult, Score
from hftransfer.core.saved_record import SavedRecord
from hftransfer.metrics import lower_is_better
from hftransfer.reporting.choice import Option, choice_page, interval_or_nothing, mean_and_deviation, pareto_plot
from hftransfer.reporting.tables import Table, amount, interval, number

FILE = "compare.json"
"""The record of a comparison, in its directory."""
_FEWEST_SEEDS = 3


class Costs(Record):
    """What a combination costs, the mean of its seeds."""

    minutes: float
    """Of training the tuned model."""
    megabytes: float
    """Size of the tuned weights on disk."""
    ms: float
    """Median latency of one row, in milliseconds."""
    memory: float | None = None
    """Largest memory of the run, in megabytes."""
    trained: float | None = None
    """Number of parameters that are trained."""


class Row(Record):
    """One combination."""

    label: str
    values: dict[str, str]
    """Key -> value."""
    scores: list[float]
    """The headline metric of the tuned model on test, by seed."""
    costs: Costs
    difference: Score | None = None
    """How much worse than the best it is, with the interval over the seeds. None for the best, and with one seed."""
    difference_in_error: Score | None = None
    """The same in the mean error of the test rows, with the interval of a bootstrap of seeds and rows, paired."""
    tied: bool = False
    """Whether an interval contains 0: the data do not tell it from the best."""

    @property
    def mean(self) -> float:
        """The mean score."""
        return float(np.mean(self.scores))


class Comparison(SavedRecord):
    """What `hftransfer compare` has found, as `compare.json`."""

    metric: str
    seeds: list[int]
    confidence: float
    """Of all intervals together."""
    rows: list[Row]
    """The best first."""
    test_rows: int
    advice: str
    runs: dict[str, list[str]]
    """Label -> directories of its runs."""


@dataclass
class _Runs:
    """The finished runs of one combination."""

    combination: Combination
    results: list[RunResult] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)


def compare(
    bases: Sequence[grid.Base], overrides: Sequence[str], seeds: Sequence[int], out: Path, jobs: int = 1
) -> Comparison:
    """Run the combinations with each seed, or read them where they are finished, and compare them.

    Two intervals say whether a combination is worse than the best: Student's t over the paired differences of the
    seeds (from three seeds on), and a paired bootstrap that draws seeds, then test rows. Both have the confidence of
    the recipe, divided among the comparisons (Bonferroni), and both must exclude 0.

    Args:
        bases: the recipes.
        overrides: fields to change; a list has several values of a field: `strategy=[lora, full]`.
        seeds: of the runs.
        out: directory of the runs, and of `compare.json` and `compare.html`.
        jobs: runs at the same time.

    Raises:
        HFTransferError: a combination is no recipe, or a run fails.
    """
    found = grid.combinations_of(bases, overrides)
    if len(found) < 2:
        raise RecipeError(
            "nothing to compare: give several recipes, or a field several values, such as strategy=[lora, full]"
        )
    if len(confidences := {it.base.read(it.overrides).evaluation.confidence for it in found}) > 1:
        raise RecipeError(f"evaluation.confidence: one for all, got {', '.join(map(str, sorted(confidences)))}")
    runs = {combination.label: _Runs(combination) for combination in found}
    for combination, seed, result in grid.run_combinations(found, seeds, out, jobs):
        runs[combination.label].results.append(result)
        runs[combination.label].folders.append(combination.folder(out, seed))
    comparison = _compared(list(runs.values()), seeds)
    comparison.save(out / FILE)
    write_text(out / "compare.html", page(comparison, out.name))
    return comparison


def _compared(runs: Sequence[_Runs], seeds: Sequence[int]) -> Comparison:
    first = runs[0].results[0]
    grid.check_headlines([result.headline for one in runs for result in one.results])
    metric, confidence = first.headline, first.recipe["evaluation"]["confidence"]
    sign = -1 if lower_is_better(metric) else 1
    scores = {one.combination.label: [grid.score_of(result, metric) for result in one.results] for one in runs}
    ordered = sorted(runs, key=lambda one: -sign * float(np.mean(scores[one.combination.label])))
    best = ordered[0]
    each = 1 - (1 - confidence) / (len(runs) - 1)
    rows = []
    for one in ordered:
        label = one.combination.label
        row = Row(label=label, values=one.combination.values, scores=scores[label], costs=_costs(one))
        if one is not best:
            gaps = sign * (np.array(scores[best.combination.label]) - np.array(scores[label]))
            by_seed, by_row = _over_seeds(gaps, each), _over_rows(best, one, each)
            # Student's t of two seeds has one degree of freedom, and would call anything a tie.
            over_seeds = by_seed if len(gaps) >= _FEWEST_SEEDS or by_row is None else None
            intervals = [it for it in (over_seeds, by_row) if it is not None]
            tied = not intervals or any(it.low <= 0 for it in intervals)
            row = row.model_copy(update={"difference": by_seed, "difference_in_error": by_row, "tied": tied})
        rows.append(row)
    return Comparison(
        metric=metric,
        seeds=list(seeds),
        confidence=confidence,
        rows=rows,
        test_rows=first.data.rows["test"],
        advice=advice(rows, metric),
        runs={one.combination.label: [str(folder) for folder in one.folders] for one in runs},
    )


def _costs(one: _Runs) -> Costs:
    def mean(values: Sequence[float]) -> float:
        return float(np.mean(values))

    return Costs(
        minutes=mean([result.seconds.get("train tuned", 0.0) / 60 for result in one.results]),
        megabytes=mean([result.pytorch.bytes / 1e6 for result in one.results]),
        ms=mean([result.pytorch.p50_ms for result in one.results]),
        memory=mean([result.peak_memory_bytes / 1e6 for result in one.results]),
        trained=mean([result.parameters["trainable"] for result in one.results]),
    )


def _over_seeds(gaps: np.ndarray, confidence: float) -> Score | None:
    """Mean of paired differences, shape (seeds,), with the interval of Student's t; None for one seed."""
    from scipy.stats import ttest_1samp

    if len(gaps) < 2:
        return None
    mean = float(np.mean(gaps))
    low, high = (mean, mean) if np.ptp(gaps) == 0 else ttest_1samp(gaps, 0).confidence_interval(confidence)
    return Score(value=mean, low=float(low), high=float(high), count=len(gaps))


def _over_rows(best: _Runs, other: _Runs, confidence: float) -> Score | None:
    """Mean difference of the errors of test rows; None where the two have been scored on other rows."""
    ours, theirs = ([test_rows(folder) for folder in one.folders] for one in (best, other))
    return over_rows(ours, theirs, confidence) if same_rows(ours, theirs) else None


def advice(rows: Sequence[Row], metric: str) -> str:
    """Which combination to take, what the cheapest of those in a tie would save, and how good its score really is."""
    note = "The test rows have chosen it, so that on new rows it may do a little worse."
    others = ", ".join(row.label for row in rows[1:] if row.difference_in_error is None)
    if others:
        note += f" Other test rows than the best have: {others}; a part of the difference may be due to them."
    return f"{_choice(rows, metric)} {note}"


def _choice(rows: Sequence[Row], metric: str) -> str:
    best, tied = rows[0], [row for row in rows[1:] if row.tied]
    first = f"{best.label} has the best mean {metric}, {number(best.mean)}"
    if not tied:
        return f"{first}, significantly better than all others: take it."
    names = ", ".join(row.label for row in tied)
    tie = f"{first}, in a tie with {names}: more seeds or test rows may tell them apart."
    cheapest = min([best, *tied], key=lambda row: (round(row.costs.ms, 1), row.costs.megabytes, row.costs.minutes))
    if cheapest is best:
        return f"{tie} Take {best.label}, which is also the cheapest in use."
    difference = cheapest.difference or cheapest.difference_in_error
    price = f", {interval(difference)} behind" if difference else ""
    return (
        f"{tie} The cheapest of them in use is {cheapest.label}: {amount(cheapest.costs.ms)} ms a row instead of "
        f"{amount(best.costs.ms)}, {amount(cheapest.costs.megabytes)} MB instead of {amount(best.costs.megabytes)}"
        f"{price}."
    )


def table(comparison: Comparison) -> Table:
    """Combinations by what they score and cost, the best first."""
    seeds = len(comparison.seeds)
    keys = list(comparison.rows[0].values)
    over_seeds = [f"behind the best, {seeds} seeds"] if seeds > 1 else []
    has_rows = any(row.difference_in_error for row in comparison.rows)
    header = (
        *keys,
        f"{comparison.metric} on test",
        *over_seeds,
        *(["behind in the error of rows"] if has_rows else []),
        "outcome",
        "parameters trained",
        "training, min",
        "peak memory, MB",
        "model, MB",
        "ms a row",
    )
    rows = []
    for place, row in enumerate(comparison.rows):
        differences = [row.difference] * bool(over_seeds) + [row.difference_in_error] * has_rows
        rows.append(
            (
                *row.values.values(),
                mean_and_deviation(row.scores),
                *map(interval_or_nothing, differences),
                "best" if place == 0 else "tie" if row.tied else "worse",
                *(amount(cost) if cost is not None else "" for cost in _in_table(row.costs)),
            )
        )
    return Table(f"Combinations, with intervals of {100 * comparison.confidence:g} % together", header, rows)


def _in_table(costs: Costs) -> tuple[float | None, ...]:
    return costs.trained, costs.minutes, costs.memory, costs.megabytes, costs.ms


def page(comparison: Comparison, name: str) -> str:
    """The HTML page."""
    options = [
        Option(
            row.label,
            Score(value=row.mean, low=min(row.scores), high=max(row.scores), count=len(row.scores)),
            {"ms a row": row.costs.ms, "training, min": row.costs.minutes, "model, MB": row.costs.megabytes},
        )
        for row in comparison.rows
    ]
    worse_if_higher = lower_is_better(comparison.metric)
    summary = f"{len(comparison.rows)} combinations, {len(comparison.seeds)} seeds, {comparison.test_rows:,} test rows"
    plot = pareto_plot(options, comparison.metric, lower_is_better=worse_if_higher)
    return choice_page(f"Comparison: {name}", summary, comparison.advice, [table(comparison)], [plot])
