"""`eject`: a finished run as a script of plain Transformers, its rows as Parquet files, a local checkpoint as a copy.

What the script says follows from the plan of the run and from the checkpoint's model. Whatever it would do otherwise
than the run is refused, by the plug-in that the run used or here.
"""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftransfer.core.errors import RecipeError
from hftransfer.core.files import atomic_directory, write_text
from hftransfer.core.paths import is_folder
from hftransfer.core.results import RunResult
from hftransfer.models.checkpoint import Checkpoint, empty_model
from hftransfer.models.compat import has_fast_norms
from hftransfer.models.weights import load_model
from hftransfer.recipe.loader import from_record
from hftransfer.recipe.schema import Recipe
from hftransfer.reporting.script import script, template_exists
from hftransfer.runner.eject_checkpoint import changed_config, copy_checkpoint, refuse_odd_weights, script_checkpoint
from hftransfer.runner.eject_rows import write_rows
from hftransfer.runner.finished import check_rows
from hftransfer.runner.folders import finished_run
from hftransfer.runner.plan import Plan, check
from hftransfer.strategies import ScriptContext
from hftransfer.tasks import Task
from hftransfer.training.arguments import script_arguments

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SCRIPT = "train.py"
_ORDER = ("train", "validation", "test", "unlabelled")
# Keys of the recipe that no script has, with the value that they have in a run that can be ejected.
_ABSENT: dict[str, Any] = {
    "data.augment": "none",
    "data.streaming": False,
    "compress": [],
    "model.processor": None,
    "model.trust_remote_code": False,
}


def eject(run: str | PathLike[str], out: str | PathLike[str] | None = None) -> Path:
    """Write a finished run as a script without this package, whose predictions are those of the run.

    Args:
        run: directory of the run.
        out: directory that is written; by default that of the run with `-ejected` after its name.

    Returns:
        The directory, with `train.py`, `rows/` and, unless it is on the Hub, `checkpoint/`.

    Raises:
        HFTransferError: in a sentence, what of the run the script would not do, or why the directory cannot be written.
    """
    from hftransfer.core.console import silence_transformers

    folder = Path(run)
    result = finished_run(folder)
    named = folder.resolve() if folder.name in ("", "..") else folder
    place = Path(out) if out is not None else named.with_name(f"{named.name}-ejected")
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise RecipeError(f"--out: '{place}' exists already, and is not an empty directory; choose another one")
    recipe = from_record(result.recipe, training=True)
    _check_recipe(recipe)
    plan = check(recipe)
    check_rows(folder, result, plan.rows.facts, "so the script could not repeat the run")
    silence_transformers()
    model = load_model(plan.task, plan.origin)
    refuse_odd_weights(model)
    values = _values(plan, result, model)
    checkpoints = {name: it for name, it in values.items() if isinstance(it, Checkpoint)}
    values |= {name: script_checkpoint(plan, it, name) for name, it in checkpoints.items()}
    text = script(f"train_{recipe.strategy.name}.py.jinja", values, result.versions, _extra_packages(plan))

    def write(partial: Path) -> None:
        for name, checkpoint in checkpoints.items():
            copy_checkpoint(checkpoint, partial / name)
        write_rows(plan.task, plan.rows.splits, partial / "rows")
        write_text(partial / SCRIPT, text)

    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir():
        place.rmdir()
    atomic_directory(place, write)
    return place


def _check_recipe(recipe: Recipe) -> None:
    """Refuse what no script does, before any row is read.

    Raises:
        RecipeError: names the key.
    """
    for kind, name, template in (
        ("task", recipe.task.name, _rows_template(recipe.task)),
        ("strategy", recipe.strategy.name, f"train_{recipe.strategy.name}.py.jinja"),
    ):
        if not template_exists(template):
            raise RecipeError(f"eject: it has no script for the {kind} '{name}'")
    fields = recipe.model_dump()
    for key, value in _ABSENT.items():
        section, _, name = key.partition(".")
        given = fields[section][name] if name else fields[section]
        if given != value:
            raise RecipeError(f"eject: its scripts have no {key}, which the run has set to {given!r:.60}")
    if recipe.model.id is None or "model_type" in (recipe.model.config or {}):
        raise RecipeError("eject: its scripts start from a checkpoint as it is, and the run has a new model.config")


def _in_words(name: str | None) -> str:
    """The name of a run or a checkpoint for a docstring, without the place of a local one."""
    shown = name if name and not is_folder(name) else Path(name or "").name
    return re.sub(r"[^\w .:@/+-]", "_", shown)


def _rows_template(task: Task) -> str:
    return f"rows_{task.name.replace('-', '_')}.py.jinja"


def _values(plan: Plan, result: RunResult, model: PreTrainedModel) -> dict[str, Any]:
    """The values of the templates; those that are checkpoints are to be copied."""
    recipe, task, weights = plan.recipe, plan.task, plan.origin.weights
    assert weights is not None
    spec, train = plan.tuned, plan.rows.splits["train"]
    encoded = task.encode(train[:1])
    accuracy = result.scores["test"]["tuned"].get("accuracy")
    return {
        "title": f"{_in_words(recipe.model.id)}: {task.name} by the strategy {recipe.strategy.name}.",
        "run": _in_words(result.name),
        "checkpoint": weights,
        "version": result.versions.get("hftransfer-recipes", ""),
        "seed": recipe.seed,
        "use_cpu": bool(spec.training.get("use_cpu")),
        "rows_template": _rows_template(task),
        "auto_model": task.model_class(plan.origin.config),
        "auto_processor": task.auto_processor,
        "config_fields": changed_config(plan),
        "new_weights": model.new_weights,
        "has_drawn": model.has_drawn,
        "shorter": model.shorter,
        "label_heads": model.label_heads,
        "fast_norms": has_fast_norms(empty_model(task, plan.origin)),
        "splits": tuple(sorted(plan.rows.splits, key=_ORDER.index)),
        "run_accuracy": f" (the run: {accuracy.value:.4f})" if accuracy else "",
        "batch_size": recipe.evaluation.batch_size,
        "arguments": script_arguments(spec.training, by_length=encoded.length is not None),
        **task.script_values(train),
        **spec.strategy.script_values(ScriptContext(task, model, train, result.head_input)),
    }


def _extra_packages(plan: Plan) -> list[str]:
    """Packages that the script needs and does not import."""
    trainer = ["accelerate"] if plan.tuned.uses_trainer(plan.task) else []
    files = {"image": ["pillow", "torchvision"]}
    types = {feature.name for feature in plan.task.inputs.values()}
    # The vocabulary of some tokenizers is a file of SentencePiece.
    model_file = str(getattr(plan.origin.processor, "vocab_file", "")).endswith(".model")
    words = ["sentencepiece", "protobuf"] if model_file else []
    return [*trainer, *words, *(name for kind, names in files.items() if kind in types for name in names)]
