"""A ranking in words, as tables, and as the points of its plot."""

from __future__ import annotations

from collections.abc import Sequence

from hftransfer.choosing.ranking import FineTuned, RankedCheckpoint, Ranking
from hftransfer.reporting.choice import Option, choice_page
from hftransfer.reporting.plots import Plot
from hftransfer.reporting.tables import Table, amount, interval, number

_PROBE = "probe"
_NAMES = {"probe": "probe", "knn": "k-NN", "log_me": "LogME", "h_score": "H-score"}
_TIE = "not separable"


def verdict(
    checkpoints: Sequence[RankedCheckpoint],
    fine_tuned: Sequence[FineTuned],
    headline: str,
    rows: int,
    validation_rows: int,
) -> str:
    """What the ranking says, and what it cannot say."""
    sentences = [_of_probe(checkpoints, headline, rows)]
    by_other = [
        f"{_NAMES[measure]} {ties}"
        for measure in checkpoints[0].separable
        if measure != _PROBE and (ties := _ties(checkpoints, measure))
    ]
    if by_other:
        sentences.append(f"Not separable from the best by other measures: {'; '.join(by_other)}.")
    if fine_tuned:
        sentences.append(_of_fine_tuning(fine_tuned, headline, validation_rows))
    return " ".join(sentences)


def _of_probe(checkpoints: Sequence[RankedCheckpoint], headline: str, rows: int) -> str:
    best, *others = checkpoints
    ties = [it.name for it in others if not it.separable[_PROBE]]
    score = f"{best.name} has the best probe: {headline} {interval(best.measures[_PROBE])} on {rows:,} training rows"
    if not ties:
        return f"{score}, and is separable from all others."
    if len(ties) == len(others):
        return f"Not separable: {score}, and no other checkpoint is significantly worse. More rows may tell them apart."
    return f"{score}; not separable from it: {', '.join(ties)}."


def _ties(checkpoints: Sequence[RankedCheckpoint], measure: str) -> str:
    """`2 of 5 others`, where some are not separable from the best by a measure."""
    # The best one is not separable from itself.
    ties = sum(not it.separable[measure] for it in checkpoints) - 1
    return f"{ties} of {len(checkpoints) - 1} others" if ties else ""


def _of_fine_tuning(fine_tuned: Sequence[FineTuned], headline: str, rows: int) -> str:
    last = max(entry.round for entry in fine_tuned)
    best, *others = [entry for entry in fine_tuned if entry.round == last]
    ties = [entry.name for entry in others if not entry.separable]
    steps = f" of {best.steps:,} steps" if best.steps else ""
    text = (
        f"After fine-tuning{steps}, {best.name} is first: {headline} {interval(best.score)} on {rows:,} validation rows"
    )
    return f"{text}; not separable from it: {', '.join(ties)}." if ties else f"{text}."


def table(ranking: Ranking) -> Table:
    """A row for each checkpoint. `=` marks values that are not separable from the best one in their column."""
    measures = list(ranking.checkpoints[0].measures)
    header = (
        "checkpoint",
        f"probe ({ranking.headline})",
        "behind the best",
        *(_NAMES[measure] for measure in measures[1:]),
        "M parameters",
        "MB",
        "ms a row",
        "licence",
        "Pareto",
    )
    rows = []
    for it in ranking.checkpoints:
        others = (_cell(it, name) for name in measures[1:])
        gap = "best" if _is_best(it, _PROBE) else interval(it.difference[_PROBE])
        if not it.separable[_PROBE] and not _is_best(it, _PROBE):
            gap += f", {_TIE}"
        costs = (number(it.parameters / 1e6), amount(it.bytes / 1e6), amount(it.milliseconds))
        first = interval(it.measures[_PROBE])
        rows.append((it.name, first, gap, *others, *costs, it.license or "unknown", "yes" if it.pareto else ""))
    title = f"{len(rows)} checkpoints on {ranking.rows:,} training rows"
    return Table(title, header, rows)


def _is_best(it: RankedCheckpoint, measure: str) -> bool:
    gap = it.difference[measure]
    return gap.value == 0 and gap.low == 0 and gap.high == 0


def _cell(it: RankedCheckpoint, measure: str) -> str:
    mark = " best" if _is_best(it, measure) else "" if it.separable[measure] else " ="
    return interval(it.measures[measure]) + mark


def fine_tuning_table(ranking: Ranking) -> Table:
    """A row for each training."""
    header = ("round", "checkpoint", "steps", f"{ranking.headline} on validation", "behind the best", "seconds")
    rows = []
    for it in ranking.fine_tuned:
        is_first = it.difference.value == it.difference.low == it.difference.high == 0
        gap = "best" if is_first else interval(it.difference) + ("" if it.separable else f", {_TIE}")
        rows.append((str(it.round), it.name, str(it.steps or ""), interval(it.score), gap, amount(it.seconds)))
    return Table("Successive fine-tuning", header, rows)


def text(ranking: Ranking) -> str:
    """Tables and verdict for a terminal."""
    parts = [table(ranking).text(), "= not separable from the best of its column"]
    if ranking.fine_tuned:
        parts.append(fine_tuning_table(ranking).text())
    parts += [f"warning: {warning}" for warning in ranking.warnings]
    return "\n\n".join([*parts, ranking.verdict])


def options(ranking: Ranking) -> list[Option]:
    """The checkpoints as points of a plot: probe against time and size."""
    return [
        Option(it.name, it.measures[_PROBE], {"ms a row": it.milliseconds, "M parameters": it.parameters / 1e6})
        for it in ranking.checkpoints
    ]


def page(ranking: Ranking, name: str, plot: Plot) -> str:
    """The HTML page."""
    tables = [table(ranking), *([fine_tuning_table(ranking)] if ranking.fine_tuned else [])]
    summary = f"{ranking.task}, {ranking.rows:,} training rows; = not separable from the best of its column"
    return choice_page(f"Checkpoints: {name}", summary, ranking.verdict, tables, [plot])
