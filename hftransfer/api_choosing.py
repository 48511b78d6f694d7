"""The Python API of what chooses: rows, a checkpoint, a strategy, how many labels, which next, hyper-parameters.

Torch is imported when a function is called, not with this file.
"""

import math
from collections.abc import Sequence
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from hftransfer import api
from hftransfer.core.errors import RecipeError
from hftransfer.recipe.schema import Recipe
from hftransfer.runner.folders import AnyPath, folder_of

if TYPE_CHECKING:
    from hftransfer.choosing.compare import Comparison
    from hftransfer.choosing.curve import Curves
    from hftransfer.choosing.estimate import Estimate
    from hftransfer.choosing.grid import Base
    from hftransfer.choosing.largest_batch import LargestBatch
    from hftransfer.choosing.next_rows import NextRow
    from hftransfer.choosing.ranking import Ranking
    from hftransfer.choosing.tune import Tuning
    from hftransfer.core.audit_record import AuditResult

_MOST_SEEDS = 1000
_TRIALS = 20
_MOST_JOBS = 256


def audit(
    recipe: Recipe | AnyPath,
    overrides: Sequence[str] = (),
    *,
    out: AnyPath | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> "AuditResult":
    """Look for what is wrong with the rows of a recipe, before any training.

    Near copies within and across splits, suspicious labels, rows unlike the rest, odd lengths and sizes, small classes,
    groups in several splits. Features of the frozen checkpoint are kept in the cache of `datasets`: a second audit
    reads none anew.

    Args:
        recipe: as for `run`.
        overrides: fields to change.
        out: directory of the audit; by default `runs/audit-` and the recipe's name.
        resume: continue an unfinished audit.
        overwrite: replace a finished or unfinished audit.

    Raises:
        HFTransferError: a mistake in the recipe, the data, the checkpoint or the directory, in one sentence.
    """
    from hftransfer.auditing import audit as audits

    folder = Path(out) if out is not None else folder_of("audit", recipe)
    return audits.audit(api.read_recipe(recipe, overrides), folder, resume=resume, overwrite=overwrite)


def estimate(
    recipe: Recipe | AnyPath, overrides: Sequence[str] = (), *, price_per_hour: float | None = None
) -> "Estimate":
    """What a run will take on this machine, from runs on small parts of its rows: seconds, memory, energy, dollars.

    Args:
        recipe: as for `run`.
        overrides: fields to change.
        price_per_hour: of this machine, in US dollars.

    Raises:
        HFTransferError: a mistake in the recipe or the data, or rows of which no part can be taken, in one sentence.
    """
    from hftransfer.choosing import estimate as estimates

    return estimates.estimate(api.read_recipe(recipe, overrides), price_per_hour)


def largest_batch(recipe: Recipe | AnyPath, overrides: Sequence[str] = ()) -> "LargestBatch":
    """How many rows a training step may have until memory is short, found by trying on this machine.

    Args:
        recipe: as for `run`.
        overrides: fields to change.

    Raises:
        HFTransferError: a mistake in the recipe or the data, or nothing that is trained in steps, in one sentence.
    """
    from hftransfer.choosing import largest_batch as batches

    return batches.largest_batch(api.read_recipe(recipe, overrides))


def rank(
    recipe: Recipe | AnyPath,
    checkpoints: Sequence[str],
    overrides: Sequence[str] = (),
    *,
    out: AnyPath | None = None,
    rows: int = 500,
    minutes: float | None = None,
) -> "Ranking":
    """Compare checkpoints on training rows of a recipe; the same call continues an interrupted one.

    Args:
        recipe: as `run` takes it.
        checkpoints: Hub ids, local directories, directories of runs, or `sample:NAME`.
        overrides: fields to change.
        out: directory of the ranking; by default `runs/rank-` and the recipe's name.
        rows: training rows that are read, at most.
        minutes: for the whole call; with it, checkpoints that are not separable from the best are fine-tuned.

    Raises:
        HFTransferError: a mistake in the recipe, the rows, a checkpoint or the directory, in one sentence.
    """
    from hftransfer.choosing.rank import rank

    folder = Path(out) if out is not None else folder_of("rank", recipe)
    return rank(api.read_recipe(recipe, overrides), checkpoints, folder, rows=rows, minutes=minutes)


def compare(
    recipes: AnyPath | Sequence[AnyPath],
    overrides: Sequence[str] = (),
    *,
    seeds: int = 3,
    jobs: int = 1,
    out: AnyPath,
) -> "Comparison":
    """Run recipes, or one with several values of some fields, each combination with several seeds, and compare them.

    Finished runs in `out` are read, so that a stopped comparison goes on where it was.

    Args:
        recipes: one or several, as for `run`, but not a Recipe.
        overrides: fields to change in each; a list has several values of a field: `"strategy=[lora, full]"`.
        seeds: runs of each combination, with the seeds 0, 1, ...
        jobs: runs at the same time, each with a GPU of its own, or its share of the cores.
        out: directory of the runs, `compare.json` and `compare.html`.

    Raises:
        HFTransferError: a combination is no recipe, or a run fails.
    """
    from hftransfer.choosing import compare as comparing

    names = [recipes] if isinstance(recipes, str | PathLike) else recipes
    return comparing.compare([_base(name) for name in names], overrides, _seeds(seeds), Path(out), _jobs(jobs))


def curve(
    recipe: AnyPath,
    overrides: Sequence[str] = (),
    *,
    labels: Sequence[int | str],
    seeds: int = 3,
    gain: float = 0.02,
    out: AnyPath,
) -> "Curves":
    """Run a recipe with several numbers of labels a class, and estimate what more labels would give.

    Finished runs in `out` are read, so that a stopped curve goes on where it was.

    Args:
        recipe: as for `run`, but not a Recipe.
        overrides: fields to change; a list has several values of a field, each with a curve of its own.
        labels: of each class, or `all`; at least three numbers.
        seeds: runs of each number, with the seeds 0, 1, ...
        gain: improvement of the headline metric whose price in labels is estimated.
        out: directory of the runs, `curve.json` and `curve.html`.

    Raises:
        HFTransferError: a number that is none, a recipe that cannot be run, or a run that fails.
    """
    from hftransfer.choosing import curve as curving

    if not 0 < gain < math.inf:
        raise RecipeError(f"--gain: a number above 0, got {gain}")
    wrong = [label for label in labels if str(label) != "all" and not str(label).isdecimal()]
    if wrong:
        raise RecipeError(f"--labels: whole numbers or 'all', got '{wrong[0]}'")
    sizes = [None if str(label) == "all" else int(label) for label in labels]
    return curving.curve(_base(recipe), overrides, sizes, _seeds(seeds), gain, Path(out))


def next_rows(
    recipe: Recipe | AnyPath, overrides: Sequence[str] = (), *, count: int, unlabelled: str | None = None, out: AnyPath
) -> "list[NextRow]":
    """Choose rows without labels that are worth labelling, and write them into `next.csv` in `out`.

    Args:
        recipe: as for `run`.
        overrides: fields to change.
        count: how many rows.
        unlabelled: the split of the source without labels, or `rest`, the training rows that `data.shots` leaves out.
        out: a directory.

    Raises:
        HFTransferError: there are no such rows, or no checkpoint whose features tell them apart.
    """
    from hftransfer.choosing import next_rows as choosing

    if count < 1:
        raise RecipeError(f"--next: at least 1, got {count}")
    found = choosing.next_rows(api.read_recipe(recipe, overrides), unlabelled, count)
    choosing.write_csv(found, Path(out) / "next.csv")
    return found


class TuneOptions(TypedDict, total=False):
    """Of `tune`; each may be left out."""

    minutes: float | None
    """Wall time of the search, its seeds and the winner's run."""
    trials: int | None
    """Number of trials; 20 where neither is given."""
    seeds: int
    """Runs of each of the two best trials, which decide between them; 3 by default."""
    jobs: int
    """Runs at the same time, each with a GPU of its own, or its share of the cores; 1 by default."""
    prune: bool
    """Whether trials end early that are worse than others at the same stage of their training; True by default."""


def tune(recipe: AnyPath, overrides: Sequence[str] = (), *, out: AnyPath, **options: Unpack[TuneOptions]) -> "Tuning":
    """Search hyper-parameters by validation rows under a budget, and run the winner whole.

    An interrupted search in `out` goes on where it was.

    Args:
        recipe: as for `run`, but not a Recipe.
        overrides: fields to change; of a list of values, one is chosen.
        out: directory of the search; `best` in it is the winner's run.
        options: `minutes`, `trials`, `seeds`, `jobs` and `prune`, as `TuneOptions` describes them.

    Raises:
        HFTransferError: Optuna is not installed, a number is out of range, or a run fails.
    """
    from hftransfer.choosing import tune as tuning
    from hftransfer.choosing.search import Options

    minutes, trials, jobs = options.get("minutes"), options.get("trials"), _jobs(options.get("jobs", 1))
    if minutes is not None and not minutes > 0:
        raise RecipeError(f"--minutes: more than 0, got {minutes}")
    if trials is not None and trials < 1:
        raise RecipeError(f"--trials: at least 1, got {trials}")
    most = _TRIALS if minutes is None and trials is None else trials
    how = Options(minutes, most, len(_seeds(options.get("seeds", 3))), jobs, options.get("prune", True))
    return tuning.tune(_base(recipe), overrides, how, Path(out))


def _base(recipe: AnyPath) -> "Base":
    from hftransfer.choosing.grid import Base

    name = fspath(recipe)
    return Base(name, partial(api.read_recipe, name))


def _jobs(count: int) -> int:
    if not 1 <= count <= _MOST_JOBS:
        raise RecipeError(f"--jobs: at least 1 and at most {_MOST_JOBS}, got {count}")
    return count


def _seeds(count: int) -> range:
    if not 1 <= count <= _MOST_SEEDS:
        raise RecipeError(f"--seeds: at least 1 and at most {_MOST_SEEDS}, got {count}")
    return range(count)
