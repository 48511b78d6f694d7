"""The Python API, which the command line uses too: run, check and predict, what chooses, and what they share.

Torch is imported when a function is called, not with this file.
"""

from collections.abc import Sequence
from functools import partial
from os import fspath
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.core.results import JsonObject, RunResult
from hftransfer.recipe.schema import Recipe
from hftransfer.runner.folders import AnyPath, folder_of
from hftransfer.runner.folders import default_folder as default_folder
from hftransfer.runner.folders import finished_run as finished_run
from hftransfer.runner.folders import push_finished as push_finished

if TYPE_CHECKING:
    from hftransfer.choosing.compare import Comparison
    from hftransfer.choosing.curve import Curves
    from hftransfer.choosing.grid import Base
    from hftransfer.choosing.ranking import Ranking
    from hftransfer.choosing.tune import Tuning
    from hftransfer.core.audit_record import AuditResult
    from hftransfer.exporters._runtime import RuntimeModel
    from hftransfer.runner.plan import Plan

_MOST_SEEDS = 1000
_TRIALS = 20


def run(
    recipe: Recipe | AnyPath,
    overrides: Sequence[str] = (),
    *,
    out: AnyPath | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> RunResult:
    """Train, score, export and document what a recipe describes, and push it if the recipe has a section `hub`.

    Args:
        recipe: a YAML file, the name of a packaged recipe (`quickstart`), `hub:user/name` for the recipe of a pushed
            run, or a Recipe.
        overrides: fields to change, such as `"training.max_steps=2"`.
        out: directory of the run; by default `runs/` and the recipe's name, or its task and strategy for a Recipe.
        resume: continue an unfinished run.
        overwrite: replace a finished or unfinished run.

    Raises:
        HFTransferError: a mistake in the recipe, the data, the checkpoint or the directory, in one sentence.
    """
    from hftransfer.runner import pipeline

    settings = read_recipe(recipe, overrides)
    folder = Path(out) if out is not None else default_folder(recipe)
    result = pipeline.run(settings, folder, resume=resume, overwrite=overwrite)
    push_finished(settings, folder)
    return result


def check(recipe: Recipe | AnyPath, overrides: Sequence[str] = ()) -> "Plan":
    """Find everything that can be wrong with a run, in seconds, without reading any weights.

    Of large data a sample is read (`data.check_rows`). `str()` of the plan describes the run in a few lines.

    Raises:
        HFTransferError: the first mistake, in one sentence.
    """
    from hftransfer.runner import plan

    return plan.check(read_recipe(recipe, overrides), sample=True)


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
    from hftransfer.choosing import audit as audits

    folder = Path(out) if out is not None else folder_of("audit", recipe)
    return audits.audit(read_recipe(recipe, overrides), folder, resume=resume, overwrite=overwrite)


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
    return rank(read_recipe(recipe, overrides), checkpoints, folder, rows=rows, minutes=minutes)


def predict(
    run_folder: AnyPath, inputs: str | Sequence[AnyPath], variant: str = "tuned", *, abstain: float | None = None
) -> list[JsonObject]:
    """Answers of a finished run, one for each input.

    Args:
        run_folder: directory of the run.
        inputs: texts, or paths of images or recordings; the two texts of a pair have a tab between them.
        variant: `tuned`, or an exported variant such as `onnx-int8`.
        abstain: answer only where the probability that the answer is right is at least this; else `label` is None.
            With it, each answer has the entries `confidence` and `abstained`.

    Raises:
        HFTransferError: there is no such run or variant, an input cannot be read, or the answers have no probabilities.
    """
    from hftransfer.runner.predict import predictions

    folder = Path(run_folder)
    texts = [inputs] if isinstance(inputs, str) else [fspath(value) for value in inputs]
    return list(predictions(folder, finished_run(folder), texts, variant, abstain))


def load_exported(folder: AnyPath, threads: int = 0) -> "RuntimeModel":
    """An exported variant in its runtime: called as the PyTorch model is, and a model for `transformers.pipeline`.

    Args:
        folder: of the variant, such as `runs/quickstart/onnx-int8`, or of `onnx/` in a copy of a pushed repository.
        threads: that compute; 0: as many as PyTorch uses.

    Raises:
        HFTransferError: there is no exported model of one graph, or its runtime is not installed.
    """
    from hftransfer.exporters import format_of

    exporter = plugins.load("exporters", format_of(Path(folder)))()
    exporter.check_installed()
    model: RuntimeModel = exporter.open(Path(folder), threads)
    return model


def compare(recipe: AnyPath, overrides: Sequence[str], *, seeds: int = 3, out: AnyPath) -> "Comparison":
    """Run a recipe with several values of some fields, each combination with several seeds, and compare them.

    Finished runs in `out` are read, so that a stopped comparison goes on where it was.

    Args:
        recipe: as for `run`, but not a Recipe.
        overrides: fields to change; a list has several values of a field: `"strategy=[lora, full]"`.
        seeds: runs of each combination, with the seeds 0, 1, ...
        out: directory of the runs, `compare.json` and `compare.html`.

    Raises:
        HFTransferError: a combination is no recipe, or a run fails.
    """
    from hftransfer.choosing import compare as comparing

    return comparing.compare(_base(recipe), overrides, _seeds(seeds), Path(out))


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

    if not gain > 0:
        raise RecipeError(f"--gain: more than 0, got {gain}")
    wrong = [label for label in labels if str(label) != "all" and not str(label).isdecimal()]
    if wrong:
        raise RecipeError(f"--labels: whole numbers or 'all', got '{wrong[0]}'")
    sizes = [None if str(label) == "all" else int(label) for label in labels]
    return curving.curve(_base(recipe), overrides, sizes, _seeds(seeds), gain, Path(out))


def tune(
    recipe: AnyPath,
    overrides: Sequence[str] = (),
    *,
    minutes: float | None = None,
    trials: int | None = None,
    seeds: int = 3,
    out: AnyPath,
) -> "Tuning":
    """Search hyper-parameters by validation rows under a budget, and run the winner whole.

    An interrupted search in `out` goes on where it was.

    Args:
        recipe: as for `run`, but not a Recipe.
        overrides: fields to change; of a list of values, one is chosen.
        minutes: budget of the search, its seeds and the winner's run.
        trials: number of trials; 20 where neither is given.
        seeds: runs of each of the two best trials, which decide between them.
        out: directory of the search; `best` in it is the winner's run.

    Raises:
        HFTransferError: Optuna is not installed, a number is out of range, or a run fails.
    """
    from hftransfer.choosing import tune as tuning

    if minutes is not None and not minutes > 0:
        raise RecipeError(f"--minutes: more than 0, got {minutes}")
    if trials is not None and trials < 1:
        raise RecipeError(f"--trials: at least 1, got {trials}")
    budget = tuning.Budget(minutes, _TRIALS if minutes is None and trials is None else trials)
    return tuning.tune(_base(recipe), overrides, budget, len(_seeds(seeds)), Path(out))


def _base(recipe: AnyPath) -> "Base":
    from hftransfer.choosing.grid import Base

    name = fspath(recipe)
    return Base(name, partial(read_recipe, name))


def _seeds(count: int) -> range:
    if not 1 <= count <= _MOST_SEEDS:
        raise RecipeError(f"--seeds: at least 1 and at most {_MOST_SEEDS}, got {count}")
    return range(count)


def read_recipe(recipe: Recipe | AnyPath, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a file, of the package, of a pushed run, or as it is given; with overrides.

    Raises:
        RecipeError: it is not a recipe, or a pushed one asks for what `pushed_recipe` refuses.
    """
    from hftransfer.core.yaml_writer import dump_yaml
    from hftransfer.recipe.loader import load_recipe, parse_recipe
    from hftransfer.runner.pushed_recipe import pushed_recipe

    if isinstance(recipe, Recipe):
        return parse_recipe(dump_yaml(recipe.model_dump()), "Recipe", overrides) if overrides else recipe
    name = fspath(recipe)
    return pushed_recipe(name, overrides) if name.startswith("hub:") else load_recipe(name, overrides)
