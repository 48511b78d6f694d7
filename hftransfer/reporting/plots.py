"""Plots of a run's record, each with an alternative text that holds its numbers."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hftransfer.core.results import BenchmarkTiming, Calibration, RiskCoverage, RunResult, Score, SearchTrial
from hftransfer.reporting.tables import amount, headline_scores, interval, metric_label, number, variant_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _GRID, TUNED, OTHER, _EXPORT, _REJECTED = "#1f2933", "#e4e7eb", "#1d5fbf", "#7b8794", "#0e7c66", "#b42318"
# Beyond this number of classes, neither their names nor the counts can be read.
_LABELLED_CLASSES = 30
# What the axes of a reliability plot are.
_OF_ONE_CLASS = ("mean probability of the predicted class", "accuracy")


@dataclass(frozen=True)
class Plot:
    """A figure with its title and alternative text."""

    title: str
    alt: str
    figure: Figure

    def png(self) -> bytes:
        """The PNG; the same bytes each time."""
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            # Characters that the font lacks appear as boxes; the page's tables show them.
            warnings.filterwarnings("ignore", "Glyph", UserWarning)
            self.figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
        return buffer.getvalue()

    def base64(self) -> str:
        """The PNG as base64."""
        return base64.b64encode(self.png()).decode("ascii")

    @property
    def width(self) -> int:
        """Width on the page, in CSS pixels."""
        return int(100 * self.figure.get_figwidth())

    @property
    def height(self) -> int:
        """Height on the page, in CSS pixels."""
        return int(100 * self.figure.get_figheight())


@dataclass(frozen=True)
class _Bar:
    """A labelled score in a plot of intervals."""

    label: str
    score: Score
    color: str


def run_plots(result: RunResult) -> dict[str, Plot]:
    """Name -> plot of a run; only those that the record has numbers for."""
    colors = _export_colors(result)
    bars = [
        _Bar(variant_label(name, result), score, TUNED if name == "tuned" else colors.get(name, OTHER))
        for name, score in headline_scores(result).items()
    ]
    plots = {
        "scores": _intervals("Test scores with bootstrap intervals", {metric_label(result.headline, result): bars})
    }
    logs = {name: [entry for entry in log if "epoch" in entry] for name, log in result.history.items()}
    if logs := {name: log for name, log in logs.items() if any({"loss", "eval_loss"} & entry.keys() for entry in log)}:
        plots["learning-curves"] = _learning_curves(logs)
    if result.confusion:
        plots["confusion"] = _confusion(result.confusion, result.data.labels)
    if result.calibration:
        plots["reliability"] = _reliability(result.calibration)
    if result.risk_coverage:
        plots["risk-coverage"] = _risk_coverage(result.risk_coverage)
    if result.feature_similarity:
        plots["feature-similarity"] = _feature_similarity(result.feature_similarity)
    if trials := {name: trial for name, trial in result.search.items() if trial.score is not None}:
        plots["search"] = _search(result, trials)
    if result.exports:
        plots["size-latency"] = _size_latency(result, colors)
    return plots


def comparison_plot(results: Sequence[RunResult]) -> Plot:
    """Test scores of the tuned models of several runs, a panel for each task and metric."""
    panels: dict[str, list[_Bar]] = {}
    for result in results:
        bars = panels.setdefault(f"{result.task}: {metric_label(result.headline, result)}", [])
        bars.append(_Bar(result.name, headline_scores(result)["tuned"], TUNED))
    return _intervals("Test scores of the tuned models with bootstrap intervals", panels)


def curves_plot(results: Sequence[RunResult]) -> Plot | None:
    """Training and validation loss of the tuned models, a line a run; None where fewer than two have a log."""
    logs = {result.name: [it for it in result.history.get("tuned", []) if "epoch" in it] for result in results}
    logs = {name: log for name, log in logs.items() if log}
    if len(logs) < 2:
        return None
    figure, panels = new_axes(6.0, 5.6, row_heights=(1, 1))
    for axes, key, label in zip(panels, ("loss", "eval_loss"), ("training loss", "validation loss"), strict=True):
        for name, log in logs.items():
            points = [(entry["epoch"], entry[key]) for entry in log if key in entry]
            axes.plot([x for x, _ in points], [y for _, y in points], "o-", label=name, markersize=3)
        axes.set(ylabel=label)
    panels[-1].set_xlabel("epoch")
    # Names may have any sign, which a legend would take for a formula.
    for text in panels[0].legend(frameon=False, fontsize=8).get_texts():
        text.set_parse_math(False)
    last = {name: [entry["eval_loss"] for entry in log if "eval_loss" in entry][-1:] for name, log in logs.items()}
    ends = "; ".join(f"{name} ends at {number(values[0])}" for name, values in last.items() if values)
    return Plot("Learning curves of the tuned models", f"Loss by epoch, of validation rows: {ends}", figure)


def latency_plot(timings: Sequence[BenchmarkTiming]) -> Plot:
    """Median latency by batch size, a line for each variant that runs, a panel for each number of threads."""
    threads = sorted({timing.threads for timing in timings})
    figure, panels = new_axes(max(6.0, 4.5 * len(threads)), 3.8, columns=len(threads))
    summary = []
    for axes, count in zip(panels, threads, strict=True):
        measured = [timing for timing in timings if timing.threads == count and timing.milliseconds]
        for variant in dict.fromkeys(timing.variant for timing in measured):
            points = [(timing.batch, timing.percentile(50)) for timing in measured if timing.variant == variant]
            axes.plot([x for x, _ in points], [y for _, y in points], "o-", label=variant, markersize=5)
            medians = ", ".join(f"{amount(ms)} ms at batch size {batch}" for batch, ms in points)
            summary.append(f"{variant} on {count} threads: {medians}")
        axes.set(title=f"{count} thread{'s' if count > 1 else ''}", xlabel="batch size", ylim=(0, None))
    panels[0].set_ylabel("median latency of a batch, ms")
    panels[-1].legend(frameon=False)
    return Plot("Latency by batch size", f"Median latency: {'; '.join(summary)}", figure)


def _export_colors(result: RunResult) -> dict[str, str]:
    return dict.fromkeys(result.exports, _EXPORT) | dict.fromkeys(result.rejected(), _REJECTED)


def new_axes(
    width: float, height: float, columns: int = 1, row_heights: Sequence[float] = (1,)
) -> tuple[Figure, list[Axes]]:
    """A figure, its size in inches, with panels in a row or a column, outside of pyplot's global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(
        len(row_heights), columns, squeeze=False, sharey=columns > 1, height_ratios=list(row_heights)
    )
    for axes in panels.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=_GRID)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
    return figure, list(panels.flat)


