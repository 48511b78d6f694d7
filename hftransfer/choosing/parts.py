"""Runs on a part of the rows of a recipe, each in a process of its own: what they cost."""

from __future__ import annotations

import math
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core import machine
from hftransfer.core.console import Level, set_level
from hftransfer.core.errors import RecipeError, RunError
from hftransfer.core.exhaustion import exhaustion_explained
from hftransfer.core.run_folder import RunFolder
from hftransfer.core.yaml_writer import dump_yaml
from hftransfer.recipe.loader import from_record
from hftransfer.recipe.schema import Recipe
from hftransfer.runner import pipeline
from hftransfer.runner.plan import Plan, check
from hftransfer.runner.specs import with_defaults
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset

OTHER = "everything else"
"""What is in no stage: the start of Python, imports, reading the rows, the report."""
# Numbers of steps, which become fewer with the rows.
_STEPS = ("max_steps", "eval_steps", "save_steps", "logging_steps", "warmup_steps")
_ROWS_OF_A_CLASS = 2
_TRAINED = ("train", "unlabelled")


@dataclass(frozen=True)
class Part:
    """What a run on a part of the rows has cost."""

    share: float
    """Of the rows of each split, and of the steps."""
    seconds: dict[str, float]
    energy: dict[str, float]
    """Stage -> watt hours; empty where they cannot be measured."""
    peak_memory_bytes: int


def refuse_without_parts(recipe: Recipe, option: str) -> None:
    """Raise an error about rows of which no part can be taken.

    Raises:
        RecipeError: the rows are streamed, or their splits hold whole identities.
    """
    if recipe.data.streaming:
        raise RecipeError(f"{option}: rows that are streamed are not counted; leave out data.streaming")
    if recipe.task.open_set:
        raise RecipeError(f"{option}: the splits of {recipe.task.name} hold whole identities, so no part is taken")


def training_alone(recipe: Recipe, training: dict[str, Any]) -> Recipe:
    """The recipe with changed training arguments, and nothing but the training: no baselines, compression, export."""
    nothing: dict[str, Any] = {"baselines": [], "corruptions": [], "source_task": None, "feature_similarity": False}
    changes = {
        "training": recipe.training | {"eval_strategy": "no"} | training,
        "evaluation": recipe.evaluation.model_copy(update=nothing),
        "compress": [],
        "export": None,
        "hub": None,
    }
    return recipe.model_copy(update=changes)


def run_alone(recipe: Recipe, share: float, folder: Path, *, scored: float | None = None) -> Part:
    """Run a part in a process of its own, so that its memory is its own and its imports count.

    Args:
        recipe: what to run.
        share: of the rows of each split, and of the steps.
        folder: of the run.
        scored: the share of the rows that are not trained on, where it is another.

    Raises:
        RunError: the process has been killed.
    """
    start = time.monotonic()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            part = pool.submit(run_part, recipe.model_dump(), share, folder, scored).result()
        except BrokenProcessPool:
            raise RunError(
                f"the run on {share:.1%} of the rows has been killed, as it is where memory is short"
            ) from None
    rest = time.monotonic() - start - sum(part.seconds.values())
    return replace(part, seconds=part.seconds | {OTHER: rest})


def run_part(record: dict[str, Any], share: float, folder: Path, scored: float | None = None) -> Part:
    """Run a part of the rows from start to end."""
    set_level(Level.QUIET)
    recipe = from_record(record | {"hub": None})
    recipe = recipe.model_copy(update={"training": _fewer_steps(recipe.training, share)})
    plan = reduced(check(recipe, decode=False), share, scored)
    run_folder = RunFolder(folder, pipeline.processes(recipe.training))
    with exhaustion_explained(), run_folder.open(dump_yaml(with_defaults(recipe)), overwrite=False):
        result = pipeline.run_plan(plan, recipe, run_folder)
    return Part(share, dict(result.seconds), dict(result.energy), machine.peak_memory())


def _fewer_steps(training: dict[str, Any], share: float) -> dict[str, Any]:
    steps = {name: value for name, value in training.items() if name in _STEPS and value >= 1}
    return training | {name: max(1, round(value * share)) for name, value in steps.items()}


def reduced(plan: Plan, share: float, scored: float | None = None) -> Plan:
    """The plan with a part of the rows of every split, of each class of the training rows at least two."""
    task, seed = plan.task, plan.recipe.seed
    shares = {name: share if scored is None or name in _TRAINED else scored for name in plan.rows.splits}
    splits = {
        name: rows.select(_some(task, rows, math.ceil(len(rows) * shares[name]), seed))
        for name, rows in plan.rows.splits.items()
    }
    counts = plan.rows.facts.rows | {name: len(rows) for name, rows in splits.items()}
    facts = plan.rows.facts.model_copy(update={"rows": counts})
    auxiliary = {name: reduced(other, share, scored) for name, other in plan.auxiliary.items()}
    return replace(plan, rows=replace(plan.rows, splits=splits, facts=facts), auxiliary=auxiliary)


def _some(task: Task, rows: Dataset, count: int, seed: int) -> list[int]:
    """Numbers of rows, drawn at random, and as many more as each class needs."""
    order = np.random.default_rng(seed).permutation(len(rows))
    chosen = set(order[:count].tolist())
    classes = task.strata(rows)
    if classes is not None:
        found: dict[Any, int] = {}
        for number in order.tolist():
            name = classes[number]
            found[name] = found.get(name, 0) + 1
            if found[name] <= _ROWS_OF_A_CLASS:
                chosen.add(number)
    return sorted(chosen)
