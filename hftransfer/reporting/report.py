"""A run's tables in the terminal, in Markdown, and as one self-contained HTML page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hftransfer.core.results import RunResult
from hftransfer.core.variants import Variant
from hftransfer.reporting import tables
from hftransfer.reporting.certainty import certainty
from hftransfer.reporting.findings import findings
from hftransfer.reporting.plots import Plot, comparison_plot, run_plots
from hftransfer.reporting.redaction import checkpoint_name, recipe_yaml
from hftransfer.reporting.tables import Table, amount, headline_scores, interval, metric_label, number
from hftransfer.reporting.templates import render
from hftransfer.reporting.verdict import verdict


@dataclass(frozen=True)
class _Section:
    """One run on the HTML page."""

    result: RunResult
    summary: str
    verdict: str
    findings: list[str]
    warnings: list[str]
    certainty: list[str]
    scores: list[Table]
    plots: Iterable[Plot]
    facts: list[Table]
    recipe: str


def terminal(result: RunResult) -> str:
    """Scores, other tables and warnings of a run in plain text."""
    first = [f"{sentence}\n"] if (sentence := verdict(result)) else []
    scores = tables.score_table(result, runtime=True).text()
    others = [f"\n{table.title}:\n{table.text()}" for table in _other_tables(result)]
    others += [f"\n{line}" for line in certainty(result)]
    found = [f"FINDING: {line}" for line in findings(result)]
    return "\n".join([*first, scores, *others, *found, *(f"WARNING: {line}" for line in _warnings(result))])


def markdown(results: Sequence[RunResult]) -> str:
    """The scores of one run, or a comparison of several, and their warnings in Markdown."""
    scores = _comparison(results) if len(results) > 1 else tables.score_table(results[0], runtime=True)
    lines = [(result.name, line) for result in results for line in _warnings(result)]
    warnings = Table("Warnings", ("run", "warning"), lines)
    return "\n\n".join(f"{table.title}:\n\n{table.markdown()}" for table in (scores, warnings) if table.rows)


def html(results: Sequence[RunResult]) -> str:
    """One HTML page that loads nothing from elsewhere; several runs are first compared."""
    several = len(results) > 1
    return render(
        "page.html.jinja",
        title=f"Comparison of {len(results)} runs" if several else results[0].name,
        comparison=_comparison(results) if several else None,
        comparison_plot=comparison_plot(results) if several else None,
        rows_differ=len({result.data.fingerprint for result in results}) > 1,
        sections=[_section(result) for result in results],
    )


def figures(result: RunResult) -> dict[str, bytes]:
    """Name -> PNG of the plots of a run."""
    return {name: plot.png() for name, plot in run_plots(result).items()}


def reproduced(published: RunResult, repeated: RunResult) -> tuple[Table, bool]:
    """Test scores of two runs of one recipe, and whether all repeated ones are within the published intervals."""
    scores, rows, agree = headline_scores(repeated), [], True
    for variant, score in headline_scores(published).items():
        again = scores.get(variant)
        inside = again is not None and score.low <= again.value <= score.high
        agree = agree and inside
        rows.append((variant, interval(score), interval(again) if again else "", "yes" if inside else "NO"))
    metric = metric_label(published.headline, published)
    header = ("variant", f"{metric}, published", "repeated", "within the published interval")
    return Table("Published and repeated test scores", header, rows), agree


def _other_tables(result: RunResult) -> list[Table]:
    """The tables beyond scores that the record has rows for."""
    every = (
        tables.gain_table(result),
        tables.group_table(result),
        tables.corruption_table(result),
        tables.source_task_table(result),
        tables.task_head_table(result),
        tables.compression_table(result),
        tables.search_table(result),
    )
    return [table for table in every if table.rows]


def _warnings(result: RunResult) -> list[str]:
    """The run's warnings, and every rejected variant unless a warning has its reason already."""
    text = "\n".join(result.warnings)
    rejected = {name: reason for name, reason in result.rejected().items() if reason not in text}
    return [*result.warnings, *(f"{name} was rejected and removed: {reason}" for name, reason in rejected.items())]


def _section(result: RunResult) -> _Section:
    strategy, seed = result.recipe["strategy"]["name"], result.recipe["seed"]
    splits = [split for split in ("test", "validation") if result.scores.get(split)]
    return _Section(
        result=result,
        summary=f"{result.task} · {checkpoint_name(result)} · {strategy} · seed {seed}",
        verdict=verdict(result),
        findings=findings(result),
        warnings=_warnings(result),
        certainty=certainty(result),
        scores=[*(tables.score_table(result, split) for split in splits), *_other_tables(result)],
        plots=run_plots(result).values(),
        facts=[tables.runtime_table(result), tables.data_table(result), tables.cost_table(result), *_facts(result)],
        recipe=recipe_yaml(result),
    )


def _facts(result: RunResult) -> list[Table]:
    run = {
        "parameters": f"{result.parameters['all']:,}",
        "trainable parameters": f"{result.parameters['trainable']:,}",
        "peak memory": f"{amount(result.peak_memory_bytes / 1e6)} MB",
        "hardware": result.hardware,
        "data fingerprint (SHA-256)": result.data.fingerprint,
    }
    titled = {"Run": run, "Package versions": result.versions, "Hub commits": result.revisions}
    return [Table(title, ("name", "value"), list(facts.items())) for title, facts in titled.items() if facts]


def _comparison(results: Sequence[RunResult]) -> Table:
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
        amount(result.pytorch.bytes / 1e6),
        amount(result.pytorch.p50_ms),
    )
