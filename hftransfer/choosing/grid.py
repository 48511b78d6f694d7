"""A recipe with several values of some keys: one run for each combination and seed, each in a process of its own."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hftransfer.choosing import run_process
from hftransfer.choosing.parallel import run_together
from hftransfer.core.errors import HFTransferError, RecipeError
from hftransfer.core.paths import is_file
from hftransfer.core.progress import Progress
from hftransfer.core.results import RunResult
from hftransfer.recipe.schema import Recipe
from hftransfer.recipe.yaml_reader import read_yaml
from hftransfer.runner import pipeline
from hftransfer.runner.folders import default_folder
from hftransfer.runner.plan import check

# What a name of a folder may hold.
_UNSAFE = re.compile(r"[^\w.=-]+")
_LONGEST_NAME = 120


@dataclass(frozen=True)
class Base:
    """The recipe whose fields get several values."""

    name: str
    """As the command line names it."""
    read: Callable[[Sequence[str]], Recipe]
    """Overrides -> the recipe with them."""


@dataclass(frozen=True)
class Combination:
    """One combination of values."""

    base: Base
    values: dict[str, str]
    """Key -> its value, in YAML, of the keys that have several."""
    overrides: tuple[str, ...]
    """Of the recipe, those of all combinations first."""

    @property
    def label(self) -> str:
        """The values, as tables name them."""
        return ", ".join(self.values.values()) or "the recipe"

    def folder(self, out: Path, seed: int) -> Path:
        """The directory of a run of this combination."""
        name = ",".join(f"{key}={value}" for key, value in self.values.items()) or "recipe"
        readable = _UNSAFE.sub("_", name)
        if readable != name or len(readable) > _LONGEST_NAME:
            # Of two values that read alike, each has a folder of its own.
            readable = f"{readable[:_LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        return out / "runs" / f"{readable}-seed{seed}"


def combinations(base: Base, overrides: Sequence[str]) -> list[Combination]:
    """The combinations that overrides such as `strategy=[lora, full]` ask for.

    A list is several values of a key, unless the key itself takes a list, such as `evaluation.metrics`.

    Raises:
        RecipeError: a combination is no recipe.
    """
    axes: dict[str, list[str]] = {}
    # The runs are to be compared, not published.
    common = ["hub=null"]
    for override in overrides:
        key, _, text = override.partition("=")
        value, _ = read_yaml(text, f"override {key}")
        if isinstance(value, list) and not _is_accepted(base, override):
            if not value:
                raise RecipeError(f"{key}: the list has no values")
            axes[key] = list(dict.fromkeys(item if isinstance(item, str) else json.dumps(item) for item in value))
        else:
            common.append(override)
    products = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    found = [
        Combination(base, values, (*common, *(f"{key}={value}" for key, value in values.items())))
        for values in products
    ]
    for combination in found:
        base.read(combination.overrides)
    return found


def combinations_of(bases: Sequence[Base], overrides: Sequence[str]) -> list[Combination]:
    """The combinations of each recipe; of several recipes, the recipe is the first value.

    Raises:
        RecipeError: a combination is no recipe, or a recipe is there twice.
    """
    if len(bases) == 1:
        return combinations(bases[0], overrides)
    names = [base.name for base in bases]
    places = [Path(name).resolve() for name in names]
    if repeated := [name for name, place in zip(names, places, strict=True) if places.count(place) > 1]:
        raise RecipeError(f"the recipe '{repeated[0]}' is there twice")
    short = [default_folder(name).name for name in names]
    found = []
    for base, name in zip(bases, short if len({*short}) == len(short) else names, strict=True):
        try:
            of_recipe = combinations(base, overrides)
        except RecipeError as error:
            raise RecipeError(f"{name}: {error}") from None
        found += [replace(it, values={"recipe": name, **it.values}) for it in of_recipe]
    return found


def _is_accepted(base: Base, override: str) -> bool:
    try:
        base.read([override])
    except RecipeError:
        return False
    return True


def run_combinations(
    grid: Sequence[Combination], seeds: Sequence[int], out: Path, jobs: int = 1
) -> Iterator[tuple[Combination, int, RunResult]]:
    """Run what is not finished yet, the first seed of all combinations first; finished runs are read.

    Each run has a process of its own, so that its memory and its seconds are its own; `jobs` run at the same time.

    Raises:
        RecipeError: a run refuses its recipe or rows, or the folder of a run holds one of another recipe.
        RunError: a run has failed otherwise.
    """
    finished = _check(grid, seeds, out)
    todo = [
        (combination, seed, seeded(combination, seed), combination.folder(out, seed))
        for seed in seeds
        for combination in grid
    ]
    if jobs > 1:
        run_together([(one, folder, {}) for _, _, one, folder in todo if folder not in finished], jobs)
    for combination, seed, one, folder in Progress(todo, desc="runs", unit="run", disable=jobs > 1):
        yield combination, seed, finished.get(folder) or run_combination(one, folder)


def seeded(combination: Combination, seed: int) -> Combination:
    """The combination with a seed."""
    return replace(combination, overrides=(*combination.overrides, f"seed={seed}"))


def run_combination(combination: Combination, folder: Path) -> RunResult:
    """Run a combination, or go on with its run; a finished one is read.

    Raises:
        RecipeError, RunError: as `run_combinations`.
    """
    if not is_file(folder / "result.json"):
        process = run_process.start(combination.base.name, combination.overrides, folder)
        try:
            process.wait()
        except BaseException:
            # An interrupted run saves its step and can be resumed.
            process.terminate()
            process.wait()
            raise
        process.check()
    return pipeline.run(combination.base.read(combination.overrides), folder, resume=True)


def _check(grid: Sequence[Combination], seeds: Sequence[int], out: Path) -> dict[Path, RunResult]:
    """Find the mistakes of all combinations before the first run; the finished runs by their directories."""
    finished: dict[Path, RunResult] = {}
    headlines = []
    for combination in Progress(grid, desc="checking", unit="combination"):
        try:
            of_combination = _finished(combination, seeds, out)
            waiting = [seed for seed in seeds if combination.folder(out, seed) not in of_combination]
            for seed in waiting[:1]:
                plan = check(combination.base.read(seeded(combination, seed).overrides), sample=True)
                headlines.append(plan.metrics[0])
            for seed in waiting[1:]:
                check_seed(combination.base, combination.overrides, waiting[0], seed)
        except HFTransferError as error:
            raise type(error)(f"{combination.label}: {error}") from None
        finished |= of_combination
    check_headlines([*headlines, *(result.headline for result in finished.values())])
    return finished


def _finished(combination: Combination, seeds: Sequence[int], out: Path) -> dict[Path, RunResult]:
    """The finished runs of a combination by their directories."""
    folders = {seed: combination.folder(out, seed) for seed in seeds}
    done = {seed: folder for seed, folder in folders.items() if is_file(folder / "result.json")}
    return {folder: run_combination(seeded(combination, seed), folder) for seed, folder in done.items()}


def check_seed(base: Base, overrides: Sequence[str], first: int, seed: int) -> None:
    """Check a recipe with another seed than one that was checked, where it names other files or checkpoints by it.

    Raises:
        HFTransferError: it cannot be run.
    """
    checked, recipe = (base.read((*overrides, f"seed={number}")) for number in (first, seed))
    if recipe != checked.model_copy(update={"seed": seed}):
        check(recipe, sample=True)


def check_headlines(headlines: Sequence[str]) -> None:
    """That the headline metrics of all runs are the same one.

    Raises:
        RecipeError: they are not.
    """
    if len({*headlines}) > 1:
        names = ", ".join(sorted({*headlines}))
        raise RecipeError(f"the runs have different headline metrics: {names}; name one: evaluation.metrics=[...]")


def score_of(result: RunResult, metric: str) -> float:
    """A score of the tuned model on test.

    Raises:
        RecipeError: the run has no such metric.
    """
    scores = result.scores["test"]["tuned"]
    if metric not in scores:
        raise RecipeError(f"the runs have no metric '{metric}' in common; they have {', '.join(scores)}")
    return scores[metric].value
