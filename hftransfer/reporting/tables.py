"""Tables of a run's record, which terminal, report and model card share, and how they write numbers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from hftransfer.core.results import RunResult, Score
from hftransfer.core.variants import Variant, parse_split, sort_variants
from hftransfer.metrics import lower_is_better, of_one_class

# More metrics than these do not fit into a terminal.
_TERMINAL_METRICS = 8
_MARKDOWN = re.compile(r"(?P<interval>\[[-+.,e\d]+, [-+.,e\d]+\](?![\[(:]))|[\\`*\[\]|~]|!(?=\[)|(?<!\w)_|_(?!\w)")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
WHOLE_RUN = "the whole run"
"""The row of the sum in `cost_table`."""
_NUMBER = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?")


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; the first entry of a row names it."""

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def text(self) -> str:
        """Aligned columns, without the title."""
        lines = (self.header, *self.rows)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

    def markdown(self) -> str:
        """A table in GitHub's Markdown, without the title."""
        lines = (self.header, ("---",) * len(self.header), *self.rows)
        return "\n".join(f"| {' | '.join(map(escape_markdown, line))} |" for line in lines)


def escape_markdown(text: str) -> str:
    """Text of the data or the recipe that cannot break a Markdown table or the page around it, nor add to it.

    Links and pictures (which a reader's browser would fetch), code and HTML stand as they are written; the brackets of
    an interval need no escape.
    """
    return _MARKDOWN.sub(_escape_sign, " ".join(escape(text, quote=False).split()))


def _escape_sign(match: re.Match[str]) -> str:
    return match[0] if match["interval"] else f"\\{match[0]}"


def escape_cell(text: str) -> str:
    """Text for a cell of a CSV file: a spreadsheet would run what begins like a formula."""
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


def unescape_cell(text: str) -> str:
    """The text of a cell that `escape_cell` has written."""
    return text[1:] if text.startswith("'") and escape_cell(text[1:]) == text else text


def number(value: float) -> str:
    """A score with three decimals; three digits if it is small, thousands separators if it is large."""
    if abs(value) >= 100:
        return f"{value:,.1f}"
    # A difference that only rounding has left would print as -0.000.
    value = 0.0 if abs(value) < 1e-12 else value
    return f"{value:.3f}" if abs(value) >= 0.01 or value == 0 else f"{value:.3g}"


def amount(value: float) -> str:
    """Megabytes, milliseconds or seconds with at least three digits."""
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def interval(score: Score) -> str:
    """A score with its interval: `0.925 [0.905, 0.945]`."""
    return f"{number(score.value)} [{number(score.low)}, {number(score.high)}]"


def confidence(result: RunResult) -> str:
    """The confidence of the intervals: `95 %`."""
    return f"{100 * result.recipe['evaluation']['confidence']:g} %"


def metric_label(metric: str, result: RunResult) -> str:
    """A metric's name, with its direction if lower is better, and its class if it is about `task.positive` alone."""
    positive = result.recipe["task"].get("positive")
    if positive is not None and of_one_class(metric):
        return f"{metric} of '{positive}'"
    return f"{metric} (lower is better)" if lower_is_better(metric) else metric


def variant_label(variant: str, result: RunResult) -> str:
    """A variant's name, marked if it was rejected."""
    return f"{variant} (rejected)" if variant in result.rejected() else variant


def headline_scores(result: RunResult) -> dict[str, Score]:
    """Variant -> headline score on the test split, in the order of tables."""
    scores = result.scores.get("test", {})
    return {name: scores[name][result.headline] for name in sort_variants(scores) if result.headline in scores[name]}


def score_table(result: RunResult, split: str = "test", *, runtime: bool = False) -> Table:
    """Variants by metrics; with `runtime`, also size, latency and agreement of those that were measured."""
    scores, sizes = result.scores.get(split, {}), runtime_table(result)
    metrics = sorted({m: None for of in scores.values() for m in of}, key=lambda metric: metric != result.headline)
    if runtime and len(metrics) > _TERMINAL_METRICS:
        # The report has those of each class (`f1.cat`).
        metrics = [metric for metric in metrics if "." not in metric]
    columns = () if not runtime else (1, 2, 6) if result.exports else (1, 2)
    measured = {row[0]: tuple(row[i] for i in columns) for row in sizes.rows}
    rows = []
    for variant in sort_variants(scores):
        values = (interval(scores[variant][m]) if m in scores[variant] else "" for m in metrics)
        label = variant_label(variant, result)
        rows.append((label, *values, *measured.get(label, ("",) * len(columns))))
    count = max((score.count for of in scores.values() for score in of.values()), default=0)
    title = f"Scores on the {count:,} rows of the {split} split, with {confidence(result)} bootstrap intervals"
    labels = (metric_label(metric, result) for metric in metrics)
    return Table(title, ("variant", *labels, *(sizes.header[i] for i in columns)), rows)


def gain_table(result: RunResult) -> Table:
    """The gain of the tuned model over each alternative, and whether it is significant."""
    rows = []
    for variant in sort_variants(result.transfer_gain):
        gain = result.transfer_gain[variant]
        rows.append((variant, interval(gain), significance(gain, result)))
    title = (
        f"Gain of the tuned model in {result.headline} on test (positive is better), with {confidence(result)} "
        "intervals of a paired bootstrap"
    )
    return Table(title, ("compared with", "gain", "significance"), rows)


def significance(gain: Score, result: RunResult) -> str:
    """Whether the interval of a gain is on one side of 0."""
    if gain.low > 0:
        return f"significant ({confidence(result)})"
    return f"significantly worse ({confidence(result)})" if gain.high < 0 else "not significant"


