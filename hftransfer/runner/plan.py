"""Everything that can be wrong, found before any weights are read: a recipe becomes a plan."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.core.results import RunResult
from hftransfer.data.augmentation import operations
from hftransfer.data.corruptions import check_corruptions
from hftransfer.data.load import Rows, load_rows
from hftransfer.data.mixup import mixup_operations
from hftransfer.data.splits import GROUP
from hftransfer.evaluation.scoring import check_metric, check_metrics
from hftransfer.exporters import SCHEMES
from hftransfer.hub import client
from hftransfer.models.checkpoint import (
    Checkpoint,
    ResolvedCheckpoint,
    empty_model,
    find_checkpoint,
    resolve_checkpoint,
)
from hftransfer.models.layers import parameters
from hftransfer.recipe.schema import Export, Recipe
from hftransfer.runner.forgetting import SourceTask, source_task
from hftransfer.strategies import Strategy
from hftransfer.strategies._chain import CompressionSteps
from hftransfer.tasks import Task
from hftransfer.training.trainer import DEFAULTS, arguments


@dataclass(frozen=True)
class Plan:
    """A recipe whose checkpoint, rows, metrics and arguments are known to be there."""

    recipe: Recipe
    """With the commits of the Hub and the fields of the task settled."""
    rows: Rows
    origin: ResolvedCheckpoint
    metrics: list[str]
    parameters: dict[str, int]
    """`all` of the model, and those that are `trainable`."""
    warnings: list[str]
    """What the task found odd in the rows."""
    source: SourceTask | None = None
    """The rows of `evaluation.source_task`."""

    @property
    def task(self) -> Task:
        """The task with what the rows settle."""
        return self.rows.task


@dataclass(frozen=True)
class TrainingSpec:
    """One model to train."""

    variant: str
    strategy: Strategy
    training: dict[str, Any]


def check(recipe: Recipe) -> Plan:
    """Make sure of checkpoint, rows, labels, metrics, training arguments and packages.

    Raises:
        HFTransferError: in a sentence, the first thing that is wrong.
    """
    specs, asked = [*baseline_specs(recipe), tuned_spec(recipe)], recipe.task
    exporter = [plugins.load("exporters", recipe.export.format)()] if recipe.export else []
    known = [recipe.evaluation.source_task.source] if recipe.evaluation.source_task else []
    for plugin in (recipe.task, recipe.data.source, *known, *exporter, *(spec.strategy for spec in specs)):
        plugin.check_installed()
    if recipe.hub is not None:
        client.may_write(recipe.hub.repo)
    recipe, start = _pinned(recipe)
    check_metrics(recipe.evaluation.metrics)
    from transformers.utils import logging

    logging.set_verbosity_error()
    for spec in specs:
        arguments(spec.training, Path("unused"), recipe.seed, by_length=False)
    rows = load_rows(recipe.task, recipe.data, recipe.seed)
    splits = recipe.data.splits.model_copy(update=rows.parts)
    data = recipe.data.model_copy(update={"splits": splits})
    recipe = recipe.model_copy(update={"task": rows.task, "data": data})
    origin = resolve_checkpoint(rows.task, rows.splits["train"], start, recipe.model.config, recipe.model.processor)
    rows = replace(rows, task=rows.task.know(processor=origin.processor, architecture=origin.config))
    mixes = _check_changes(rows.task, recipe)
    for spec in specs:
        _refuse_two_losses(rows.task, spec, mixes)
    if "majority" in recipe.evaluation.baselines:
        rows.task.majority_baseline(rows.task.references(rows.splits["train"]))
    metrics = list(recipe.evaluation.metrics or rows.task.metrics())
    for name in metrics:
        check_metric(name, rows.task, {split: rows.splits[split] for split in ("validation", "test")})
    warned = [*_few_shots(recipe.data.shots, rows), *_unseen(rows), *_known_groups(rows)]
    warned += rows.task.check(rows.labelled, origin.config)
    counts = [_parameters(rows.task, origin, spec) for spec in specs]
    if recipe.export is not None:
        _check_promise(rows.task, origin.config, recipe.export, metrics)
    source = source_task(asked, recipe.evaluation.source_task, origin, _seed(recipe))
    return Plan(recipe, rows, origin, metrics, counts[-1], warned, source)


def with_defaults(recipe: Recipe) -> dict[str, Any]:
    """The recipe with every default written out, those of the training included."""
    return recipe.model_dump() | {"training": DEFAULTS | tuned_spec(recipe).training}


def tuned_spec(recipe: Recipe) -> TrainingSpec:
    """The recipe's own training."""
    whole = CompressionSteps(first=recipe.strategy, then=recipe.compress) if recipe.compress else recipe.strategy
    return TrainingSpec("tuned", whole, recipe.strategy.training | recipe.training)


