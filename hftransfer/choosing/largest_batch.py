"""`hftransfer check --largest-batch`: how many rows a training step may have until memory is short, found by trying."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hftransfer.choosing.parts import refuse_without_parts, run_alone, training_alone
from hftransfer.core.console import report
from hftransfer.core.errors import MemoryShortError, RecipeError, RunError
from hftransfer.core.machine import available_memory
from hftransfer.core.plugins import Record
from hftransfer.recipe.schema import Recipe
from hftransfer.runner.plan import check
from hftransfer.training.arguments import DEFAULTS, uses_cpu

_BATCH = "per_device_train_batch_size"
# Rows of the smallest split, of which a trial needs some.
_SCORED = 8


class LargestBatch(Record):
    """What was found by trying."""

    rows: int
    """The largest batch that fits; 0 if a single row is too much."""
    training_rows: int
    """A batch of all of them is the last that is tried."""
    peak_memory_bytes: dict[int, int]
    """Batch that fits -> the largest memory of its process; that of an accelerator is not counted."""
    too_large: list[int]
    """The batches that did not fit, or would not have fitted."""

    def __str__(self) -> str:
        """The batch in a line."""
        if not self.rows:
            return "batch       not even a step of one row fits into memory"
        used = f"batch       {self.rows:,} rows a step fit, {self.peak_memory_bytes[self.rows] / 1e6:,.0f} MB of memory"
        return used + (f"; {min(self.too_large):,} do not" if self.too_large else "; there are no more training rows")


@dataclass
class _Trials:
    """Steps of one batch each, each in a process of its own."""

    recipe: Recipe
    training_rows: int
    scored: float
    """The share of the other rows that a trial reads."""
    available: int | None
    """Bytes of memory for a step on the CPU; None where an accelerator refuses what is too much."""
    folder: Path
    peaks: dict[int, int] = field(default_factory=dict)
    too_large: list[int] = field(default_factory=list)

    def fits(self, batch: int) -> bool:
        """Train one step of this batch, unless two smaller ones show that it would not fit."""
        if self.available is not None and self._expected(batch) > self.available:
            self.too_large.append(batch)
            return False
        report(f"largest batch: a step of {batch:,} rows")
        try:
            one_step, folder = _one_step(self.recipe, batch), self.folder / str(batch)
            part = run_alone(one_step, batch / self.training_rows, folder, scored=self.scored)
        except (MemoryShortError, RunError):
            self.too_large.append(batch)
            return False
        self.peaks[batch] = part.peak_memory_bytes
        return True

    def _expected(self, batch: int) -> float:
        """The memory of a batch on the line through the two largest that fit; 0 where fewer have been tried."""
        less, more = ([0, 0, *sorted(self.peaks)])[-2:]
        if not less:
            return 0
        return self.peaks[more] + (self.peaks[more] - self.peaks[less]) / (more - less) * (batch - more)


def largest_batch(recipe: Recipe) -> LargestBatch:
    """Double the batch of a recipe until a training step does not fit into memory; halve it where even it does not.

    A process that runs out of memory may be killed by the system, and on a CPU others with it: there a batch is not
    tried if the memory of the two before lets expect more than there is. Rows are drawn at random; a batch
    of the longest texts takes more.

    Raises:
        RecipeError: the strategy takes no training steps, or rows of which no part can be taken.
        HFTransferError: a mistake in the recipe.
    """
    refuse_without_parts(recipe, "--largest-batch")
    plan = check(recipe, decode=False)
    if not plan.tuned.uses_trainer(plan.task):
        raise RecipeError(f"--largest-batch: strategy {recipe.strategy.name} takes no training steps")
    training, counts = DEFAULTS | plan.tuned.training, {name: len(rows) for name, rows in plan.rows.splits.items()}
    rows, scored = counts["train"], min(1.0, _SCORED / min(counts.values()))
    available = available_memory() if uses_cpu(training) else None
    with tempfile.TemporaryDirectory(prefix="hftransfer-batch-") as folder:
        trials = _Trials(recipe, rows, scored, available, Path(folder))
        batch = min(int(training[_BATCH]), rows)
        while batch and not trials.fits(batch):
            batch //= 2
        while batch and not trials.too_large and batch < rows and trials.fits(min(2 * batch, rows)):
            batch = min(2 * batch, rows)
    return LargestBatch(
        rows=batch, training_rows=rows, peak_memory_bytes=trials.peaks, too_large=sorted(trials.too_large)
    )


def _one_step(recipe: Recipe, batch: int) -> Recipe:
    """The recipe with nothing but one training step."""
    one = {_BATCH: batch, "max_steps": 1, "gradient_accumulation_steps": 1}
    unsaved = {"save_strategy": "no", "load_best_model_at_end": False}
    return training_alone(recipe, one | unsaved).model_copy(update={"calibrate": False})
