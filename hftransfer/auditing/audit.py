"""`hftransfer audit`: the rows of a recipe before any training. Near copies, labels, odd rows, classes, groups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.auditing.audit_files import write_files
from hftransfer.auditing.audited_rows import PARTS, AuditedRows
from hftransfer.auditing.contents import contents_of, sizes_of
from hftransfer.auditing.findings import copy_findings, label_findings, outlier_findings, size_findings
from hftransfer.auditing.kept_features import KeptFeatures, one_pooling
from hftransfer.auditing.label_issues import LabelIssues, find_label_issues
from hftransfer.auditing.near_copies import Pair, clusters, find_pairs
from hftransfer.auditing.odd_rows import odd_sizes, unlike_the_rest
from hftransfer.auditing.problems import count_copies, find_problems
from hftransfer.core import machine, ranks
from hftransfer.core.audit_record import AuditResult
from hftransfer.core.errors import DataError, RecipeError
from hftransfer.core.exhaustion import exhaustion_explained
from hftransfer.core.run_folder import RunFolder
from hftransfer.core.yaml_writer import dump_yaml
from hftransfer.models.checkpoint import ResolvedCheckpoint, find_checkpoint, resolve_checkpoint
from hftransfer.models.frozen_features import Features
from hftransfer.models.probe import rank_poolings
from hftransfer.runner.rows import read_rows
from hftransfer.training.arguments import uses_cpu

if TYPE_CHECKING:
    from hftransfer.recipe.schema import Recipe
    from hftransfer.tasks import Task


@dataclass
class _Audit:
    """What the stages of an audit share."""

    recipe: Recipe
    rows: AuditedRows
    origin: ResolvedCheckpoint
    folder: RunFolder
    features: dict[str, int]
    unchecked: list[str]

    @property
    def task(self) -> Task:
        """With labels and processor."""
        return self.rows.rows.task


def audit(recipe: Recipe, out: Path, *, resume: bool = False, overwrite: bool = False) -> AuditResult:
    """Look for what is wrong with the rows of a recipe; the finished audit lies in `out`.

    All training rows are audited, whatever `data.shots` and `data.sampling` say.

    Raises:
        HFTransferError: in a sentence, a mistake in the recipe, the rows, the checkpoint or the place.
    """
    with exhaustion_explained(out):
        return _audit(recipe, out, resume=resume, overwrite=overwrite)


def _audit(recipe: Recipe, out: Path, *, resume: bool, overwrite: bool) -> AuditResult:
    from accelerate import PartialState

    if ranks.total() > 1:
        raise RecipeError("an audit runs in one process: start it without torchrun or accelerate launch")
    if recipe.data.streaming:
        raise RecipeError("data.streaming: an audit compares rows that are all there; leave it out, or use max_rows")
    whole = {"shots": None, "unlabelled": None, "sampling": "natural"}
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update=whole)})
    folder = RunFolder(out, PartialState(cpu=uses_cpu(recipe.training)))
    if finished := folder.check(recipe.model_dump(), resume=resume, overwrite=overwrite):
        return AuditResult.load(finished)
    recipe.task.check_installed()
    recipe.data.source.check_installed()
    rows, origin = _read(recipe)
    with folder.open(dump_yaml(recipe.model_dump()), overwrite=overwrite):
        _refuse_other_rows(folder, rows)
        state = _Audit(recipe, rows, origin, folder, {"computed": 0, "kept": 0}, [])
        result = _result(state)
        write_files(result, rows, folder)
        return result


def _read(recipe: Recipe) -> tuple[AuditedRows, ResolvedCheckpoint]:
    """All rows, and the checkpoint of the recipe, without its weights."""
    data = recipe.data.model_copy(update={"source": recipe.data.source.pin_revision()})
    rows = read_rows(recipe.task, data, recipe.seed)
    model = recipe.model
    start = None if model.id is None else find_checkpoint(model.id, model.revision, model.trust_remote_code)
    origin = resolve_checkpoint(rows.task, rows.splits["train"], start, model.config, model.processor)
    task = rows.task.with_processor(origin.processor, origin.config)
    return AuditedRows(replace(rows, task=task)), origin


def _refuse_other_rows(folder: RunFolder, rows: AuditedRows) -> None:
    """Raises a DataError where an audit that continues was begun with other rows."""
    fingerprint = rows.rows.facts.fingerprint
    if folder.record("fingerprint", lambda: fingerprint) != fingerprint:
        raise DataError(
            f"the rows are no longer what the audit in '{folder.out}' was begun with: undo the change, or --overwrite "
            "to start again"
        )


def _result(state: _Audit) -> AuditResult:
    """The stages of an audit; what one has found is kept for an audit that continues."""
    rows, folder = state.rows, state.folder
    with folder.timed("features"):
        features = _features(state)
    with folder.timed("near copies"):
        pairs = _pairs(state, features)
    with folder.timed("labels"):
        issues = _label_issues(state, features, pairs)
    with folder.timed("odd rows"):
        sizes = sizes_of(state.task, rows.tables)
        ranges = {name: odd_sizes(values) for name, values in sizes.items()}
        distances = np.zeros(0) if features is None else unlike_the_rest(one_pooling(features)[rows.distinct])
    copies = count_copies(rows, pairs)
    return AuditResult(
        name=folder.out.name,
        task=state.task.name,
        checkpoint=state.recipe.model.id or "" if features is not None else "",
        recipe=state.recipe.model_dump(),
        data=rows.rows.facts,
        findings=[
            *copy_findings(rows, pairs),
            *(label_findings(rows, issues) if issues is not None else []),
            *outlier_findings(rows, distances),
            *size_findings(rows, sizes, ranges),
        ],
        problems=find_problems(rows, copies),
        unchecked=state.unchecked,
        copies=copies,
        mislabelled=None if issues is None else round(issues.share, 4),
        seconds=folder.costs()["seconds"],
        features=state.features,
        hardware=machine.hardware(),
        versions=machine.versions(),
    )


def _features(state: _Audit) -> Features | None:
    """The frozen features of all rows, in their order; None where the task or the recipe has none."""
    task, recipe = state.task, state.recipe
    if task.row_target is None or state.origin.weights is None:
        why = (
            f"rows of '{task.name}' have no class or number each"
            if task.row_target is None
            else "the recipe has no pretrained checkpoint (model.id), whose features tell rows apart"
        )
        state.unchecked.append(f"labels and rows unlike the rest: {why}; near copies are found by their content alone")
        return None
    kept = KeptFeatures(task, state.origin, recipe.model.model_dump())
    size, device = recipe.evaluation.batch_size, state.folder.state.device
    parts = []
    for part, table in zip(PARTS, state.rows.tables, strict=True):
        place = state.folder.work_folder / "encoded" / part
        parts.append(kept.of(table, state.rows.rows.origins[part].contents, place, size, device))
    state.features = {"computed": kept.computed, "kept": len(state.rows.distinct) - kept.computed}
    return {name: np.concatenate([features[name] for features in parts]) for name in parts[0]}


def _pairs(state: _Audit, features: Features | None) -> list[Pair]:
    """The near copies, rows of equal content among them, by their numbers."""
    rows = state.rows

    def find() -> list[tuple[int, int, float]]:
        contents = contents_of(state.task, rows.selected(rows.distinct))
        if contents is None:
            return []
        near = find_pairs(contents, None if features is None else one_pooling(features)[rows.distinct])
        return [(int(rows.distinct[it.first]), int(rows.distinct[it.second]), it.similarity) for it in near]

    found = state.folder.record("near copies", find)
    equal = [Pair(first, second, 1.0) for first, second in rows.copies]
    return equal + [Pair(*pair) for pair in found]


def _label_issues(state: _Audit, features: Features | None, pairs: list[Pair]) -> LabelIssues | None:
    """The suspicious labels; None where rows have no single class, or no features."""
    if features is None:
        return None
    rows, task = state.rows, state.task
    if task.row_target != "class":
        state.unchecked.append("labels: they are checked where each row has one class")
        return None
    classes = np.asarray(rows.references, dtype=int)
    groups = _groups(rows, pairs)
    best = rank_poolings("probe", "class", features, classes, state.recipe.seed)[0] if len(features) > 1 else "mean"
    issues = find_label_issues(features.get(best, one_pooling(features)), classes, groups, state.recipe.seed)
    if issues is None:
        state.unchecked.append("labels: the rows make no two folds with two classes each that keep groups whole")
    return issues


def _groups(rows: AuditedRows, pairs: list[Pair]) -> np.ndarray:
    """Rows that are never on both sides of a fold: near copies, and those of one group."""
    links = list(pairs)
    first: dict[Any, int] = {}
    for number, group in enumerate(rows.groups or []):
        if group is not None and (earlier := first.setdefault(group, number)) != number:
            links.append(Pair(earlier, number, 1.0))
    return clusters(rows.count, links)
