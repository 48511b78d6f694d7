"""The rows of a recipe: all of them for a run, a sample for a check."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hftransfer.core import ranks
from hftransfer.core.errors import DataError, RecipeError
from hftransfer.core.features import Audio, Image
from hftransfer.data.load import DataOptions, Rows, load_items, load_rows
from hftransfer.data.parts import SourceSplits
from hftransfer.recipe.schema import Data
from hftransfer.runner.specs import TrainingSpec, data_options
from hftransfer.runner.streaming import streamed_splits
from hftransfer.sources import Source
from hftransfer.tasks import Task
from hftransfer.training.arguments import DEFAULTS, rows_of_step

# Rows of a split that `check` reads, and as many where they are images or recordings.
_CHECKED, _CHECKED_FILES = 10_000, 2_000
# Training rows that are used at least, where the steps of the training see fewer.
_FEWEST = 10_000


def read_rows(
    task: Task, data: Data, seed: int, leave_out: Sequence[str] = (), *, decode: bool = True, sample: bool = False
) -> Rows:
    """The rows of a section `data`, and those of its second table.

    Args:
        task: The task.
        data: The section.
        seed: By which rows are sampled and split.
        leave_out: Classes that are in no split.
        decode: Whether images are decoded, by which files are found that are not whole.
        sample: Whether `data.check_rows` of them are read; all where there is a mistake among them.

    Raises:
        RecipeError, DataError: a table is missing, or holds something else than the task needs.
    """
    if task.items and data.items is None:
        raise RecipeError(f"data.items: task '{task.name}' needs a second table, of {', '.join(task.items)}")
    if data.streaming:
        data = streamed_splits(data)
    fingerprint = ""
    if data.items is not None:
        if not task.items:
            raise RecipeError(f"data.items: task '{task.name}' has no second table; leave it out")
        task, fingerprint = load_items(task, data.items.source.load(), data.items.columns)
    # Rows of classes that are left out are encoded at the end of a run.
    has_files = any(isinstance(feature, Image | Audio) for feature in task.inputs.values())
    default = _CHECKED_FILES if has_files else _CHECKED
    bound = (default if data.check_rows is None else data.check_rows or None) if sample else None
    options = data_options(data, decode=decode or bool(leave_out), check_rows=bound)
    options = replace(options, leave_out=leave_out)
    rows = _shared_rows(lambda: _load_rows(task, data.source, options, seed))
    if fingerprint:
        rows = replace(
            rows, facts=rows.facts.model_copy(update={"fingerprint": f"{rows.facts.fingerprint}-{fingerprint}"})
        )
    return rows


def _load_rows(task: Task, source: Source, options: DataOptions, seed: int) -> Rows:
    """The rows; all of them where there is a mistake in a sample, so that the sentence is that of a run.

    A sample may also be too small for a rare class.
    """
    used = source.head() if options.check_rows else source
    splits = SourceSplits(used)
    try:
        rows = load_rows(task, splits, options, seed)
    except DataError:
        if not options.check_rows or not (splits.totals or used is not source):
            raise
        used = source
        rows = load_rows(task, SourceSplits(source), replace(options, check_rows=None), seed)
    return replace(rows, warnings=[*used.warnings, *rows.warnings])


def _shared_rows(load: Callable[[], Rows]) -> Rows:
    """The rows, read by the main process; the others open the same tables, or read them too where they have no such."""
    if ranks.total() == 1:
        return load()
    pickled = ranks.from_main(lambda: pickle.dumps(load()))
    try:
        rows: Rows = pickle.loads(pickled)
    except OSError:
        # On another machine.
        rows = load()
    return rows


def rows_for_steps(rows: Rows, specs: Sequence[TrainingSpec], seed: int) -> Rows:
    """The rows, of many training rows no more than `training.max_steps` can see: a sample by the seed.

    The others would be encoded for nothing. Baselines that train no network learn from the sample too.
    """
    seen, train = _rows_seen(rows.task, specs), rows.splits["train"]
    used = max(seen or 0, _FEWEST)
    if seen is None or used * 4 > len(train):
        return rows
    numbers = np.sort(np.random.default_rng(seed).permutation(len(train))[:used])
    warning = (
        f"training.max_steps: the steps see {seen:,} rows; of the {len(train):,} training rows {used:,} are used, "
        "a random sample"
    )
    facts = rows.facts.model_copy(update={"rows": rows.facts.rows | {"train": used}})
    splits = rows.splits | {"train": train.select(numbers)}
    return replace(rows, splits=splits, facts=facts, warnings=[*rows.warnings, warning])


def _rows_seen(task: Task, specs: Sequence[TrainingSpec]) -> int | None:
    """The most training rows that one of the trainings sees; None where one sees all."""
    seen: list[int] = []
    for spec in specs:
        for step, arguments in spec.strategy.steps():
            training = DEFAULTS | spec.training | arguments
            if training.get("max_steps", 0) <= 0 or not step.uses_trainer(task):
                return None
            seen.append(training["max_steps"] * rows_of_step(training) * ranks.total())
    return max(seen)
