"""What a run's record says in tables and short words; terminal, report and card share them."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import yaml

from hftransfer.core.results import RunResult, Score
from hftransfer.metrics import lower_is_better, of_one_class

_ORDER = ("majority", "scratch", "linear_probe", "pretrained", "tuned", "onnx", "onnx-int8")
# Metrics beside each other in a terminal.
_COLUMNS = 8
_PATH = re.compile(r"file:|~[\w.-]*[\\/]|[A-Za-z]:[\\/]|[\\/]")
_FOLDERS = re.compile(r"(?<![\w:/.<])(?:[A-Za-z]:|~[\w.-]*)?[\\/][^\s'\"]*[\\/]")


@dataclass(frozen=True)
class Table:
    """Cells of text under a head; the first cell of a row names the row."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def text(self) -> str:
        """Aligned columns."""
        lines = (self.head, *self.rows)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

    def markdown(self) -> str:
        """A table of GitHub's Markdown."""
        lines = (self.head, ("---",) * len(self.head), *self.rows)
        return "\n".join(f"| {' | '.join(map(in_markdown, line))} |" for line in lines)


def in_markdown(text: str) -> str:
    """Text of the data or the recipe, unable to break a Markdown table or the page around it."""
    return " ".join(escape(text, quote=False).split()).replace("|", "\\|")


def number(value: float) -> str:
    """A score: three decimals, but three digits of a small value and thousands marked in a large one."""
    if abs(value) >= 100:
        return f"{value:,.1f}"
    # What rounding leaves of a difference is none, and has no sign.
    value = 0.0 if abs(value) < 1e-12 else value
    return f"{value:.3f}" if abs(value) >= 0.01 or value == 0 else f"{value:.3g}"


def amount(value: float) -> str:
    """Megabytes, milliseconds or seconds, three digits or more."""
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def interval(score: Score) -> str:
    """A score with its interval."""
    return f"{number(score.value)} [{number(score.low)}, {number(score.high)}]"


def directed(metric: str, result: RunResult) -> str:
    """A metric's name, with its direction where that is not the usual one, and the class that alone it is of."""
    positive = result.recipe["task"].get("positive")
    if positive is not None and of_one_class(metric):
        return f"{metric} of '{positive}'"
    return f"{metric} (lower is better)" if lower_is_better(metric) else metric


def named(result: RunResult, variant: str) -> str:
    """A variant's name, with its rejection."""
    return f"{variant} (rejected)" if variant in result.rejected() else variant


def headlines(result: RunResult) -> dict[str, Score]:
    """Variant -> headline score on the test split: baselines first, then the tuned model, then its exports."""
    scores = result.scores.get("test", {})
    return {name: scores[name][result.headline] for name in _ordered(scores) if result.headline in scores[name]}


def gain_table(result: RunResult) -> Table:
    """How much better the tuned model is than what it is held against, and whether that is sure."""
    rows = []
    for variant in _ordered(result.transfer_gain):
        gain = result.transfer_gain[variant]
        sure = "yes" if gain.low > 0 else "NO, it is worse" if gain.high < 0 else "no, the interval holds 0"
        rows.append((variant, interval(gain), sure))
    title = f"Gain of the tuned model on test by {result.headline}, with the interval of a paired bootstrap"
    return Table(title, ("against", "gain", "better for sure"), rows)


def head_table(result: RunResult) -> Table:
    """The further heads of a run of several tasks."""
    rows = [(name, it.task, it.headline, interval(it.scores[it.headline])) for name, it in result.task_heads.items()]
    return Table("Further heads of the same encoder, on their own test rows", ("head", "task", "metric", "score"), rows)


def source_table(result: RunResult) -> Table:
    """What the training took from the task that the checkpoint came from."""
    rows = [(name, interval(score)) for name, score in result.source_task_scores.items()]
    return Table("Accuracy on the source task, with the checkpoint's own head", ("the encoder", "accuracy"), rows)


