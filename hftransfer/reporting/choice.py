"""The page and the pictures of a choice: scores against costs, and scores by label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hftransfer.core.results import Score
from hftransfer.reporting.plots import OTHER, TUNED, Plot, new_axes
from hftransfer.reporting.tables import Table, amount, interval, number
from hftransfer.reporting.templates import render


@dataclass(frozen=True)
class Option:
    """One of several things to choose from."""

    label: str
    score: Score
    costs: dict[str, float]
    """Name of a cost, with its unit -> how much."""


def choice_page(title: str, summary: str, advice: str, tables: Sequence[Table], plots: Sequence[Plot]) -> str:
    """One HTML page that loads nothing from elsewhere."""
    return render("choice.html.jinja", title=title, summary=summary, advice=advice, tables=tables, plots=plots)


def pareto_plot(
    options: Sequence[Option], metric: str, *, lower_is_better: bool = False, stacked: bool = False
) -> Plot:
    """Score against each cost, a panel a cost; options that no other beats in both are marked and joined.

    The panels are in a row or, `stacked`, below each other, which is legible on a narrow screen.
    """
    names = list(options[0].costs)
    if stacked:
        figure, panels = new_axes(6.0, 3.2 * len(names), row_heights=[1] * len(names))
    else:
        figure, panels = new_axes(max(6.5, 4.2 * len(names)), 4.0, columns=len(names))
    sign, summary = -1 if lower_is_better else 1, []
    for axes, name in zip(panels, names, strict=True):
        best = pareto_front([(option.costs[name], sign * option.score.value) for option in options])
        front = sorted((options[place].costs[name], options[place].score.value) for place in best)
        axes.plot([x for x, _ in front], [y for _, y in front], "--", color=TUNED, linewidth=1)
        for place, option in enumerate(options):
            color, x, score = TUNED if place in best else OTHER, option.costs[name], option.score
            axes.vlines(x, score.low, score.high, color, linewidth=1.5)
            axes.plot(x, score.value, "o", color=color, markersize=8)
            axes.annotate(
                option.label,
                (x, score.value),
                (7, 5),
                textcoords="offset points",
                fontsize=8,
                parse_math=False,
            )
        axes.margins(0.2)
        axes.set(xlabel=name, xlim=(0, None))
        on_it = ", ".join(f"{options[place].label} {amount(options[place].costs[name])}" for place in best)
        summary.append(f"by {name}: {on_it}")
    for axes in panels if stacked else panels[:1]:
        axes.set_ylabel(metric)
    return Plot(f"{metric} against costs; blue: nothing else is better at no more cost", "; ".join(summary), figure)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The numbers of the points (cost, score) for which no other costs no more and scores better, or costs less and
    scores no worse."""
    return [
        place
        for place, (cost, score) in enumerate(points)
        if not any(
            (other_cost <= cost and other_score > score) or (other_cost < cost and other_score >= score)
            for other_cost, other_score in points
        )
    ]


def interval_or_nothing(score: Score | None) -> str:
    """A score with its interval, or an empty cell."""
    return "" if score is None else interval(score)


def mean_and_deviation(values: Sequence[float]) -> str:
    """`0.925 ± 0.010`, or the one value."""
    from statistics import mean, stdev

    return number(mean(values)) + (f" ± {number(stdev(values))}" if len(values) > 1 else "")
