"""`hftransfer check --estimate`: what a run will cost, from runs on small parts of its rows."""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path

from hftransfer.choosing.parts import OTHER, Part, refuse_without_parts, run_alone
from hftransfer.core.console import report
from hftransfer.core.errors import RecipeError
from hftransfer.core.plugins import Record
from hftransfer.recipe.schema import Recipe
from hftransfer.reporting.tables import amount
from hftransfer.runner.plan import Plan, check
from hftransfer.training.arguments import DEFAULTS, rows_of_step

# The first run has a part of the rows; each further one twice that of the run before.
_LARGEST_FIRST, _LARGEST = 0.25, 0.5
# Seconds by which the stages of one run are to exceed those of the run before: more than their noise.
_CLEAR_GROWTH = 10.0


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
    refuse_without_parts(recipe, "--estimate")
    share = _first_share(check(recipe, decode=False))
    parts: list[Part] = []
    with tempfile.TemporaryDirectory(prefix="hftransfer-estimate-") as folder:
        while len(parts) < 2 or (share <= _LARGEST and _growth(parts) < _CLEAR_GROWTH):
            report(f"estimate: a run on {share:.1%} of the rows")
            parts.append(run_alone(recipe, share, Path(folder) / str(len(parts))))
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


def _duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever reads best."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
