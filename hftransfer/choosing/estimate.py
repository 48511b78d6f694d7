"""`hftransfer check --estimate`: what a run will cost, from runs on small parts of its rows."""

from __future__ import annotations

import math
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core import machine
from hftransfer.core.console import Level, report, set_level
from hftransfer.core.errors import RecipeError, RunError
from hftransfer.core.plugins import Record
from hftransfer.core.run_folder import RunFolder
from hftransfer.core.yaml_writer import dump_yaml
from hftransfer.recipe.loader import from_record
from hftransfer.recipe.schema import Recipe
from hftransfer.reporting.tables import amount
from hftransfer.runner import pipeline
from hftransfer.runner.plan import Plan, check
from hftransfer.runner.specs import with_defaults
from hftransfer.tasks import Task
from hftransfer.training.arguments import DEFAULTS, rows_of_step

if TYPE_CHECKING:
    from datasets import Dataset

OTHER = "everything else"
"""What is in no stage: the start of Python, imports, reading the rows, the report."""
# The first run has a part of the rows; each further one twice that of the run before.
_LARGEST_FIRST, _LARGEST = 0.25, 0.5
# Seconds by which the stages of one run are to exceed those of the run before: more than their noise.
_CLEAR_GROWTH = 10.0
# Numbers of steps, which become fewer with the rows.
_STEPS = ("max_steps", "eval_steps", "save_steps", "logging_steps", "warmup_steps")
_ROWS_OF_A_CLASS = 2


@dataclass(frozen=True)
class Part:
    """What a run on a part of the rows has cost."""

    share: float
    """Of the rows of each split, and of the steps."""
    seconds: dict[str, float]
    energy: dict[str, float]
    """Stage -> watt hours; empty where they cannot be measured."""
    peak_memory_bytes: int


class Estimate(Record):
    """What a run will cost on this machine."""

    seconds: dict[str, float]
    """Stage -> seconds."""
    energy: dict[str, float]
    """Stage -> watt hours; empty where they cannot be estimated."""
    peak_memory_bytes: int
    dollars: float | None
    """None without the price of an hour."""
    shares: list[float]
    """The parts of the rows that were run."""
    spent: float
    """Seconds that the estimate has taken."""

    def __str__(self) -> str:
        """The estimate in a few lines, the longest stages first."""
        whole, longest = sum(self.seconds.values()), sorted(self.seconds.items(), key=lambda it: -it[1])
        costs = f", {amount(sum(self.energy.values()))} Wh" if self.energy else ""
        costs += "" if self.dollars is None else f", ${self.dollars:.2f}"
        parts = " and ".join(f"{share:.1%}".replace(".0%", "%").replace("%", " %") for share in self.shares)
        return "\n".join(
            [
                f"estimate    {_duration(whole)}, at most {self.peak_memory_bytes / 1e6:,.0f} MB of memory{costs}",
                f"from        runs on {parts} of the rows, which took {_duration(self.spent)}",
                *(f"{_duration(seconds):>11} {stage}" for stage, seconds in longest if seconds >= 0.01 * whole),
            ]
        )


def estimate(recipe: Recipe, price: float | None = None) -> Estimate:
    """Run a recipe on small parts of its rows, and continue the seconds of each stage as a line to all rows.

    Every stage is run as it is, in a process of its own. Seconds grow with the rows by a line, as do those of training
    and scoring; what stays the same, such as to trace a graph, does not grow. Memory is that of the largest part, whose
    batches are full.

    Args:
        recipe: what to run.
        price: of this machine, in US dollars an hour.

    Raises:
        RecipeError: rows of which no part can be taken, or a price below 0.
        RunError: a run has been killed.
        HFTransferError: a mistake in the recipe.
    """
    start = time.monotonic()
    if price is not None and not 0 <= price < math.inf:
        raise RecipeError(f"--price-per-hour: {price:g} is no price in US dollars; give one such as 0.40")
    if recipe.data.streaming:
        raise RecipeError("--estimate: rows that are streamed are not counted; leave out data.streaming")
    if recipe.task.open_set:
        raise RecipeError(f"--estimate: the splits of {recipe.task.name} hold whole identities, so no part is taken")
    share = _first_share(check(recipe, decode=False))
    parts: list[Part] = []
    with tempfile.TemporaryDirectory(prefix="hftransfer-estimate-") as folder:
        while len(parts) < 2 or (share <= _LARGEST and _growth(parts) < _CLEAR_GROWTH):
            report(f"estimate: a run on {share:.1%} of the rows")
            parts.append(_run_alone(recipe, share, Path(folder) / str(len(parts))))
            share *= 2
    less, more = parts[-2:]
    seconds = _continued(less, more, "seconds")
    return Estimate(
        seconds=seconds,
        energy=_continued(less, more, "energy"),
        peak_memory_bytes=max(part.peak_memory_bytes for part in parts),
        dollars=None if price is None else price * sum(seconds.values()) / 3600,
        shares=[part.share for part in parts],
        spent=time.monotonic() - start,
    )


