"""Runs in processes of their own: their command, and what the jobs of `run --on` have in common."""

from collections.abc import Sequence
from pathlib import Path

from hftransfer.core.errors import RecipeError

GRACE = 120
"""Seconds before its time is over in which a run saves the step that it trains."""
TERMINATED = 143
"""Exit code of a run that was ended by SIGTERM, which a job of the same run continues."""


def run_arguments(recipe: str, overrides: Sequence[str], out: Path) -> list[str]:
    """The arguments of Python that start a run, or go on with it."""
    return ["-m", "hftransfer", "run", recipe, *overrides, "--out", str(out), "--resume"]


def split_place(place: str) -> tuple[str, str | None]:
    """`slurm:gpu` -> slurm, gpu; None where there is no colon."""
    name, colon, rest = place.partition(":")
    return name, rest if colon else None


def check_options(place: str, overwrite: bool) -> None:
    """Refuse what no job can do.

    Raises:
        RecipeError: the job would overwrite its own run each time it is started.
    """
    if overwrite:
        raise RecipeError(
            f"--overwrite: a job of --on {place} that is started again would overwrite its own run; remove the old run"
        )