def baseline_specs(recipe: Recipe) -> Iterator[TrainingSpec]:
    """The trainings beside it, each with its strategy's own learning rate and at least as many epochs.

    `max_steps` bounds them all alike.
    """
    for name in recipe.evaluation.baselines:
        if name != "majority":
            strategy = _bare(name)
            shared = {key: value for key, value in recipe.training.items() if key != "learning_rate"}
            training = strategy.training | shared
            if "num_train_epochs" in shared:
                epochs = max(shared["num_train_epochs"], strategy.training.get("num_train_epochs", 0))
                training["num_train_epochs"] = epochs
            yield TrainingSpec(name, strategy, training)


def _seed(recipe: Recipe) -> int:
    """By which the source's rows were split: that of the earlier run, where the checkpoint is one."""
    record = Path(recipe.model.id or "") / "result.json"
    return RunResult.load(record).recipe["seed"] if record.is_file() else recipe.seed


def _check_promise(task: Task, config: Any, export: Export, metrics: list[str]) -> None:
    if task.pretraining:
        raise RecipeError(f"export: models of '{task.name}' are checkpoints for other tasks; leave it out here")
    if export.metric not in ("headline", *metrics):
        near = plugins.nearest(export.metric, ["headline", *metrics])
        raise RecipeError(f"export.metric: the run is not scored by '{export.metric}'; {near}")
    exporter = plugins.load("exporters", export.format)()
    for key in sorted({"optimize", "operators", "target"} - exporter.keys):
        if getattr(export, key) != type(export).model_fields[key].default:
            raise RecipeError(f"export.{key}: nothing that '{export.format}' knows of; leave it out")
    for scheme in ("optimized" if export.optimize else None, SCHEMES.get(export.quantization)):
        exporter.check(task.model_class(config), config, scheme)


def is_export(recipe: Recipe, variant: str) -> bool:
    """Whether a variant is the exporter's, and not a baseline."""
    return recipe.export is not None and variant.partition("-")[0] == recipe.export.format


def _bare(name: str) -> Strategy:
    """A strategy with its defaults."""
    try:
        strategy: Strategy = plugins.load("strategies", name)()
    except ValidationError:
        strategy = Strategy()
    if strategy.name != name or getattr(strategy, "teacher", "") is None:
        raise RecipeError(f"evaluation.baselines: strategy '{name}' needs fields of its own, so it can be no baseline")
    return strategy


def compression_variants(recipe: Recipe) -> list[str]:
    """The variants between the steps of `compress`: the tuned model, and what follows but for the last."""
    names = [it.name for it in [recipe.strategy, *recipe.compress]][:-1]
    return [f"{number}-{name}" for number, name in enumerate(names, 1)]


def gate_reference(recipe: Recipe) -> str:
    """The variant whose score what ships has to keep."""
    return next(iter(compression_variants(recipe)), "tuned")


def _exports(recipe: Recipe) -> str:
    if recipe.export is None:
        return "none"
    more = [recipe.export.quantization] if recipe.export.quantization != "none" else []
    optimized = [recipe.export.optimize] if recipe.export.optimize else []
    return ", ".join([recipe.export.format, *optimized, *more])


def describe(plan: Plan) -> str:
    """What would run, in a few lines."""
    counts = ", ".join(f"{count:,} {name}" for name, count in plan.rows.facts.rows.items())
    removed = sum(plan.rows.facts.duplicates_removed.values())
    skipped = sum(plan.rows.facts.skipped.values())
    left_out = f"; {skipped} that cannot be used left out" if skipped else ""
    labels = plan.task.labels
    shown = f"{len(labels)}: {', '.join(labels[:8])}{' ...' if len(labels) > 8 else ''}" if labels else "none"
    new = f"a new {plan.origin.config.model_type}" if plan.recipe.model.config else ""
    origin = " from ".join(part for part in (new, plan.recipe.model.id) if part)
    return "\n".join(
        [
            f"task        {plan.task.name}, scored by {', '.join(plan.metrics)}",
            f"rows        {counts}; {removed} duplicates removed{left_out}",
            f"labels      {shown}",
            f"checkpoint  {origin}, {plan.parameters['all']:,} parameters",
            f"strategy    {plan.recipe.strategy.name}, {plan.parameters['trainable']:,} parameters train",
            f"baselines   {', '.join(plan.recipe.evaluation.baselines) or 'none'}",
            f"exports     {_exports(plan.recipe)}",
            *([f"pushed to   {plan.recipe.hub.repo}"] if plan.recipe.hub else []),
            *(f"warning     {line}" for line in plan.warnings),
        ]
    )


