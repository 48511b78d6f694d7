"""What runs look like: the table in the terminal, Markdown, pictures, and one HTML page that needs nothing else."""

import base64
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hftransfer import tables as words
from hftransfer.page import PAGE
from hftransfer.results import RunResult, Score
from hftransfer.tables import (
    Table,
    amount,
    gain_table,
    group_table,
    head_table,
    headlines,
    interval,
    named,
    score_table,
    shift_table,
    source_table,
)

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


def terminal(result: RunResult) -> str:
    """The final table of a run in plain text."""
    lines = [f"WARNING: {line}" for line in _alerts(result)]
    told = [f"\n{it.title}:\n{it.text()}" for it in _more_scores(result)]
    return "\n".join([score_table(result, runtime=True).text(), *told, *lines])


def _more_scores(result: RunResult) -> list[Table]:
    """What the transfer gained, the groups of rows, the shifted test sets, where there are any."""
    makers = (gain_table, group_table, shift_table, source_table, head_table)
    return [table for make in makers if (table := make(result)).rows]


def markdown(results: Sequence[RunResult]) -> str:
    """The scores of one run or the comparison of several, and what must not be overlooked, in Markdown."""
    table = _comparison(results) if len(results) > 1 else score_table(results[0], runtime=True)
    warned = Table(
        "Warnings", ("run", "warning"), [(result.name, line) for result in results for line in _alerts(result)]
    )
    return "\n\n".join(f"{it.title}:\n\n{it.markdown()}" for it in (table, warned) if it.rows)


def reproduced(theirs: RunResult, mine: RunResult) -> tuple[Table, bool]:
    """Test scores of two runs of one recipe, and whether each of mine lies in the interval of theirs."""
    rows, agree = [], True
    for variant, score in headlines(theirs).items():
        found = headlines(mine).get(variant)
        inside = found is not None and score.low <= found.value <= score.high
        agree = agree and inside
        rows.append((variant, interval(score), interval(found) if found else "", "yes" if inside else "NO"))
    head = ("variant", f"{words.directed(theirs.headline)} on the card", "here", "in its interval")
    return Table("Reproduced", head, rows), agree


def figures(result: RunResult) -> dict[str, bytes]:
    """Name -> PNG of the pictures that the page shows of a run."""
    return {name: plot.png() for name, plot in _plots(result).items()}


def html(results: Sequence[RunResult]) -> str:
    """One page with all that the records say: several runs are compared first."""
    from jinja2 import Environment, StrictUndefined

    jinja = Environment(autoescape=True, trim_blocks=True, undefined=StrictUndefined)
    several = len(results) > 1
    return jinja.from_string(PAGE).render(
        title=f"Comparison of {len(results)} runs" if several else results[0].name,
        compared=_comparison(results) if several else None,
        beside=_beside(results) if several else None,
        apart=len({result.data.fingerprint for result in results}) > 1,
        runs=[_view(result) for result in results],
    )


def _view(result: RunResult) -> dict[str, Any]:
    strategy, seed = result.recipe["strategy"]["name"], result.recipe["seed"]
    return {
        "result": result,
        "what": f"{result.task} · {words.checkpoint(result)} · {strategy} · seed {seed}",
        "alerts": _alerts(result),
        "scores": [
            *(score_table(result, split) for split in ("test", "validation") if result.scores.get(split)),
            *_more_scores(result),
        ],
        "plots": _plots(result).values(),
        "facts": [words.runtime_table(result), *_facts(result)],
        "recipe": words.recipe_yaml(result),
    }


def _alerts(result: RunResult) -> list[str]:
    """The run's warnings, and every rejected variant unless a warning says it already."""
    said = "\n".join(result.warnings)
    rejected = {name: why for name, why in result.rejected().items() if why not in said}
    return [*result.warnings, *(f"{name} is rejected, not shipped: {why}" for name, why in rejected.items())]


def _facts(result: RunResult) -> list[Table]:
    run = {
        "parameters": f"{result.parameters['all']:,}",
        "trainable parameters": f"{result.parameters['trainable']:,}",
        "peak memory": f"{amount(result.peak_memory_bytes / 1e6)} MB",
        "hardware": result.hardware,
        "fingerprint of the data": result.data.fingerprint,
    }
    seconds = {stage: amount(value) for stage, value in result.seconds.items()}
    pairs = {"Run": run, "Seconds": seconds, "Versions": result.versions, "Revisions": result.revisions}
    tables = [Table(title, ("what", "value"), list(facts.items())) for title, facts in pairs.items() if facts]
    return [words.data_table(result), *tables]


def _comparison(results: Sequence[RunResult]) -> Table:
    head = ("run", "task", "checkpoint", "strategy", "metric", "tuned, on test", "beside it", "trainable parameters")
    rows = []
    for result in results:
        scores = headlines(result)
        beside = [f"{n} {words.number(s.value)}" for n, s in scores.items() if n != "tuned" and n not in result.exports]
        what = (result.name, result.task, words.checkpoint(result), result.recipe["strategy"]["name"])
        seconds = result.seconds.get("train tuned")
        trained = (f"{result.parameters['trainable']:,}", "" if seconds is None else amount(seconds))
        size = (amount(result.pytorch.bytes / 1e6), amount(result.pytorch.p50_ms))
        rows.append(
            (*what, words.directed(result.headline), interval(scores["tuned"]), ", ".join(beside), *trained, *size)
        )
    return Table("Scores with their intervals", (*head, "train s", "MB", "p50 ms"), rows)


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


def _plots(result: RunResult) -> dict[str, Plot]:
    colors = {"tuned": _ACCENT, **dict.fromkeys(result.exports, _EXPORT), **dict.fromkeys(result.rejected(), _BAD)}
    bars = [(named(result, name), score, colors.get(name, _MUTED)) for name, score in headlines(result).items()]
    plots = {"scores": _intervals("Test scores with their intervals", {words.directed(result.headline): bars})}
    logs = {name: [entry for entry in log if "epoch" in entry] for name, log in result.history.items()}
    if logs := {name: log for name, log in logs.items() if any({"loss", "eval_loss"} & entry.keys() for entry in log)}:
        plots["learning-curves"] = _curves(logs)
    if result.confusion:
        plots["confusion"] = _confusion(result.confusion, result.data.labels)
    if result.drift:
        plots["drift"] = _drift(result.drift)
    if result.exports:
        plots["size-latency"] = _sizes(result, colors)
    return plots


def _beside(results: Sequence[RunResult]) -> Plot:
    panels: dict[str, list[tuple[str, Score, str]]] = {}
    for result in results:
        bars = panels.setdefault(f"{result.task}: {words.directed(result.headline)}", [])
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
