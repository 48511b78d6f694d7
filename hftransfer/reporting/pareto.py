"""A plot of checkpoints by quality and cost, with those that no other one beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hftransfer.core.results import Score
from hftransfer.reporting.plots import Plot
from hftransfer.reporting.tables import amount, interval

_FRONT, _OTHER, _GRID = "#1d5fbf", "#7b8794", "#e4e7eb"


@dataclass(frozen=True)
class ParetoPoint:
    """One checkpoint."""

    name: str
    score: Score
    milliseconds: float
    """Of one row."""
    parameters: int
    on_front: bool
    """Whether no other one is both better and faster."""


def pareto_plot(points: Sequence[ParetoPoint], metric: str, *, higher_is_better: bool) -> Plot:
    """Scores with their intervals over the milliseconds of a row; the area of a point grows with its parameters."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=_GRID)
    axes.set_axisbelow(True)
    largest = max(point.parameters for point in points) or 1
    for point in points:
        color, x, y = _FRONT if point.on_front else _OTHER, point.milliseconds, point.score.value
        axes.vlines(x, point.score.low, point.score.high, color, linewidth=1.5)
        axes.scatter(x, y, 30 + 250 * point.parameters / largest, color, alpha=0.7)
        axes.annotate(point.name, (x, y), (8, 6), textcoords="offset points", parse_math=False)
    front = sorted((point.milliseconds, point.score.value) for point in points if point.on_front)
    axes.plot(*zip(*front, strict=True), color=_FRONT, linewidth=1, linestyle="--")
    axes.margins(0.15)
    axes.set_xscale("log")
    better = "" if higher_is_better else " (lower is better)"
    axes.set(xlabel="milliseconds a row", ylabel=f"{metric} of the probe{better}")
    summary = [
        f"{point.name} {interval(point.score)} at {amount(point.milliseconds)} ms" + " (front)" * point.on_front
        for point in points
    ]
    title = "Checkpoints: quality of the probe and time of a row"
    return Plot(title, f"{title}: {'; '.join(summary)}", figure)
