"""Where runs are written, and the folders of finished ones: their records, and pushing one."""

from os import PathLike
from pathlib import Path

from hftransfer.core import plugins
from hftransfer.core.errors import HubError, RecipeError
from hftransfer.core.paths import is_file, is_folder
from hftransfer.core.results import RunResult
from hftransfer.recipe.schema import Recipe

AnyPath = str | PathLike[str]


def default_folder(recipe: Recipe | AnyPath) -> Path:
    """Where a run is written unless another place is asked for."""
    if isinstance(recipe, Recipe):
        return Path("runs") / f"{recipe.task.name}-{recipe.strategy.name}"
    # An address may end with a query.
    name = Path(recipe).name.partition("?")[0]
    return Path("runs") / name.removesuffix(".yaml").removesuffix(".yml")


def folder_of(command: str, recipe: Recipe | AnyPath) -> Path:
    """Where a command that makes several runs, or none, writes unless another place is asked for."""
    return default_folder(recipe).with_name(f"{command}-{default_folder(recipe).name}")


def push_finished(recipe: Recipe, folder: Path) -> str | None:
    """Push a finished run where its recipe asks for that; the address of the commit.

    Raises:
        HubError: the Hub refuses; the sentence says how to push later.
    """
    from accelerate import PartialState

    if recipe.hub is None or not PartialState().is_main_process:
        return None
    from hftransfer.hub.push import Wanted, push

    try:
        return push(folder, Wanted(recipe.hub.repo))["model"].address
    except HubError as error:
        raise HubError(f"{error} (the run is finished: `hftransfer push {folder}`)") from None


def finished_run(folder: Path) -> RunResult:
    """The record of a finished run.

    Raises:
        RecipeError: the directory holds none, or it is damaged.
    """
    from hftransfer.core.run_folder import recover

    if folder.name:
        recover(folder)
    record = folder / "result.json"
    if not is_file(record):
        runs = [str(path.parent) for path in folder.parent.glob("*/result.json")] if is_folder(folder.parent) else []
        raise RecipeError(f"'{folder}' is not a finished run; {plugins.nearest(folder, runs)}")
    return RunResult.load(record)
