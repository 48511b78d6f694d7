"""The Python API, which the command line uses too: run, check, predict, and what the commands share.

Torch is imported when a function is called, not with this file.
"""

from collections.abc import Sequence
from os import fspath
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.core.prefixes import HUB
from hftransfer.core.results import JsonObject, RunResult
from hftransfer.recipe.schema import Recipe
from hftransfer.runner.folders import AnyPath
from hftransfer.runner.folders import default_folder as default_folder
from hftransfer.runner.folders import finished_run as finished_run
from hftransfer.runner.folders import push_finished as push_finished

if TYPE_CHECKING:
    from gradio import Blocks

    from hftransfer.exporters._runtime import RuntimeModel
    from hftransfer.runner.plan import Plan


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
        recipe: a YAML file or its https address, the name of a packaged recipe (`quickstart`), `hub:user/name` for the
            recipe of a pushed run, or a Recipe.
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


def demo_page(run: AnyPath, variant: str = "tuned", *, revision: str | None = None) -> "Blocks":
    """The page of `hftransfer demo` as Gradio's Blocks, whose `launch()` serves it.

    Args:
        run: directory of a finished run, or `hub:user/name` for a pushed one.
        variant: `tuned`, or an exported variant such as `onnx-int8`; of a pushed run `tuned` alone.
        revision: branch, tag or commit of a pushed run.

    Raises:
        HFTransferError: there is no such run or variant, its files are damaged, or Gradio is not installed.
    """
    from hftransfer.runner import demo

    demo.check_installed()
    name = fspath(run)
    if name.startswith(HUB):
        if variant != "tuned":
            raise RecipeError(f"variant: the page of a pushed run asks its tuned model, not '{variant}'")
        return demo.page_of_pushed(name.removeprefix(HUB), revision)
    if revision is not None:
        raise RecipeError(f"revision: '{name}' is a directory; it is for hub:user/name")
    return demo.page_of(Path(name), finished_run(Path(name)), variant)


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


def read_recipe(recipe: Recipe | AnyPath, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a file, of the package, of a pushed run, or as it is given; with overrides.

    Raises:
        RecipeError: it is not a recipe, or one from elsewhere asks for what `foreign_recipe` refuses.
    """
    from hftransfer.core.yaml_writer import dump_yaml
    from hftransfer.recipe.loader import load_recipe, parse_recipe
    from hftransfer.runner.foreign_recipe import foreign_recipe, is_foreign

    if isinstance(recipe, Recipe):
        return parse_recipe(dump_yaml(recipe.model_dump()), "Recipe", overrides) if overrides else recipe
    name = fspath(recipe)
    return foreign_recipe(name, overrides) if is_foreign(name) else load_recipe(name, overrides)
