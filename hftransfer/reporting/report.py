"""What runs look like: the table in the terminal, Markdown, and one HTML page that needs nothing else."""

from collections.abc import Sequence
from typing import Any

from hftransfer.core.results import RunResult
from hftransfer.reporting import plots
from hftransfer.reporting import tables as words
from hftransfer.reporting.page import PAGE
from hftransfer.reporting.tables import (
    Table,
    amount,
    gain_table,
    group_table,
    head_table,
    headlines,
    interval,
    score_table,
    corruption_table,
    source_table,
    step_table,
    tried_table,
)


def terminal(result: RunResult) -> str:
    """The final table of a run in plain text."""
    lines = [f"WARNING: {line}" for line in _alerts(result)]
    told = [f"\n{it.title}:\n{it.text()}" for it in _more_scores(result)]
    return "\n".join([score_table(result, runtime=True).text(), *told, *lines])


def _more_scores(result: RunResult) -> list[Table]:
    """What the transfer gained, the groups of rows, the corrupted test sets, where there are any."""
    makers = (gain_table, group_table, corruption_table, source_table, head_table, step_table, tried_table)
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
    head = ("variant", f"{words.directed(theirs.headline, theirs)} on the card", "here", "in its interval")
    return Table("Reproduced", head, rows), agree


def figures(result: RunResult) -> dict[str, bytes]:
    """Name -> PNG of the pictures that the page shows of a run."""
    return {name: plot.png() for name, plot in plots.plots(result).items()}


def html(results: Sequence[RunResult]) -> str:
    """One page with all that the records say: several runs are compared first."""
    from jinja2 import Environment, StrictUndefined

    jinja = Environment(autoescape=True, trim_blocks=True, undefined=StrictUndefined)
    several = len(results) > 1
    return jinja.from_string(PAGE).render(
        title=f"Comparison of {len(results)} runs" if several else results[0].name,
        compared=_comparison(results) if several else None,
        beside=plots.beside(results) if several else None,
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
        "plots": plots.plots(result).values(),
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
    pairs = {"Run": run, "Versions": result.versions, "Revisions": result.revisions}
    tables = [Table(title, ("what", "value"), list(facts.items())) for title, facts in pairs.items() if facts]
    return [words.data_table(result), words.cost_table(result), *tables]


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
            (
                *what,
                words.directed(result.headline, result),
                interval(scores["tuned"]),
                ", ".join(beside),
                *trained,
                *size,
            )
        )
    return Table("Scores with their intervals", (*head, "train s", "MB", "p50 ms"), rows)
