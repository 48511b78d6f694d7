"""A run's tables in the terminal, in Markdown, and as one self-contained HTML page."""

from collections.abc import Sequence
from dataclasses import dataclass

from hftransfer.core.results import Example, RunResult
from hftransfer.reporting import side_by_side, tables
from hftransfer.reporting.certainty import certainty
from hftransfer.reporting.classes import class_table
from hftransfer.reporting.findings import findings
from hftransfer.reporting.plots import Plot, run_plots
from hftransfer.reporting.redaction import checkpoint_name, recipe_yaml
from hftransfer.reporting.side_by_side import Difference
from hftransfer.reporting.tables import Table, amount, escape_markdown, headline_scores, interval, metric_label
from hftransfer.reporting.templates import render
from hftransfer.reporting.verdict import outcome, verdict

Paired = tuple[Sequence[Difference], Sequence[str]]
"""Differences between runs, and sentences where there are none."""
NOT_PAIRED: Paired = ((), ())


@dataclass(frozen=True)
class _Part:
    """A part of a run's section, with a link in its contents."""

    id: str
    title: str
    tables: Sequence[Table] = ()
    lines: Sequence[str] = ()
    plots: Sequence[Plot] = ()
    examples: Sequence[Example] = ()
    code: str = ""

    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not any((self.tables, self.lines, self.plots, self.examples, self.code))


@dataclass(frozen=True)
class _Section:
    """One run on the HTML page."""

    result: RunResult
    summary: str
    verdict: str
    outcome: str
    findings: list[str]
    warnings: list[str]
    parts: list[_Part]


def terminal(result: RunResult) -> str:
    """Scores, other tables and warnings of a run in plain text."""
    first = [f"{sentence}\n"] if (sentence := verdict(result)) else []
    scores = tables.score_table(result, runtime=True).text()
    others = [f"\n{table.title}:\n{table.text()}" for table in _other_tables(result)]
    others += [f"\n{line}" for line in certainty(result)]
    found = [f"FINDING: {line}" for line in findings(result)]
    return "\n".join([*first, scores, *others, *found, *(f"WARNING: {line}" for line in _warnings(result))])


def markdown(results: Sequence[RunResult], paired: Paired = NOT_PAIRED) -> str:
    """The scores of one run, or a comparison of several, and their warnings in Markdown."""
    differences, sentences = paired
    scores = side_by_side.comparison(results) if len(results) > 1 else tables.score_table(results[0], runtime=True)
    lines = [(result.name, line) for result in results for line in _warnings(result)]
    warnings = Table("Warnings", ("run", "warning"), lines)
    shown = (scores, side_by_side.difference_table(differences), warnings)
    parts = [f"{table.title}:\n\n{table.markdown()}" for table in shown if table.rows]
    return "\n\n".join([*parts, *map(escape_markdown, sentences)])


def html(results: Sequence[RunResult], paired: Paired = NOT_PAIRED) -> str:
    """One HTML page that loads nothing from elsewhere; several runs are first compared.

    Args:
        results: the records of the runs.
        paired: differences between runs that were scored on the same rows, and sentences about the others.
    """
    several = len(results) > 1
    differences, sentences = paired
    return render(
        "page.html.jinja",
        title=f"Comparison of {len(results)} runs" if several else results[0].name,
        comparison=side_by_side.tables(results, differences) if several else None,
        comparison_plots=side_by_side.plots(results) if several else [],
        comparison_lines=sentences,
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
    return _Section(
        result=result,
        summary=f"{result.task} · {checkpoint_name(result)} · {strategy} · seed {seed}",
        verdict=verdict(result),
        outcome=outcome(result),
        findings=findings(result),
        warnings=_warnings(result),
        parts=[part for part in _parts(result) if not part.is_empty()],
    )


def _parts(result: RunResult) -> list[_Part]:
    splits = [split for split in ("test", "validation") if result.scores.get(split)]
    scores = [*(tables.score_table(result, split) for split in splits), *_other_tables(result)]
    plots = run_plots(result)
    classes = [table for table in (class_table(result),) if table.rows]
    of_classes = [plots.pop(name) for name in ("confusion",) if name in plots]
    costs = [tables.cost_table(result), tables.runtime_table(result)]
    return [
        _Part("scores", "Scores", scores, certainty(result)),
        _Part("classes", "Classes", classes, plots=of_classes),
        _Part("plots", "Plots", plots=list(plots.values())),
        _Part("errors", "Worst test errors", examples=result.worst),
        _Part("cost", "Cost", costs, [_whole_cost(result)]),
        _Part("data", "Data and versions", [tables.data_table(result), *_facts(result)]),
        _Part("recipe", "Recipe", code=recipe_yaml(result)),
    ]


def _whole_cost(result: RunResult) -> str:
    energy = f" and about {amount(sum(result.energy.values()))} Wh" if result.energy else ""
    minutes = amount(sum(result.seconds.values()) / 60)
    memory = amount(result.peak_memory_bytes / 1e6)
    return f"The whole run, with its baselines and exports: {minutes} minutes{energy}, at most {memory} MB of memory."


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
