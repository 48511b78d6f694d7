"""From the outputs of all variants to what a run leaves: result.json, predictions, card and report."""

import csv
import io
import uuid
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from hftransfer.core import machine
from hftransfer.core.features import class_names
from hftransfer.core.results import Example, RunResult, Score
from hftransfer.core.run_folder import dump_yaml, flatten_outputs, save_arrays, write_text
from hftransfer.data.splits import GROUP
from hftransfer.evaluation.scoring import Scorer, calibration_error, confusion
from hftransfer.hub import client
from hftransfer.metrics import lower_is_better
from hftransfer.models.checkpoint import find_checkpoint
from hftransfer.reporting import model_card, report
from hftransfer.reporting.tables import interval
from hftransfer.runner.export import Exported
from hftransfer.runner.plan import Plan, compression_variants, is_export
from hftransfer.runner.stages import NEW_WEIGHTS, RunContext, scorer
from hftransfer.tasks import Outputs

_WORST, _GROUPS = 12, 100


def score_variants(plan: Plan, outputs: dict[str, dict[str, Outputs]]) -> dict[str, Any]:
    """The fields `scores`, `transfer_gain`, `calibration_error` and `groups` of a result."""
    made = scorer(plan)
    found: dict[str, dict[str, dict[str, Score]]] = {}
    values: dict[str, dict[str, np.ndarray]] = {}
    pairs = [(split, variant) for split, variants in outputs.items() for variant in variants]
    for split, variant in tqdm(pairs, desc="bootstrap intervals", unit="variant"):
        references = _references(plan, split)
        resampled = made.evaluate(plan.task, outputs[split][variant], references)
        count = len(references)
        found.setdefault(split, {})[variant] = {name: made.interval(it, count) for name, it in resampled.items()}
        if split == "test":
            values[variant] = resampled
    headline = plan.metrics[0]
    sign = -1 if lower_is_better(headline) else 1
    own = {"tuned", *compression_variants(plan.recipe)}
    others = [name for name in values if name not in own and not is_export(plan.recipe, name)]
    count = len(plan.rows.splits["test"])
    gains = {name: made.interval(sign * (values["tuned"][headline] - values[name][headline]), count) for name in others}
    apart = _calibrated(plan, {name: it for name, it in outputs["test"].items() if name != "majority"})
    groups = _by_group(plan, replace(made, metrics=made.metrics[:1]), outputs["test"])
    return {"scores": found, "transfer_gain": gains, "calibration_error": apart, "groups": groups}


def _calibrated(plan: Plan, outputs: dict[str, Outputs]) -> dict[str, float]:
    """Variant -> calibration error on test, where each row has one class."""
    if not plan.task.one_class:
        return {}
    references = _references(plan, "test")
    probabilities = {name: plan.task.probabilities(it) for name, it in outputs.items()}
    return {name: calibration_error(it, references) for name, it in probabilities.items() if it is not None}


def _by_group(plan: Plan, made: Scorer, outputs: dict[str, Outputs]) -> dict[str, dict[str, Score]]:
    """Group -> variant -> headline score on the test rows of the group; of the hundred largest groups."""
    references = _references(plan, "test")
    found: dict[str, dict[str, Score]] = {}
    for group, own in _largest_groups(plan).items():
        for variant, said in outputs.items():
            own_said = {name: array[own] for name, array in said.items()}
            values = made.evaluate(plan.task, own_said, references[own])[plan.metrics[0]]
            # One row, or rows of one number, have no R squared.
            if np.isfinite(values).sum() > 1 and np.isfinite(values[0]):
                found.setdefault(group, {})[variant] = made.interval(values, int(own.sum()))
    return found


def _largest_groups(plan: Plan) -> dict[str, np.ndarray]:
    """Group of the test rows -> which of them are in it; none where rows are in no group."""
    test = plan.rows.splits["test"]
    if GROUP not in test.column_names:
        return {}
    known = dict(enumerate(class_names(test.features[GROUP]) or []))
    names = np.array([known.get(value, str(value)) for value in test[GROUP][:]])
    return {group: names == group for group, _ in Counter(names.tolist()).most_common(_GROUPS)}


def _unscored(plan: Plan, groups: dict[str, Any]) -> list[str]:
    """A warning of the groups that the headline says nothing of."""
    left = [group for group in _largest_groups(plan) if group not in groups]
    told = f"{', '.join(left[:8])}{', ...' if left[8:] else ''}"
    return [f"{plan.metrics[0]} has no value on the rows of {len(left)} groups of test: {told}"] if left else []


def _references(plan: Plan, split: str) -> np.ndarray:
    """Of a split, or of the test rows under a corruption (`test-noise`)."""
    return plan.task.references(plan.rows.splits[split.partition("-")[0]])


