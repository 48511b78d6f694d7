"""From the outputs of all variants to what a run leaves: result.json, predictions, model card and report."""

from __future__ import annotations

import csv
import io
import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core import machine
from hftransfer.core.files import flatten_outputs, save_arrays, sha256, write_text
from hftransfer.core.results import Example, RunResult
from hftransfer.core.yaml_writer import dump_yaml
from hftransfer.evaluation.scoring import Answers, confusion_matrix
from hftransfer.hub.client import hub_cards
from hftransfer.hub.upload import run_id_of
from hftransfer.reporting import model_card, report
from hftransfer.reporting.tables import escape_cell
from hftransfer.runner.calibration import calibration
from hftransfer.runner.context import RunContext
from hftransfer.runner.data_facts import data_facts
from hftransfer.runner.fitting import fit_warnings, score_thresholds
from hftransfer.runner.provenance import hub_revisions, sample_facts
from hftransfer.runner.scores import score_abstaining, score_variants, score_warnings
from hftransfer.runner.stages import HEAD_INPUT, NEW_WEIGHTS, NOTE, History

if TYPE_CHECKING:
    from hftransfer.runner.export import Exported
    from hftransfer.tasks import Outputs, Predictions

# Rows in the record's list of the worst errors.
_WORST = 12
FITTED = "task.json"
"""The file, in the folder of the model, of what the task has fitted to the model's outputs."""
THRESHOLDS = "thresholds"
"""The field of a model's config that holds its thresholds, label -> probability above which it is predicted."""


ERROR = "error"
"""The last column of `predictions/SPLIT.csv`: how wrong the tuned model is on the row."""


def collect(
    context: RunContext, recipe: dict[str, Any], histories: dict[str, History], exported: Exported
) -> RunResult:
    """The record of a run; `recipe` has every default written out."""
    plan, run_folder = context.plan, context.run_folder
    scores: dict[str, Any] = score_variants(context)
    answers, references = context.answers("test", "tuned"), context.references("test")
    costs = run_folder.costs()
    revisions = hub_revisions(recipe)
    return RunResult(
        schema=1,
        name=run_folder.out.name,
        id=run_folder.record("id", lambda: _identity(run_folder.out)),
        task=plan.task.name,
        headline=plan.metrics[0],
        recipe=recipe,
        **scores,
        calibration=calibration(context),
        thresholds=score_thresholds(context),
        risk_coverage=score_abstaining(context),
        fitted=context.fitted.get("tuned", {}),
        auto_model=plan.task.model_class(plan.origin.config),
        parameters=plan.parameters,
        seconds={stage: round(value, 3) for stage, value in costs["seconds"].items()},
        energy={stage: round(value, 3) for stage, value in costs["energy"].items()},
        peak_memory_bytes=machine.peak_memory(),
        exports=exported.exports,
        search=exported.search,
        pytorch=exported.pytorch,
        data=data_facts(context),
        new_weights=run_folder.record(NEW_WEIGHTS, list),
        revisions=revisions,
        versions=machine.versions(),
        hardware=machine.hardware(),
        strategy_note=_note(context),
        head_input=run_folder.record(f"tuned/{HEAD_INPUT}", lambda: None),
        history=histories,
        confusion=confusion_matrix(answers.predictions, references, plan.task.labels),
        worst=_worst_errors(context, answers, references),
        runtime_snippet=context.task_of("tuned").runtime_snippet() if plan.recipe.export else "",
        examples=_examples(context),
        hub_cards=hub_cards(revisions),
        samples=sample_facts(recipe),
        warnings=[
            *plan.warnings,
            *_frozen_new_weights(context),
            *fit_warnings(context),
            *score_warnings(context, scores["scores"]["test"], scores["transfer_gain"], scores["groups"]),
        ],
    )


def _note(context: RunContext) -> str:
    """What the steps of the strategy say of the tuned model."""
    steps = len(context.plan.tuned.strategy.steps())
    names = [*(f"tuned-{number}" for number in range(1, steps)), "tuned"]
    return " ".join(filter(None, (context.run_folder.record(f"{name}/{NOTE}", str) for name in names)))


def _identity(out: Path) -> str:
    """The id of the run that this one replaces, whose repository it may push to; else a new one."""
    replaced = out / "result.json"
    previous = run_id_of(replaced.read_text(encoding="utf-8")) if replaced.is_file() else None
    return previous or uuid.uuid4().hex