def group_table(result: RunResult) -> Table:
    """The headline metric of the tuned model and its exports by group of the test rows, the worst group first."""
    every = sort_variants(result.scores["test"])
    variants = [name for name in every if Variant.parse(name).kind in ("tuned", "export")]
    tuned = {group: scores["tuned"] for group, scores in result.groups.items() if "tuned" in scores}
    sign = -1 if lower_is_better(result.headline) else 1
    rows = []
    for group in sorted(tuned, key=lambda group: sign * tuned[group].value):
        scores = [result.groups[group].get(name) for name in variants]
        rows.append((group, f"{tuned[group].count:,}", *(interval(score) if score else "" for score in scores)))
    return Table(f"{metric_label(result.headline, result)} on test by group", ("group", "rows", *variants), rows)


def corruption_table(result: RunResult) -> Table:
    """The headline metric on the test rows, clean and under each corruption; no rows without a corruption."""
    splits = {split: parse_split(split)[1] for split in result.scores if parse_split(split)[1]}
    rows = []
    for variant in sort_variants(result.scores["test"]) if splits else []:
        scores = [result.scores[split].get(variant) for split in ("test", *splits)]
        if all(scores):
            rows.append((variant, *(interval(score[result.headline]) for score in scores if score)))
    title = f"{metric_label(result.headline, result)} on the test split under corruptions"
    return Table(title, ("variant", "clean", *splits.values()), rows)


def source_task_table(result: RunResult) -> Table:
    """Accuracy on the task of the checkpoint, before and after training."""
    rows = [(name, interval(score)) for name, score in result.source_task_scores.items()]
    title = "Accuracy on the source task before and after training, with the classification head of the checkpoint"
    return Table(title, ("encoder", "accuracy"), rows)


def task_head_table(result: RunResult) -> Table:
    """The additional heads of a multi-task run."""
    rows = [
        (name, head.task, head.headline, interval(head.scores[head.headline]))
        for name, head in result.task_heads.items()
    ]
    title = "Additional task heads of the same encoder, each on the test rows of its task"
    return Table(title, ("head", "task", "metric", "score"), rows)


def compression_table(result: RunResult) -> Table:
    """Score, size and latency after each step of `compress`, and of the exports."""
    facts = {**result.compression_steps, "tuned": result.pytorch, **result.exports} if result.compression_steps else {}
    rows = []
    for name, runtime in facts.items():
        score = result.scores["test"][name][result.headline]
        cost = (amount(runtime.bytes / 1e6), amount(runtime.p50_ms))
        rows.append((variant_label(name, result), interval(score), *cost))
    header = ("variant", f"{metric_label(result.headline, result)} on test", "MB", "p50 ms")
    return Table("Compression, step by step", header, rows)


def search_table(result: RunResult) -> Table:
    """The trials of the quantization search, in their order."""
    rows = []
    for scheme, trial in result.search.items():
        measured = ("", "", "", "")
        if trial.score is not None and trial.drop is not None:
            cost = (amount(trial.p50_ms), amount(trial.bytes / 1e6))
            measured = (number(trial.score), f"{trial.drop:.4f}", *cost)
        rows.append((scheme, *measured, str(trial.excluded_nodes or ""), trial.reason or "selected"))
    header = ("scheme", "score", "drop", "p50 ms", "MB", "excluded nodes", "outcome")
    return Table("Quantization search on the validation rows", header, rows)


def runtime_table(result: RunResult) -> Table:
    """Size and latency of the tuned model in PyTorch and of each export, and its agreement with PyTorch."""
    header = (
        "variant",
        "MB",
        "p50 ms",
        "p95 ms",
        "p50 ms, batch 8",
        "p95 ms, batch 8",
        "agreement",
        "max abs. difference",
    )
    rows = []
    for variant, facts in {"tuned": result.pytorch, **result.exports}.items():
        sizes = (facts.bytes / 1e6, facts.p50_ms, facts.p95_ms, facts.p50_ms_batch8, facts.p95_ms_batch8)
        export = result.exports.get(variant)
        parity = (f"{export.agreement:.2%}", f"{export.max_abs_diff:.2g}") if export else ("", "")
        rows.append((variant_label(variant, result), *map(amount, sizes), *parity))
    return Table("Size and latency; agreement of predictions with PyTorch", header, rows)


def data_table(result: RunResult) -> Table:
    """Rows of each split, and those that were left out."""
    left_out = [result.data.duplicates_removed, result.data.skipped]
    header = ["split", "rows", "duplicates of other splits removed", "unreadable rows skipped"]
    if result.data.dropped:
        left_out.append({"train": sum(result.data.dropped.values())})
        header.append("dropped by data.drop")
    rows = [
        (split, f"{count:,}", *(f"{counts.get(split, 0):,}" for counts in left_out))
        for split, count in result.data.rows.items()
    ]
    return Table("Data", tuple(header), rows)


def cost_table(result: RunResult) -> Table:
    """Time of each stage and of the whole run, and its energy if it was estimated."""
    seconds = {**result.seconds, WHOLE_RUN: sum(result.seconds.values())}
    if not result.energy:
        return Table("Time of each stage", ("stage", "seconds"), [(stage, amount(s)) for stage, s in seconds.items()])
    energy = {**result.energy, WHOLE_RUN: sum(result.energy.values())}
    rows = [(stage, amount(s), amount(energy.get(stage, 0.0))) for stage, s in seconds.items()]
    return Table("Time and energy of each stage", ("stage", "seconds", "Wh"), rows)
