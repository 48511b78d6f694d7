"""Scores by number of labels, the law that they follow, and what more labels would give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist

import numpy as np

from hftransfer.choosing import grid
from hftransfer.choosing.learning_law import fit
from hftransfer.core.errors import RecipeError
from hftransfer.core.files import write_text
from hftransfer.core.plugins import Record
from hftransfer.core.results import RunResult, Score
from hftransfer.core.saved_record import SavedRecord
from hftransfer.metrics import lower_is_better
from hftransfer.reporting.choice import choice_page, mean_and_deviation
from hftransfer.reporting.plots import Plot, new_axes
from hftransfer.reporting.tables import Table, interval, number

SHOTS = "data.shots"
_FEWEST_SIZES = 3
# How far the law is continued, in multiples of the largest size.
_AHEAD = (2, 4)


class Point(Record):
    """One number of labels."""

    labels: float
    """Training rows, the mean of the seeds."""
    scores: list[float]
    """The headline metric on test, by seed."""


class Curve(Record):
    """One combination of the other values."""

    label: str
    points: list[Point]
    """From few labels to many."""
    forecast: dict[int, Score]
    """Number of labels -> the score that one run is expected to have, with its interval; `count` is the number of runs
    that the law was fitted to."""
    labels_for_gain: Score | None = None
    """Labels beyond the largest size until the score is `gain` better; infinite where it never is."""


class Curves(SavedRecord):
    """What `hftransfer curve` has found, as `curve.json`."""

    metric: str
    gain: float
    seeds: list[int]
    curves: list[Curve]
    advice: str


def curve(
    base: grid.Base,
    overrides: Sequence[str],
    labels: Sequence[int | None],
    seeds: Sequence[int],
    gain: float,
    out: Path,
) -> Curves:
    """Run a recipe with several numbers of labels a class, and continue the curve of its scores.

    Args:
        base: the recipe.
        overrides: fields to change; a list has several values, each with a curve of its own.
        labels: values of `data.shots`; None for all rows.
        seeds: of the runs.
        gain: the improvement of the metric whose price in labels is asked.
        out: directory of the runs, and of `curve.json` and `curve.html`.

    Raises:
        HFTransferError: fewer than three numbers of labels, a metric without a best value, or a run that fails.
    """
    if len(set(labels)) < _FEWEST_SIZES:
        raise RecipeError(f"--labels: a curve needs at least {_FEWEST_SIZES} different numbers, such as 8 16 32 all")
    shots = ", ".join("null" if size is None else str(size) for size in labels)
    found = grid.combinations(base, [*overrides, f"{SHOTS}=[{shots}]"])
    runs: dict[str, dict[str, list[RunResult]]] = {}
    for combination, _, result in grid.run_combinations(found, seeds, out):
        label = ", ".join(value for key, value in combination.values.items() if key != SHOTS) or "the recipe"
        runs.setdefault(label, {}).setdefault(combination.values[SHOTS], []).append(result)
    first = next(iter(next(iter(runs.values())).values()))[0]
    curves = [_curve(label, list(by_size.values()), first.headline, gain) for label, by_size in runs.items()]
    advice = " ".join(_advice(one, first.headline, gain) for one in curves)
    record = Curves(metric=first.headline, gain=gain, seeds=list(seeds), curves=curves, advice=advice)
    record.save(out / "curve.json")
    write_text(out / "curve.html", page(record, out.name))
    return record


def _curve(label: str, by_size: Sequence[Sequence[RunResult]], metric: str, gain: float) -> Curve:
    points = [
        Point(
            labels=float(np.mean([result.data.rows["train"] for result in results])),
            scores=[grid.score_of(result, metric) for result in results],
        )
        for results in by_size
    ]
    points.sort(key=lambda point: point.labels)
    scores = np.array([point.scores for point in points])
    is_error = lower_is_better(metric)
    if not is_error and scores.max() > 1:
        raise RecipeError(
            f"a curve needs a metric whose best value is 1, or one of which lower is better; '{metric}' is neither: "
            "name another, evaluation.metrics=[...]"
        )
    law = fit([point.labels for point in points], scores if is_error else 1 - scores, _deviation(by_size, metric))
    largest = points[-1].labels
    forecast = {round(times * largest): law.forecast(times * largest) for times in _AHEAD}
    return Curve(
        label=label,
        points=points,
        forecast=forecast if is_error else {n: _turned(error) for n, error in forecast.items()},
        labels_for_gain=law.labels_for(gain, largest),
    )


def _turned(error: Score) -> Score:
    """The score of an error."""
    return Score(value=1 - error.value, low=1 - error.high, high=1 - error.low, count=error.count)


def _deviation(by_size: Sequence[Sequence[RunResult]], metric: str) -> float:
    """Standard deviation of the score of one run that its test rows alone explain, from its interval."""
    runs = [result for results in by_size for result in results]
    scores = [result.scores["test"]["tuned"][metric] for result in runs]
    width = 2 * NormalDist().inv_cdf((1 + runs[0].recipe["evaluation"]["confidence"]) / 2)
    return float(np.mean([(score.high - score.low) / width for score in scores]))


def _advice(one: Curve, metric: str, gain: float) -> str:
    """What more labels would give, in a sentence."""
    labels = one.labels_for_gain
    ahead, score = list(one.forecast.items())[-1]
    begin = f"{one.label}: with {ahead:,} labels, {metric} is expected to be {interval(score)}"
    if labels is None or math.isinf(labels.low):
        return f"{begin}; labels alone will hardly make it {gain:g} better."
    if math.isinf(labels.value):
        return f"{begin}; {gain:g} better may take {_count(labels.low)} labels more, or never come."
    return f"{begin}; about {_count(labels.value)} labels more make it {gain:g} better (at least {_count(labels.low)})."


def _count(labels: float) -> str:
    """A number of labels in two digits."""
    digits = 10 ** max(0, len(str(int(labels))) - 2)
    return f"{round(labels / digits) * digits:,}"


def table(found: Curves) -> Table:
    """A line for each combination and number of labels, and what is expected of more."""
    rows = []
    for one in found.curves:
        for point in one.points:
            rows.append((one.label, f"{round(point.labels):,}", mean_and_deviation(point.scores), "measured"))
        rows += [(one.label, f"{labels:,}", interval(score), "expected") for labels, score in one.forecast.items()]
    header = ("combination", "labels", f"{found.metric} on test", "")
    return Table(f"Scores by number of labels, {len(found.seeds)} seeds; intervals of 95 % for one run", header, rows)


def page(found: Curves, name: str) -> str:
    """The HTML page."""
    summary = f"{sum(len(one.points) for one in found.curves) * len(found.seeds)} runs"
    return choice_page(f"Labels: {name}", summary, found.advice, [table(found)], [_plot(found)])


def _plot(found: Curves) -> Plot:
    figure, (axes,) = new_axes(8, 4.2)
    summary = []
    for one in found.curves:
        sizes, means = [point.labels for point in one.points], [float(np.mean(point.scores)) for point in one.points]
        (line,) = axes.plot(sizes, means, "o-", label=one.label)
        color = line.get_color()
        for point in one.points:
            axes.plot([point.labels] * len(point.scores), point.scores, ".", color=color, alpha=0.4)
        for labels, score in one.forecast.items():
            axes.vlines(labels, score.low, score.high, color, linewidth=2.5, alpha=0.5)
            axes.plot(labels, score.value, "o", color=color, markerfacecolor="white")
        pairs = zip(means, sizes, strict=True)
        points = ", ".join(f"{number(mean)} with {round(labels):,}" for mean, labels in pairs)
        summary.append(f"{one.label}: {points}")
    axes.set(xscale="log", xlabel="labelled training rows", ylabel=found.metric)
    axes.legend(frameon=False)
    title = f"{found.metric} by number of labels; open circles: expected of one run, with 95 % intervals"
    return Plot(title, "; ".join(summary), figure)