def _worst_errors(context: RunContext, answers: Answers, references: Predictions) -> list[Example]:
    """The test rows that the tuned model gets wrong, the largest errors first, of equal ones the most confident."""
    task, test = context.task_of("tuned"), context.plan.rows.splits["test"]
    errors = context.errors("test")
    confidence = np.zeros(len(errors))
    if answers.probabilities is not None:
        confidence = answers.probabilities.max(axis=1)
    order = np.lexsort((-confidence, -errors)).tolist()

    def outputs(row: int) -> Outputs:
        arrays = {} if "row" in context.side("test") else context.outputs["test"]["tuned"]
        return {name: array[row] for name, array in arrays.items()}

    return [
        Example(
            row=row,
            reference=task.describe(references[row]),
            prediction=task.describe(answers.predictions[row]),
            error=float(errors[row]),
            rendered=task.render_scored(test[row], answers.predictions[row], references[row], outputs(row)),
        )
        for row in [row for row in order if errors[row] > 0][:_WORST]
    ]


def _examples(context: RunContext) -> list[str]:
    """The first test inputs that are short texts."""
    references, test = context.references("test"), context.plan.rows.splits["test"]
    rendered = [
        context.plan.task.render(row, references[i], references[i])
        for i, row in enumerate(test.select(range(min(3, len(references)))))
    ]
    texts = [shown.get("text") for shown in rendered]
    return [text[:200] for text in texts if isinstance(text, str)]


def _frozen_new_weights(context: RunContext) -> list[str]:
    """A warning where the checkpoint lacks weights, and something of the model is frozen."""
    new, counts = context.run_folder.record(NEW_WEIGHTS, list), context.plan.parameters
    if not new or counts["trainable"] >= counts["all"]:
        return []
    strategy = context.plan.recipe.strategy.name
    return [
        f"the checkpoint has no weights for {', '.join(new[:4])}{' and others' if new[4:] else ''}: they were "
        f"initialized at random, and where strategy {strategy} freezes them they still are random (an adapter trains "
        "what strategy.config.modules_to_save names)"
    ]


def write_results(result: RunResult, context: RunContext) -> RunResult:
    """Write everything that a run leaves, result.json last, and give the run its name; in the main process alone.

    Returns:
        The record with the hashes of the weights, as it was written.
    """
    run_folder = context.run_folder
    folder = run_folder.folder
    run_folder.unseal()
    (folder / "predictions").mkdir(exist_ok=True)
    for split, outputs in context.outputs.items():
        save_arrays(folder / "predictions" / f"{split}.npz", flatten_outputs(outputs))
        write_text(folder / "predictions" / f"{split}.csv", _prediction_table(context, split))
    write_text(folder / "recipe.yaml", dump_yaml(result.recipe))
    if result.fitted:
        write_text(folder / "model" / FITTED, json.dumps(result.fitted, indent=1) + "\n")
    for name, text in context.task_of("tuned").companion_files().items():
        (folder / "model" / name).parent.mkdir(exist_ok=True)
        write_text(folder / "model" / name, text)
    _write_thresholds(result, folder, context.task_of("tuned").config_fields().get(THRESHOLDS))
    write_text(folder / "model" / "README.md", model_card.card(result))
    write_text(folder / "report.html", report.html([result]))
    written = result.model_copy(update={"weights": _hash_weights(folder, result)})
    written.save(folder / "result.json")
    run_folder.complete()
    return written


def _hash_weights(folder: Path, result: RunResult) -> dict[str, str]:
    """File of weights -> SHA-256, of the model, its adapter and the exports that are not rejected."""
    files = [file for name in ("model", "adapter") for file in sorted((folder / name).glob("*.safetensors"))]
    accepted = [name for name in result.exports if name not in result.rejected()]
    files += [folder / variant / name for variant in accepted for name in result.exports[variant].files]
    return {file.relative_to(folder).as_posix(): sha256(file) for file in files}


def _write_thresholds(result: RunResult, folder: Path, thresholds: dict[str, float] | None) -> None:
    """Add the thresholds to the config of the model and of its exports, where there are some."""
    accepted = [name for name in result.exports if name not in result.rejected()]
    for file in [folder / name / "config.json" for name in ("model", *accepted)] if thresholds else []:
        config = json.loads(file.read_text(encoding="utf-8"))
        write_text(file, json.dumps(config | {THRESHOLDS: thresholds}, indent=2, sort_keys=True) + "\n")


def _prediction_table(context: RunContext, split: str) -> str:
    """CSV: row, reference, the prediction of each variant in words, and the error of the tuned model."""
    references, variants = context.references(split), list(context.outputs[split])
    errors = context.errors(split)
    columns = [references, *(context.answers(split, variant).predictions for variant in variants)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "reference", *variants, ERROR])
    for row in range(len(references)):
        words = [escape_cell(context.plan.task.describe(column[row])) for column in columns]
        writer.writerow([row, *words, f"{errors[row]:.6g}"])
    return text.getvalue()