def group_table(result: RunResult) -> Table:
    """The headline of the tuned model and its exports by group of the test rows, the worst group first."""
    variants = [name for name in _ordered(result.scores["test"]) if name == "tuned" or name in result.exports]
    told = {group: [of.get(name) for name in variants] for group, of in result.groups.items()}
    sign = -1 if lower_is_better(result.headline) else 1
    first = {group: scores[0] for group, scores in told.items() if scores[0] is not None}
    rows = [
        (group, f"{score.count:,}", *(interval(it) if it else "" for it in told[group]))
        for group, score in sorted(first.items(), key=lambda item: sign * item[1].value)
    ]
    return Table(f"{directed(result.headline, result)} on test by group", ("group", "rows", *variants), rows)


def corruption_table(result: RunResult) -> Table:
    """The headline of every variant on the test rows as they are, and under each corruption; no rows without a corruption."""
    splits = ["test", *(split for split in result.scores if split.startswith("test-"))]
    variants = [name for name in _ordered(result.scores["test"]) if all(name in result.scores[s] for s in splits)]
    scores = {name: [interval(result.scores[split][name][result.headline]) for split in splits] for name in variants}
    rows = [(name, *cells) for name, cells in scores.items() if len(splits) > 1]
    heads = ("as it is", *(split.partition("-")[2] for split in splits[1:]))
    return Table(f"{directed(result.headline, result)} on the test split under corruptions", ("variant", *heads), rows)


def _ordered(variants: Iterable[str]) -> list[str]:
    return sorted(variants, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))


def score_table(result: RunResult, split: str = "test", *, runtime: bool = False) -> Table:
    """Variants by metrics; with `runtime`, also size, latency and agreement where they were measured."""
    scores, sizes = result.scores.get(split, {}), runtime_table(result)
    metrics = sorted({m: None for of in scores.values() for m in of}, key=lambda metric: metric != result.headline)
    if runtime and len(metrics) > _COLUMNS:
        # Those of each class or tag are for a page.
        metrics = [metric for metric in metrics if "." not in metric]
    columns = () if not runtime else (1, 2, 6) if result.exports else (1, 2)
    cells = {row[0]: tuple(row[i] for i in columns) for row in sizes.rows}
    rows = []
    for variant in _ordered(scores):
        values = (interval(scores[variant][m]) if m in scores[variant] else "" for m in metrics)
        name = named(result, variant)
        rows.append((name, *values, *cells.get(name, ("",) * len(columns))))
    count = max((score.count for of in scores.values() for score in of.values()), default=0)
    level = f"{100 * result.recipe['evaluation']['confidence']:g} %"
    title = f"Scores on the {count:,} rows of the {split} split, with bootstrap intervals at {level}"
    return Table(title, ("variant", *(directed(m, result) for m in metrics), *(sizes.head[i] for i in columns)), rows)


def runtime_table(result: RunResult) -> Table:
    """Size and speed of the tuned model in PyTorch and of every exported variant, and how near they are."""
    head = (
        "variant",
        "MB",
        "p50 ms",
        "p95 ms",
        "p50 ms, batch 8",
        "p95 ms, batch 8",
        "agreement",
        "largest difference",
    )
    rows = []
    for variant, facts in {"tuned": result.pytorch, **result.exports}.items():
        sizes = (facts.bytes / 1e6, facts.p50_ms, facts.p95_ms, facts.p50_ms_batch8, facts.p95_ms_batch8)
        export = result.exports.get(variant)
        near = (f"{export.agreement:.2%}", f"{export.max_abs_diff:.2g}") if export else ("", "")
        rows.append((named(result, variant), *map(amount, sizes), *near))
    return Table("Size and speed", head, rows)


def step_table(result: RunResult) -> Table:
    """What each step of `compress` costs and gains, and what ships behind them."""
    facts = {**result.compression_steps, "tuned": result.pytorch, **result.exports} if result.compression_steps else {}
    rows = []
    for name, it in facts.items():
        score = result.scores["test"][name][result.headline]
        rows.append((named(result, name), interval(score), amount(it.bytes / 1e6), amount(it.p50_ms)))
    return Table(
        "Compression, step by step", ("variant", f"{directed(result.headline, result)} on test", "MB", "p50 ms"), rows
    )