def _intervals(title: str, panels: dict[str, list[_Bar]]) -> Plot:
    sizes = [len(bars) for bars in panels.values()]
    figure, panel_axes = new_axes(8, 0.8 * len(sizes) + 0.45 * sum(sizes), row_heights=sizes)
    for axes, (metric, bars) in zip(panel_axes, panels.items(), strict=True):
        for y, bar in enumerate(bars):
            axes.hlines(y, bar.score.low, bar.score.high, bar.color, linewidth=2.5)
            axes.plot(bar.score.value, y, "o", color=bar.color, markersize=7)
            value = number(bar.score.value)
            axes.annotate(value, (bar.score.value, y), (0, 6), textcoords="offset points", ha="center")
        axes.set_yticks(range(len(bars)), [bar.label for bar in bars], parse_math=False)
        axes.set(xlabel=metric, ylim=(len(bars) - 0.5, -0.8))
    summary = [f"{bar.label} {interval(bar.score)}" for bars in panels.values() for bar in bars]
    return Plot(title, f"{title}: {'; '.join(summary)}", figure)


def _learning_curves(logs: dict[str, list[dict[str, float]]]) -> Plot:
    figure, panels = new_axes(max(6.0, 3.2 * len(logs)), 3.2, columns=len(logs))
    for axes, (name, log) in zip(panels, logs.items(), strict=True):
        for key, style, label in (("loss", "-", "training"), ("eval_loss", "o--", "validation")):
            points = [(entry["epoch"], entry[key]) for entry in log if key in entry]
            axes.plot([x for x, _ in points], [y for _, y in points], style, label=label, markersize=4)
        axes.set(title=name, xlabel="epoch", ylabel="loss")
        axes.label_outer()
    panels[-1].legend(frameon=False)
    return Plot("Learning curves", f"Training and validation loss by epoch, for {', '.join(logs)}", figure)


