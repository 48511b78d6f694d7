"""Everything that can be wrong, found before any weights are read: a recipe becomes a plan."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from hftransfer.core import plugins
from hftransfer.core.arrow import release
from hftransfer.core.console import silence_transformers
from hftransfer.core.errors import RecipeError
from hftransfer.core.results import RunResult
from hftransfer.core.variants import FROZEN_BASELINES
from hftransfer.data.augmentation import operations
from hftransfer.data.corruptions import check_corruptions
from hftransfer.data.load import Rows
from hftransfer.data.mixup import mixup_operations
from hftransfer.evaluation.metric import check_metric, check_metrics
from hftransfer.hub.upload import check_write_access
from hftransfer.models.checkpoint import (
    Checkpoint,
    ResolvedCheckpoint,
    empty_model,
    find_checkpoint,
    resolve_checkpoint,
)
from hftransfer.models.frozen_features import named_pooling
from hftransfer.models.layers import parameters
from hftransfer.recipe.schema import Data, Recipe
from hftransfer.runner.auxiliary import resolve_auxiliary
from hftransfer.runner.data_warnings import data_warnings
from hftransfer.runner.description import describe
from hftransfer.runner.export_check import check_export
from hftransfer.runner.forgetting import SourceTask, source_task
from hftransfer.runner.rows import read_rows, rows_for_steps
from hftransfer.runner.specs import TrainingSpec, baseline_specs, tuned_spec
from hftransfer.runner.streaming import check_streaming
from hftransfer.tasks import Task
from hftransfer.training.arguments import DEFAULTS, training_arguments


@dataclass(frozen=True, repr=False)
class Plan:
    """A recipe whose checkpoint, rows, metrics and arguments are known to be there."""

    recipe: Recipe
    """With the commits of the Hub and the inferred fields of the task filled in."""
    rows: Rows
    origin: ResolvedCheckpoint
    metrics: list[str]
    parameters: dict[str, int]
    """`all` of the model, and those that are `trainable`."""
    warnings: list[str]
    source: SourceTask | None = None
    """The rows of `evaluation.source_task`."""
    auxiliary: dict[str, Plan] = field(default_factory=dict)
    """Name -> the plan of a task that is trained on the same encoder."""

    def __repr__(self) -> str:
        """What would run, in a few lines, for `print` and notebooks."""
        return describe(self)

    @property
    def task(self) -> Task:
        """The task with what the rows settle."""
        return self.rows.task

    @property
    def baselines(self) -> list[str]:
        """Names of what the tuned model is compared with."""
        return self.recipe.evaluation.baselines or []

    @property
    def tuned(self) -> TrainingSpec:
        """The recipe's own training, with the plans of its auxiliary tasks."""
        return _with_auxiliary(tuned_spec(self.recipe), self.auxiliary)

    def __str__(self) -> str:
        """What would run, in a few lines."""
        return describe(self)


def check(recipe: Recipe, *, decode: bool = True, sample: bool = False) -> Plan:
    """Make sure of checkpoint, rows, labels, metrics, training arguments and packages.

    Without `decode`, images that are not whole are left to `encode` to find. With `sample`, `data.check_rows` are read.

    Raises:
        HFTransferError: in a sentence, the first thing that is wrong.
    """
    specs = [*baseline_specs(recipe), tuned_spec(recipe)]
    _check_installed(recipe, specs)
    if recipe.hub is not None:
        check_write_access(recipe.hub.repo)
    task = recipe.task
    recipe, start = _pin_revisions(recipe)
    _check_adapter(recipe)
    check_metrics(recipe.evaluation.metrics)
    silence_transformers()
    if recipe.training:
        _check_training(specs, recipe.seed)
    check_streaming(task, recipe, specs)
    rows = read_rows(task, recipe.data, recipe.seed, recipe.evaluation.left_out, decode=decode, sample=sample)
    if not recipe.training:
        # Whether a training uses the Trainer, which takes seconds to import, the rows tell.
        _check_training([spec for spec in specs if spec.uses_trainer(rows.task)], recipe.seed)
    if not rows.sampled:
        _check_batches(specs, len(rows.splits["train"]))
        rows = rows_for_steps(rows, specs, recipe.seed)
    origin = resolve_checkpoint(rows.task, rows.splits["train"], start, recipe.model.config, recipe.model.processor)
    task = rows.task.with_processor(origin.processor, origin.config).with_pooling(
        partial(named_pooling, origin.weights)
    )
    rows = replace(rows, task=task)
    recipe = _with_inferred(recipe, rows)
    recipe = _with_baselines(recipe, rows, origin)
    metrics = _check_evaluation(rows, recipe)
    if recipe.evaluation.out_of_domain and rows.task.row_target is None:
        raise RecipeError("evaluation.out_of_domain: it is for tasks whose rows have classes or a number each")
    _check_changes(rows.task, recipe, specs)
    warnings = _row_warnings(recipe.data, rows, origin)
    release(*rows.labelled.values())
    auxiliary = resolve_auxiliary(recipe.strategy, partial(check, sample=sample))
    specs[-1] = _with_auxiliary(specs[-1], auxiliary)
    counts = [_count_parameters(rows.task, origin, spec) for spec in specs]
    if recipe.export is not None:
        check_export(rows.task, origin, recipe.export, metrics, rows.splits["train"])
    source, source_data = None, recipe.evaluation.source_task
    if source_data is not None:
        source = source_task(read_rows(task, source_data, _source_seed(recipe), sample=sample), origin)
    return Plan(recipe, rows, origin, metrics, counts[-1], warnings, source, auxiliary)


