"""What a run's record says in pictures, each with what it says to those who cannot see it."""

import base64
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hftransfer.core.results import BenchmarkTiming, RunResult, Score, SearchTrial
from hftransfer.reporting import tables as words
from hftransfer.reporting.tables import amount, headlines, interval, named

_INK, _GRID, _ACCENT, _MUTED, _EXPORT, _BAD = "#1f2933", "#e4e7eb", "#1d5fbf", "#7b8794", "#0e7c66", "#b42318"


@dataclass(frozen=True)
class Plot:
    """A figure, and what it says to those who cannot see it."""

    title: str
    alt: str
    figure: Any

    def png(self) -> bytes:
        """The picture, the same bytes each time."""
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            # A label in a script that the font lacks is drawn as boxes; the page's text has it whole.
            warnings.filterwarnings("ignore", "Glyph", UserWarning)
            self.figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
        return buffer.getvalue()

    def base64(self) -> str:
        """The picture as text."""
        return base64.b64encode(self.png()).decode("ascii")


def _axes(width: float, height: float, **grid: Any) -> tuple[Any, list[Any]]:
    """A figure of its own, without the state that pyplot keeps for the whole process."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = list(figure.subplots(squeeze=False, **grid).flat)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(color=_GRID)
        one.set_axisbelow(True)
        one.tick_params(length=0)
    return figure, axes


def plots(result: RunResult) -> dict[str, Plot]:
    """Name -> the pictures of a run."""
    colors = {"tuned": _ACCENT, **dict.fromkeys(result.exports, _EXPORT), **dict.fromkeys(result.rejected(), _BAD)}
    bars = [(named(result, name), score, colors.get(name, _MUTED)) for name, score in headlines(result).items()]
    made = {"scores": _intervals("Test scores with their intervals", {words.directed(result.headline, result): bars})}
    logs = {name: [entry for entry in log if "epoch" in entry] for name, log in result.history.items()}
    if logs := {name: log for name, log in logs.items() if any({"loss", "eval_loss"} & entry.keys() for entry in log)}:
        made["learning-curves"] = _curves(logs)
    if result.confusion:
        made["confusion"] = _confusion(result.confusion, result.data.labels)
    if result.feature_similarity:
        made["drift"] = _drift(result.feature_similarity)
    if tried := {name: it for name, it in result.search.items() if it.score is not None}:
        made["search"] = _search(result, tried)
    if result.exports:
        made["size-latency"] = _sizes(result, colors)
    return made


def beside(results: Sequence[RunResult]) -> Plot:
    """The tuned models of several runs."""
    panels: dict[str, list[tuple[str, Score, str]]] = {}
    for result in results:
        bars = panels.setdefault(f"{result.task}: {words.directed(result.headline, result)}", [])
        bars.append((result.name, headlines(result)["tuned"], _ACCENT))
    return _intervals("Test scores of the tuned models with their intervals", panels)


def _intervals(title: str, panels: dict[str, list[tuple[str, Score, str]]]) -> Plot:
    sizes = [len(bars) for bars in panels.values()]
    figure, axes = _axes(8, 0.8 * len(sizes) + 0.45 * sum(sizes), nrows=len(sizes), height_ratios=sizes)
    for one, (metric, bars) in zip(axes, panels.items(), strict=True):
        for y, (_, score, color) in enumerate(bars):
            one.hlines(y, score.low, score.high, color, linewidth=2.5)
            one.plot(score.value, y, "o", color=color, markersize=7)
            one.annotate(words.number(score.value), (score.value, y), (0, 6), textcoords="offset points", ha="center")
        one.set_yticks(range(len(bars)), [name for name, *_ in bars], parse_math=False)
        one.set(xlabel=metric, ylim=(len(bars) - 0.5, -0.8))
    told = [f"{name} {interval(score)}" for bars in panels.values() for name, score, _ in bars]
    return Plot(title, f"{title}: {'; '.join(told)}", figure)


def _curves(logs: dict[str, list[dict[str, float]]]) -> Plot:
    figure, axes = _axes(max(6.0, 3.2 * len(logs)), 3.2, ncols=len(logs), sharey=True)
    for one, (name, log) in zip(axes, logs.items(), strict=True):
        for key, style, said in (("loss", "-", "training"), ("eval_loss", "o--", "validation")):
            points = [(entry["epoch"], entry[key]) for entry in log if key in entry]
            one.plot([x for x, _ in points], [y for _, y in points], style, label=said, markersize=4)
        one.set(title=name, xlabel="epoch", ylabel="loss")
        one.label_outer()
    axes[-1].legend(frameon=False)
    return Plot("Learning curves", f"Training and validation loss by epoch, for {', '.join(logs)}", figure)


def _confusion(matrix: list[list[int]], labels: list[str]) -> Plot:
    count, side = len(matrix), min(9.0, 4.0 + 0.4 * len(matrix))
    figure, (one,) = _axes(side, side)
    shares = [[cell / (sum(row) or 1) for cell in row] for row in matrix]
    one.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    one.grid(visible=False)
    # Past this number, neither the names nor the counts could be read.
    if count <= 30:
        short = [label if len(label) <= 24 else f"{label[:23]}…" for label in labels]
        one.set_xticks(range(count), short, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
        one.set_yticks(range(count), short, parse_math=False)
        for y, x in ((y, x) for y in range(count) for x in range(count) if matrix[y][x]):
            color = "white" if shares[y][x] > 0.5 else _INK
            one.text(x, y, matrix[y][x], ha="center", va="center", fontsize=8, color=color)
    one.set(xlabel="prediction", ylabel="reference")
    right, rows = sum(matrix[i][i] for i in range(count)), sum(map(sum, matrix))
    title = "Confusion on the test split, shaded by the share of the reference's rows"
    return Plot(title, f"Confusion matrix of {count} classes: {right} of {rows} rows are right", figure)


def _drift(similarity: list[float]) -> Plot:
    figure, (one,) = _axes(6.5, 2.8)
    one.plot(range(1, len(similarity) + 1), similarity, "o-", color=_ACCENT)
    one.set(xlabel="block, from the input to the head", ylabel="similarity (CKA)", ylim=(min(0, *similarity), 1.05))
    one.xaxis.get_major_locator().set_params(integer=True)
    told = ", ".join(f"{value:.2f}" for value in similarity)
    return Plot("Features of checkpoint and tuned model by block", f"Similarity from the input on: {told}", figure)


def _search(result: RunResult, tried: dict[str, SearchTrial]) -> Plot:
    figure, axes = _axes(9.5, 3.8, ncols=2, sharey=True)
    told = []
    for name, it in tried.items():
        color = _EXPORT if it.reason is None else _BAD if (it.drop or 0) > result.recipe["export"]["max_drop"] else _MUTED
        for one, x in zip(axes, (it.p50_ms, it.bytes / 1e6), strict=True):
            one.plot(x, it.score, "o", color=color, markersize=9)
            one.annotate(name, (x, it.score or 0), (8, 6), textcoords="offset points")
        told.append(f"{name} {words.number(it.score or 0)}, {amount(it.p50_ms)} ms, {amount(it.bytes / 1e6)} MB")
    for one, label in zip(axes, ("median latency of one row, ms", "weights, MB"), strict=True):
        one.margins(0.25)
        one.set(xlabel=label, xlim=(0, None))
    metric = result.recipe["export"]["metric"]
    axes[0].set_ylabel(words.directed(result.headline if metric == "headline" else metric, result))
    title = "What the search tried, on the validation rows: green ships, red breaks the promise"
    return Plot(title, f"{title}: {'; '.join(told)}", figure)


def speeds(found: Sequence[BenchmarkTiming]) -> Plot:
    """Median latency by batch size, a line for each variant that runs, a panel for each number of threads."""
    threads = sorted({it.threads for it in found})
    figure, axes = _axes(max(6.0, 4.5 * len(threads)), 3.8, ncols=len(threads), sharey=True)
    told = []
    for one, count in zip(axes, threads, strict=True):
        own = [it for it in found if it.threads == count and it.milliseconds]
        for variant in dict.fromkeys(it.variant for it in own):
            points = [(it.batch, it.percentile(50)) for it in own if it.variant == variant]
            one.plot([x for x, _ in points], [y for _, y in points], "o-", label=variant, markersize=5)
            told.append(f"{variant} on {count} threads: {', '.join(f'{amount(y)} ms at {x}' for x, y in points)}")
        one.set(title=f"{count} thread{'s' if count > 1 else ''}", xlabel="rows in a batch", ylim=(0, None))
    axes[0].set_ylabel("median latency of a batch, ms")
    axes[-1].legend(frameon=False)
    return Plot("Latency by batch size", f"Median latency: {'; '.join(told)}", figure)


def _sizes(result: RunResult, colors: dict[str, str]) -> Plot:
    figure, (one,) = _axes(6.5, 3.6)
    told = []
    for variant, facts in {"tuned": result.pytorch, **result.exports}.items():
        name, at = named(result, variant), (facts.p50_ms, facts.bytes / 1e6)
        one.plot(*at, "o", color=colors[variant], markersize=9)
        one.annotate(name, at, (8, 6), textcoords="offset points")
        told.append(f"{name} {amount(at[1])} MB and {amount(at[0])} ms")
    one.margins(0.25)
    one.set(xlabel="median latency of one row, ms", ylabel="weights, MB", xlim=(0, None), ylim=(0, None))
    return Plot("Size against latency", f"Size and median latency: {'; '.join(told)}", figure)