def _check_changes(task: Task, recipe: Recipe) -> list[str]:
    """That the rows can be changed as the recipe asks, to train and to score; the mixes of two rows among it."""
    check_corruptions(task, recipe.evaluation.corruptions)
    operations(task, recipe.data.augment)
    if recipe.data.augment != "none" and getattr(recipe.strategy, "keep_features", False):
        raise RecipeError(
            f"data.augment: strategy {recipe.strategy.name} keeps the features of the rows as they are; leave it out, "
            "or set strategy.keep_features to false"
        )
    return mixup_operations(task, recipe.data.augment)


def _refuse_two_losses(task: Task, spec: TrainingSpec, mixes: list[str]) -> None:
    """Trainer takes the labels away from the model to smooth them, and with them what has a loss of its own."""
    own = {
        "task.class_weights or focal_gamma": task.replaces_loss,
        f"strategy {spec.strategy.name}": any(step.replaces_loss for step, _ in spec.strategy.steps()),
    }
    smooth = spec.training.get("label_smoothing_factor")
    if smooth and not task.one_class:
        raise RecipeError(f"training.label_smoothing_factor: '{task.name}' has no rows or words of one class each here")
    of = next((name for name, has in own.items() if has), f"data.augment {mixes[0]}" if mixes else None)
    if of and smooth:
        raise RecipeError(f"training.label_smoothing_factor: it would undo the loss of {of}; leave out one of them")
    if mixes and any(own.values()):
        raise RecipeError(f"data.augment: {mixes[0]} would undo the loss of {of}; leave out one of them")


def _few_shots(shots: int | None, rows: Rows) -> list[str]:
    """A warning where a class has fewer training rows than were asked for."""
    few = {name: count for name, count in rows.facts.classes["train"].items() if shots and count < shots}
    told = ", ".join(f"{name} ({count})" for name, count in few.items())
    return [f"data.shots asks for {shots} rows a class, and fewer are there of: {told}"] if few else []


def _unseen(rows: Rows) -> list[str]:
    """A warning of classes that no test row has."""
    counts = rows.facts.classes
    lacking = sorted(counts["train"].keys() - counts["test"].keys(), key=plugins.natural) if rows.task.labels else []
    if not lacking:
        return []
    told = f"{', '.join(lacking[:8])}{', ...' if lacking[8:] else ''}"
    return [
        f"{len(lacking)} of {len(counts['train'])} classes have no test row ({told}): data.splits.test may be larger; "
        "numbers that are no classes: task.problem_type: regression"
    ]


def _known_groups(rows: Rows) -> list[str]:
    """A warning where groups of the test rows were trained on."""
    train, test = (rows.splits[name] for name in ("train", "test"))
    if GROUP not in test.column_names or GROUP not in train.column_names:
        return []
    groups = set(test[GROUP][:]) - {None}
    known = len(groups & set(train[GROUP][:]))
    told = f"{known} of the {len(groups)} groups of the test rows have training rows too: on others it may do worse"
    return [told] if known else []


def _pinned(recipe: Recipe) -> tuple[Recipe, Checkpoint | None]:
    """The recipe with branches and tags of the Hub replaced by the commits that they stand at; and its checkpoint."""
    model, start = recipe.model, None
    if model.id is not None:
        start = find_checkpoint(model.id, model.revision, model.trust_remote_code)
        model = model.model_copy(update={"revision": start.revision})
    data = recipe.data.model_copy(update={"source": recipe.data.source.resolve()})
    evaluation = recipe.evaluation
    if evaluation.source_task is not None:
        settled = evaluation.source_task.model_copy(update={"source": evaluation.source_task.source.resolve()})
        evaluation = evaluation.model_copy(update={"source_task": settled})
    return recipe.model_copy(update={"model": model, "data": data, "evaluation": evaluation}), start


def _parameters(task: Task, origin: ResolvedCheckpoint, spec: TrainingSpec) -> dict[str, int]:
    """Of the model that ships, and the most that train at a time."""
    model, strategy = empty_model(task, origin), spec.strategy
    strategy.check(task, model)
    everything, trainable = [], []
    if spec.training.get("gradient_checkpointing") and not model.supports_gradient_checkpointing:
        raise RecipeError(f"training.gradient_checkpointing: a {type(model).__name__} has none; leave it out")
    for step, _ in strategy.steps():
        before, _ = parameters(model)
        prepared = step.prepare(model.requires_grad_(True))
        after, trains = parameters(prepared)
        everything.append(min(before, after))
        trainable.append(trains)
        # The next step finds what this one has made smaller, and nothing that it has wrapped.
        model = prepared if type(prepared) is type(model) else empty_model(task, origin)
    return {"all": min(everything), "trainable": max(trainable)}