def _row_warnings(data: Data, rows: Rows, origin: ResolvedCheckpoint) -> list[str]:
    """What is odd in the rows, by themselves and with the checkpoint."""
    warnings = rows.warnings + data_warnings(rows, data.shots) + rows.task.check(rows.labelled, origin.config)
    return warnings + ([] if data.source.fixed_layout else rows.task.layout_questions(rows.splits["train"]))


def _check_installed(recipe: Recipe, specs: list[TrainingSpec]) -> None:
    exporters = [plugins.load("exporters", recipe.export.format)()] if recipe.export else []
    sections = [recipe.data, recipe.evaluation.source_task]
    sources = [data.source for data in sections if data is not None]
    for plugin in (recipe.task, *sources, *exporters, *(spec.strategy for spec in specs)):
        plugin.check_installed()


def _check_adapter(recipe: Recipe) -> None:
    """Refuse, before the training, an adapter that could not be pushed alone."""
    if recipe.hub is None or not recipe.hub.adapter:
        return
    if not recipe.strategy.makes_adapter:
        raise RecipeError(f"hub.adapter: strategy '{recipe.strategy.name}' makes no adapter; lora and peft do")
    if recipe.model.revision is None or recipe.model.config:
        raise RecipeError("hub.adapter: an adapter alone needs its checkpoint on the Hub, as it is there (model.id)")


def _check_training(specs: list[TrainingSpec], seed: int) -> None:
    for spec in specs:
        training_arguments(spec.training, Path("unused"), seed, by_length=False)


def _check_batches(specs: list[TrainingSpec], rows: int) -> None:
    for spec in specs:
        size = spec.training.get("per_device_train_batch_size", DEFAULTS["per_device_train_batch_size"])
        if spec.training.get("dataloader_drop_last") and size > rows:
            raise RecipeError(
                f"training.dataloader_drop_last: it leaves out the only batch, of {rows} training rows; make "
                f"per_device_train_batch_size smaller, which is {size}"
            )


def _with_inferred(recipe: Recipe, rows: Rows) -> Recipe:
    """The recipe with the fields of the task and the sizes of the splits that the rows settle."""
    splits = recipe.data.splits.model_copy(update=rows.sizes)
    return recipe.model_copy(update={"task": rows.task, "data": recipe.data.model_copy(update={"splits": splits})})


def _with_baselines(recipe: Recipe, rows: Rows, origin: ResolvedCheckpoint) -> Recipe:
    """The recipe with its baselines, none of which the task or the checkpoint cannot have."""
    names = recipe.evaluation.baselines
    if names is None:
        probes = rows.task.row_target is not None and origin.weights is not None
        majority = type(rows.task).baseline is not Task.baseline
        names = [*["majority"] * majority, *rows.task.own_baselines]
        names += ["probe"] * (probes and recipe.strategy.name != "linear_probe")
        return recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update={"baselines": names})})
    if "majority" in names:
        rows.task.baseline(rows.task.references(rows.splits["train"]))
    for name in set(FROZEN_BASELINES) & set(names):
        if rows.task.row_target is None:
            raise RecipeError(f"evaluation.baselines: '{name}' is for tasks whose rows have classes or a number each")
        if origin.weights is None:
            raise RecipeError(f"evaluation.baselines: '{name}' reads a pretrained checkpoint, and the recipe has none")
    return recipe


def _check_evaluation(rows: Rows, recipe: Recipe) -> list[str]:
    """The metrics of the run, each of which can score the validation and test rows."""
    metrics = list(recipe.evaluation.metrics or rows.task.default_metrics())
    for name in metrics:
        check_metric(name, rows.task, {split: rows.splits[split] for split in rows.task.scored_splits})
    return metrics