def _first_share(plan: Plan) -> float:
    """The smallest part in which the first batch of every split is a whole one, of at most a quarter."""
    training = DEFAULTS | plan.tuned.training
    train = rows_of_step(training)
    least = {"train": train, "unlabelled": train}
    shares: list[float] = [
        least.get(name, training["per_device_eval_batch_size"]) / len(rows) for name, rows in plan.rows.splits.items()
    ]
    return min(_LARGEST_FIRST, max(shares))


def _growth(parts: list[Part]) -> float:
    """The seconds of the stages of the last part beyond those of the part before."""
    return sum(parts[-1].seconds[stage] - parts[-2].seconds[stage] for stage in parts[-1].seconds if stage != OTHER)


def _continued(less: Part, more: Part, unit: str) -> dict[str, float]:
    """Stage -> what it costs with all rows, on the line through two parts; no stage gets cheaper with more rows."""
    before, after = getattr(less, unit), getattr(more, unit)
    ahead = (1 - more.share) / (more.share - less.share)
    return {stage: value + max(0.0, value - before.get(stage, value)) * ahead for stage, value in after.items()}


def _run_alone(recipe: Recipe, share: float, folder: Path) -> Part:
    """Run a part in a process of its own, so that its memory is its own and its imports count."""
    start = time.monotonic()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            part = pool.submit(_run_part, recipe.model_dump(), share, folder).result()
        except BrokenProcessPool:
            raise RunError(
                f"--estimate: the run on {share:.1%} of the rows has been killed, as it is where memory is short"
            ) from None
    rest = time.monotonic() - start - sum(part.seconds.values())
    return replace(part, seconds=part.seconds | {OTHER: rest})


def _run_part(record: dict[str, Any], share: float, folder: Path) -> Part:
    """Run a part of the rows from start to end."""
    set_level(Level.QUIET)
    recipe = from_record(record | {"hub": None})
    recipe = recipe.model_copy(update={"training": _fewer_steps(recipe.training, share)})
    plan = _reduced(check(recipe, decode=False), share)
    run_folder = RunFolder(folder, pipeline.processes(recipe.training))
    with run_folder.open(dump_yaml(with_defaults(recipe)), overwrite=False):
        result = pipeline.run_plan(plan, recipe, run_folder)
    return Part(share, dict(result.seconds), dict(result.energy), machine.peak_memory())


def _fewer_steps(training: dict[str, Any], share: float) -> dict[str, Any]:
    steps = {name: value for name, value in training.items() if name in _STEPS and value >= 1}
    return training | {name: max(1, round(value * share)) for name, value in steps.items()}


def _reduced(plan: Plan, share: float) -> Plan:
    """The plan with a part of the rows of every split, of each class of the training rows at least two."""
    task, seed = plan.task, plan.recipe.seed
    splits = {
        name: rows.select(_some(task, rows, math.ceil(len(rows) * share), seed))
        for name, rows in plan.rows.splits.items()
    }
    counts = plan.rows.facts.rows | {name: len(rows) for name, rows in splits.items()}
    facts = plan.rows.facts.model_copy(update={"rows": counts})
    auxiliary = {name: _reduced(other, share) for name, other in plan.auxiliary.items()}
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


def _duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever reads best."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