def _confusion(matrix: list[list[int]], labels: list[str]) -> Plot:
    count = len(matrix)
    side = min(9.0, 4.0 + 0.4 * count)
    figure, (axes,) = new_axes(side, side)
    shares = [[cell / (sum(row) or 1) for cell in row] for row in matrix]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    if count <= _LABELLED_CLASSES:
        short = [label if len(label) <= 24 else f"{label[:23]}…" for label in labels]
        axes.set_xticks(range(count), short, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
        axes.set_yticks(range(count), short, parse_math=False)
        for y, x in ((y, x) for y in range(count) for x in range(count) if matrix[y][x]):
            color = "white" if shares[y][x] > 0.5 else _INK
            axes.text(x, y, str(matrix[y][x]), ha="center", va="center", fontsize=8, color=color)
    axes.set(xlabel="prediction", ylabel="reference")
    correct, rows = sum(matrix[i][i] for i in range(count)), sum(map(sum, matrix))
    title = "Confusion matrix on the test split, shaded by the share of the reference class"
    return Plot(title, f"Confusion matrix of {count} classes: {correct} of {rows} rows are correct", figure)


def _reliability(calibration: Calibration) -> Plot:
    figure, (axes,) = new_axes(5.2, 4.2)
    axes.plot([0, 1], [0, 1], "--", color=OTHER, linewidth=1)
    temperature = calibration.temperature
    several = isinstance(temperature, dict)
    divisor = "a number for each label" if isinstance(temperature, dict) else number(temperature)
    lines = (
        ("as trained", calibration.curve_before, calibration.before, OTHER),
        (f"divided by {divisor}", calibration.curve, calibration.after, TUNED),
    )
    for label, curve, _, color in lines:
        axes.plot([it[0] for it in curve], [it[1] for it in curve], "o-", color=color, label=label, markersize=5)
    names = ("mean probability of a label", "share of rows with it") if several else _OF_ONE_CLASS
    axes.set(xlabel=names[0], ylabel=names[1], xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(frameon=False)
    summary = "; ".join(f"{label}: calibration error {interval(score)}" for label, _, score, _ in lines)
    return Plot("Reliability: how often the model is right at each confidence", f"Reliability. {summary}", figure)


def _risk_coverage(found: RiskCoverage) -> Plot:
    figure, (axes,) = new_axes(5.2, 3.6)
    axes.plot([it[0] for it in found.curve], [it[1] for it in found.curve], "-", color=TUNED)
    axes.axhline(found.accuracy.value, linestyle="--", color=OTHER, linewidth=1)
    lowest = min(accuracy for _, accuracy, _ in found.curve)
    axes.set(xlabel="share of rows answered, the most certain first", ylabel="accuracy on them", xlim=(0, 1.02))
    axes.set_ylim(max(0.0, lowest - 0.1), 1.02)
    summary = f"accuracy {interval(found.accuracy)} on all rows, {interval(found.accuracy_of_90)} on 90 %"
    title = "Risk and coverage: accuracy where the model abstains on its least certain rows"
    return Plot(title, f"{title}: {summary}; area under the error curve {interval(found.aurc)}", figure)


def _feature_similarity(similarity: list[float]) -> Plot:
    from matplotlib.ticker import MaxNLocator

    figure, (axes,) = new_axes(6.5, 2.8)
    axes.plot(range(1, len(similarity) + 1), similarity, "o-", color=TUNED)
    axes.set(xlabel="block, from input to head", ylabel="similarity (CKA)", ylim=(min(0, *similarity), 1.05))
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    summary = ", ".join(f"{value:.2f}" for value in similarity)
    title = "Feature similarity (CKA) of checkpoint and tuned model by block"
    return Plot(title, f"{title}, from the input on: {summary}", figure)


def _search(result: RunResult, trials: dict[str, SearchTrial]) -> Plot:
    figure, panels = new_axes(9.5, 3.8, columns=2)
    summary = []
    for name, trial in trials.items():
        score = trial.score or 0
        for axes, x in zip(panels, (trial.p50_ms, trial.bytes / 1e6), strict=True):
            axes.plot(x, score, "o", color=_trial_color(trial, result), markersize=9)
            axes.annotate(name, (x, score), (8, 6), textcoords="offset points")
        summary.append(f"{name} {number(score)}, {amount(trial.p50_ms)} ms, {amount(trial.bytes / 1e6)} MB")
    for axes, label in zip(panels, ("median latency of one row, ms", "weights, MB"), strict=True):
        axes.margins(0.25)
        axes.set(xlabel=label, xlim=(0, None))
    metric = result.recipe["export"]["metric"]
    panels[0].set_ylabel(metric_label(result.headline if metric == "headline" else metric, result))
    title = "Quantization search on the validation rows: green is selected, red exceeds max_drop"
    return Plot(title, f"{title}: {'; '.join(summary)}", figure)


def _trial_color(trial: SearchTrial, result: RunResult) -> str:
    if trial.reason is None:
        return _EXPORT
    return _REJECTED if (trial.drop or 0) > result.recipe["export"]["max_drop"] else OTHER


def _size_latency(result: RunResult, colors: dict[str, str]) -> Plot:
    figure, (axes,) = new_axes(6.5, 3.6)
    summary = []
    for variant, facts in {"tuned": result.pytorch, **result.exports}.items():
        label, megabytes = variant_label(variant, result), facts.bytes / 1e6
        axes.plot(facts.p50_ms, megabytes, "o", color=colors.get(variant, TUNED), markersize=9)
        axes.annotate(label, (facts.p50_ms, megabytes), (8, 6), textcoords="offset points")
        summary.append(f"{label} {amount(megabytes)} MB and {amount(facts.p50_ms)} ms")
    axes.margins(0.25)
    axes.set(xlabel="median latency of one row, ms", ylabel="weights, MB", xlim=(0, None), ylim=(0, None))
    return Plot("Model size and latency", f"Size and median latency: {'; '.join(summary)}", figure)