def _with_auxiliary(spec: TrainingSpec, plans: dict[str, Plan]) -> TrainingSpec:
    from hftransfer.runner.auxiliary import auxiliary_tasks

    return replace(spec, strategy=spec.strategy.with_auxiliary(auxiliary_tasks(plans))) if plans else spec


def _source_seed(recipe: Recipe) -> int:
    """By which the source's rows were split: that of the earlier run, where the checkpoint is one."""
    record = Path(recipe.model.id or "") / "result.json"
    return RunResult.load(record).recipe["seed"] if record.is_file() else recipe.seed


def _check_changes(task: Task, recipe: Recipe, specs: list[TrainingSpec]) -> None:
    """Refuse changes of rows that the task does not have, and losses that would undo each other."""
    check_corruptions(task, recipe.evaluation.corruptions)
    operations(task, recipe.data.augment)
    if recipe.data.augment != "none" and getattr(recipe.strategy, "cache_features", False):
        raise RecipeError(
            f"data.augment: strategy {recipe.strategy.name} computes the features of each row once; leave it out, "
            "or set strategy.cache_features to false"
        )
    mixes = mixup_operations(task, recipe.data.augment)
    for spec in specs:
        _refuse_two_losses(task, spec, mixes)


def _refuse_two_losses(task: Task, spec: TrainingSpec, mixes: list[str]) -> None:
    """Trainer takes the labels away from the model to smooth them, which undoes every loss that reads them."""
    losses = {
        "task.class_weights or focal_gamma": task.replaces_loss,
        f"strategy {spec.strategy.name}": any(step.replaces_loss for step, _ in spec.strategy.steps()),
    }
    smoothing = spec.training.get("label_smoothing_factor")
    if smoothing and not task.has_class_targets:
        raise RecipeError(f"training.label_smoothing_factor: '{task.name}' has no rows or words of one class each here")
    mix = f"data.augment {mixes[0]}" if mixes else None
    name = next((name for name, replaced in losses.items() if replaced), mix)
    if name and smoothing:
        raise RecipeError(f"training.label_smoothing_factor: it would undo the loss of {name}; leave out one of them")
    if mixes and any(losses.values()):
        raise RecipeError(f"data.augment: {mixes[0]} would undo the loss of {name}; leave out one of them")


def _pin_revisions(recipe: Recipe) -> tuple[Recipe, Checkpoint | None]:
    """The recipe with branches and tags of the Hub replaced by the commits that they point to, and its checkpoint."""
    model, start = recipe.model, None
    if model.id is not None:
        start = find_checkpoint(model.id, model.revision, model.trust_remote_code)
        model = model.model_copy(update={"revision": start.revision})
    evaluation = recipe.evaluation
    if evaluation.source_task is not None:
        evaluation = evaluation.model_copy(update={"source_task": _pin_source(evaluation.source_task)})
    changed = {"model": model, "data": _pin_source(recipe.data), "evaluation": evaluation}
    return recipe.model_copy(update=changed), start


def _pin_source(data: Data) -> Data:
    pinned = data.model_copy(update={"source": data.source.pin_revision()})
    if data.items is None:
        return pinned
    items = data.items.model_copy(update={"source": data.items.source.pin_revision()})
    return pinned.model_copy(update={"items": items})


def _count_parameters(task: Task, origin: ResolvedCheckpoint, spec: TrainingSpec) -> dict[str, int]:
    """Of the model that ships, and the most that train at a time.

    Raises:
        RecipeError, ModelError: the strategy cannot adapt such a model.
    """
    model, strategy = empty_model(task, origin), spec.strategy
    for step, _ in strategy.steps():
        if step.name in task.refuses:
            raise RecipeError(f"strategy {step.name} cannot train '{task.name}': {task.refuses[step.name]}")
    strategy.check(task, model)
    wanted = spec.training.get("gradient_checkpointing") or spec.training.get("activation_checkpointing")
    if wanted and not model.supports_gradient_checkpointing:
        raise RecipeError(f"training.gradient_checkpointing: a {type(model).__name__} has none; leave it out")
    sizes, trainable = [], []
    for step, _ in strategy.steps():
        before, _ = parameters(model)
        prepared = step.prepare(model.requires_grad_(True))
        after, trains = parameters(prepared)
        sizes.append(min(before, after))
        trainable.append(trains)
        # The next step finds what this one has made smaller, and nothing that it has wrapped.
        model = prepared if type(prepared) is type(model) else empty_model(task, origin)
    return {"all": min(sizes), "trainable": max(trainable)}