def tried_table(result: RunResult) -> Table:
    """What the search for an artefact has tried, in its order."""
    rows = []
    for name, it in result.search.items():
        numbers = ("", "", "", "")
        if it.score is not None and it.drop is not None:
            numbers = (number(it.score), f"{it.drop:.4f}", amount(it.p50_ms), amount(it.bytes / 1e6))
        rows.append((name, *numbers, str(it.excluded_nodes or ""), it.reason or "ships"))
    head = ("scheme", "score", "drop", "p50 ms", "MB", "nodes spared", "outcome")
    return Table("What the search for a smaller artefact tried, on the validation rows", head, rows)


def data_table(result: RunResult) -> Table:
    """Rows of each split, and those that were left out."""
    out = (result.data.duplicates_removed, result.data.skipped)
    rows = [(s, f"{count:,}", *(f"{of.get(s, 0):,}" for of in out)) for s, count in result.data.rows.items()]
    return Table("Data", ("split", "rows used", "duplicates of another split removed", "unreadable, skipped"), rows)


def cost_table(result: RunResult) -> Table:
    """Time and energy of each stage."""
    if not result.energy:
        return Table("Cost", ("stage", "seconds"), [(stage, amount(it)) for stage, it in result.seconds.items()])
    rows = [(stage, amount(it), amount(result.energy.get(stage, 0.0))) for stage, it in result.seconds.items()]
    return Table("Cost", ("stage", "seconds", "Wh"), rows)


def checkpoint(result: RunResult) -> str:
    """The checkpoint as another machine knows it: Hub id, sample, or the last component of a local directory."""
    model = result.recipe["model"]
    return _place(model["id"], result) if model["id"] else f"new {model['config']['model_type']}"


def recipe_yaml(result: RunResult) -> str:
    """The resolved recipe; local checkpoints and absolute paths are cut to their last component."""
    recipe = result.model_dump(mode="json", include={"recipe"})["recipe"]
    places = {key: _place(recipe["model"][key], result) for key in ("id", "processor") if recipe["model"].get(key)}
    cut = without_folders(recipe | {"model": recipe["model"] | places})
    return str(yaml.safe_dump(cut, sort_keys=False, allow_unicode=True))


def portable_record(result: RunResult) -> str:
    """The record as JSON, likewise; rows that are nowhere public are left out."""
    record = result.model_dump(mode="json", by_alias=True)
    record["recipe"] = yaml.safe_load(recipe_yaml(result))
    if not public(result):
        record["worst"], record["examples"] = [], []
    record["warnings"] = [_FOLDERS.sub("", line) for line in result.warnings]
    for facts, key in [(record["search"], "reason"), (record["exports"], "rejected")]:
        for it in facts.values():
            it[key] = it[key] and _FOLDERS.sub("", it[key])
    return json.dumps(record, indent=1) + "\n"


def public(result: RunResult) -> bool:
    """Whether everybody may read the rows: they come from a sample, or from a data set that the Hub shows to all."""
    source = result.recipe["data"]["source"]
    return source["name"] == "sample" or result.hub_cards.get(source.get("id"), {}).get("private") is False


def _place(text: str, result: RunResult) -> str:
    return text if text in result.revisions or text.startswith("sample:") else _last(text)


def _last(path: str) -> str:
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1] or path


def without_folders(value: Any) -> Any:
    """The value with every path in it cut to its last component: a card is read elsewhere."""
    if isinstance(value, dict):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_folders(item) for item in value]
    return _last(value) if isinstance(value, str) and _PATH.match(value) else value


def portable(text: str) -> str:
    """A sentence without the folders of this machine, for Markdown."""
    return in_markdown(_FOLDERS.sub("", text))