def collect(context: RunContext, recipe: dict[str, Any], histories: dict[str, Any], shipped: Exported) -> RunResult:
    """The record of a run."""
    plan = context.plan
    found = score_variants(plan, context.outputs)
    decided = plan.task.postprocess(context.outputs["test"]["tuned"])
    references = plan.task.references(plan.rows.splits["test"])
    model, source = recipe["model"], recipe["data"]["source"]
    costs = {kind: {stage: round(it, 3) for stage, it in of.items()} for kind, of in context.run_folder.costs().items()}
    revisions = {part["id"]: part["revision"] for part in (model, source) if part.get("id") and part.get("revision")}
    if model["processor"] and (commit := find_checkpoint(model["processor"]).revision):
        revisions[model["processor"]] = commit
    return RunResult(
        schema=1,
        name=context.run_folder.out.name,
        id=context.run_folder.record("id", lambda: _identity(context.run_folder.out)),
        task=plan.task.name,
        headline=plan.metrics[0],
        recipe=recipe,
        **found,
        auto_model=plan.task.model_class(plan.origin.config),
        parameters=plan.parameters,
        seconds=costs["seconds"],
        energy=costs["energy"],
        peak_memory_bytes=machine.peak_memory(),
        exports=shipped.exports,
        search=shipped.tried,
        pytorch=shipped.pytorch,
        data=plan.rows.facts,
        revisions=revisions,
        versions=machine.versions(),
        hardware=machine.hardware(),
        history=histories,
        confusion=confusion(decided, references, plan.task.labels),
        worst=_worst(plan, context.outputs["test"]["tuned"], decided, references),
        runtime_snippet=plan.task.plain() if plan.recipe.export else "",
        examples=_examples(plan),
        hub_cards=client.hub_cards(revisions),
        warnings=plan.warnings
        + _left_random(context)
        + _unscored(plan, found["groups"])
        + _warnings(plan.metrics[0], found["scores"]["test"], found["transfer_gain"]),
    )


def _identity(out: Path) -> str:
    """The id of the run that this one replaces, whose repository it may push to; else a new one."""
    replaced = out / "result.json"
    known = client.owner(replaced.read_text(encoding="utf-8")) if replaced.is_file() else None
    return known or uuid.uuid4().hex


def _worst(plan: Plan, outputs: Outputs, decided: np.ndarray, references: np.ndarray) -> list[Example]:
    """The test rows that the tuned model gets wrong with the greatest loss."""
    losses = plan.task.losses(outputs, references)
    wrong = ~plan.task.same(decided, references, references)
    rows = [row for row in np.argsort(-losses, kind="stable").tolist() if wrong[row]][:_WORST]
    test = plan.rows.splits["test"]
    return [
        Example(
            row=row,
            reference=plan.task.describe(references[row]),
            prediction=plan.task.describe(decided[row]),
            error=float(losses[row]),
            rendered=plan.task.show(test[row], decided[row], references[row]),
        )
        for row in rows
    ]


def _examples(plan: Plan) -> list[str]:
    """The first test inputs that are short texts."""
    references = plan.task.references(plan.rows.splits["test"])
    shown = (
        plan.task.show(row, references[i], references[i])
        for i, row in enumerate(plan.rows.splits["test"].select(range(min(3, len(references)))))
    )
    return [told["text"][:200] for told in shown if "text" in told]


def _left_random(context: RunContext) -> list[str]:
    """A warning where the checkpoint lacks weights, and something of the model is frozen."""
    drawn, counts = context.run_folder.record(NEW_WEIGHTS, list), context.plan.parameters
    if not drawn or counts["trainable"] >= counts["all"]:
        return []
    strategy = context.plan.recipe.strategy.name
    return [
        f"the checkpoint has no weights for {', '.join(drawn[:4])}{' and others' if drawn[4:] else ''}: they began at "
        f"random, and where strategy {strategy} freezes them they are so still (an adapter trains what "
        "strategy.config.modules_to_save names)"
    ]


# What a transfer has to beat; other strategies are other ways of transferring.
_PLAIN = {"majority", "scratch", "pretrained", "linear_probe"}


def _warnings(headline: str, test: dict[str, dict[str, Score]], gains: dict[str, Score]) -> list[str]:
    """A loud line for each variant that does better than the tuned model."""
    plain = "the transfer does not pay: try another learning rate, more epochs, another strategy or checkpoint"
    return [
        f"tuned is worse than {variant} on test: {headline} {test['tuned'][headline].value:.4f} against "
        f"{test[variant][headline].value:.4f} (paired difference {interval(gain)}); "
        f"{plain if variant in _PLAIN else f'strategy {variant} suits these rows better'}"
        for variant, gain in gains.items()
        if gain.value < 0
    ]


def write_results(result: RunResult, context: RunContext) -> None:
    """Write everything that a run leaves, result.json last, and give the run its name."""
    run_folder = context.run_folder
    if not run_folder.state.is_main_process:
        run_folder.state.wait_for_everyone()
        return
    folder = run_folder.folder
    (folder / "predictions").mkdir(exist_ok=True)
    for split, outputs in context.outputs.items():
        save_arrays(folder / "predictions" / f"{split}.npz", flatten_outputs(outputs))
        write_text(folder / "predictions" / f"{split}.csv", _table(context.plan, split, outputs))
    write_text(folder / "recipe.yaml", dump_yaml(result.recipe))
    write_text(folder / "model" / "README.md", model_card.card(result))
    write_text(folder / "report.html", report.html([result]))
    result.save(folder / "result.json")
    run_folder.finish()
    run_folder.state.wait_for_everyone()


def _table(plan: Plan, split: str, outputs: dict[str, Outputs]) -> str:
    """CSV: row, reference, and the prediction of each variant, in words."""
    references = _references(plan, split)
    columns = [references, *(plan.task.postprocess(array) for array in outputs.values())]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "reference", *outputs])
    for row in range(len(references)):
        writer.writerow([row, *(plan.task.describe(column[row]) for column in columns)])
    return text.getvalue()
