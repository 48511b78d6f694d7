"""`predict`: a finished run, in PyTorch or exported, on what somebody gives it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hftransfer.core import plugins
from hftransfer.core.console import silence_transformers
from hftransfer.core.errors import ExportError, RecipeError
from hftransfer.core.files import write_bytes
from hftransfer.core.results import RunResult
from hftransfer.data.encode import encode_one, side_of, without_side
from hftransfer.exporters import Exporter
from hftransfer.models.checkpoint import Checkpoint
from hftransfer.models.reading import read_pretrained
from hftransfer.models.weights import load_saved
from hftransfer.recipe.loader import from_record
from hftransfer.runner.finished import export_again, variant_folder
from hftransfer.runner.out_of_domain import out_of_domain_scorer
from hftransfer.tasks import Processor, Task


def predictions(
    folder: Path, result: RunResult, inputs: Sequence[str], variant: str = "tuned", abstain: float | None = None
) -> Iterator[dict[str, Any]]:
    """One answer for each input.

    With `abstain`, an answer has the entries `confidence`, the probability that it is right, and `abstained`, and its
    `label` is None where the confidence is lower than `abstain`. Answers of the tuned model have `out_of_domain`, the
    share of validation rows that are nearer to the training rows, where the run has kept the features of these.

    Raises:
        RecipeError: the run has no such variant, or its answers no probabilities by which to abstain.
        DataError: an input cannot be read.
        ModelError, ExportError: a file of the variant is missing or damaged.
    """
    if abstain is not None and not 0 <= abstain <= 1:
        raise RecipeError(f"abstain: a probability lies between 0 and 1, got {abstain}")
    recipe = from_record(result.recipe)
    variants = ["tuned", *(name for name, facts in result.exports.items() if not facts.rejected)]
    if variant not in variants:
        raise RecipeError(f"the run has no variant '{variant}'; {plugins.nearest(variant, variants)}")
    exporters = [plugins.load("exporters", recipe.export.format)()] if recipe.export and variant != "tuned" else []
    for plugin in (recipe.task, *exporters):
        plugin.check_installed()
    task: Task = recipe.task.with_labels(tuple(result.data.labels)).model_copy(update=result.fitted)
    rows = [task.parse(text) for text in inputs]
    import torch
    import transformers

    silence_transformers()
    place = variant_folder(folder, result, variant)
    model = _load_exported(exporters[0], task, place) if exporters else load_saved(task, Checkpoint(str(place))).eval()

    def read(name: str, **options: Any) -> Processor:
        return read_pretrained(getattr(transformers, name), Checkpoint(str(place)), **options)

    task = task.with_processor(task.open_processor(read, model.config, None), model.config)
    score = out_of_domain_scorer(folder, task, model) if variant == "tuned" else lambda _examples: {}
    for row in rows:
        examples = encode_one(task, row)
        side = side_of(examples)
        with torch.inference_mode():
            outputs = task.outputs(model, task.collate(without_side(examples)), side)
        answer = task.respond(outputs, side)
        if abstain is not None:
            confidence = task.confidence(outputs, side)
            if confidence is None:
                raise RecipeError(f"abstain: the answers of '{result.task}' have no probabilities here; leave it out")
            answer |= _abstained(float(confidence[0]), abstain)
        yield answer | score(examples)


def with_recording(answer: dict[str, Any], file: Path) -> dict[str, Any]:
    """The answer of a model that speaks, its sound written into a WAV file whose path takes its place.

    Raises:
        RecipeError: the answer has no sound.
    """
    if "audio" not in answer:
        raise RecipeError(f"--out: it is for models that speak, and this one answers {', '.join(answer)}; leave it out")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(file, base64.b64decode(answer["audio"]))
    return answer | {"audio": str(file)}


def _load_exported(exporter: Exporter, task: Task, place: Path) -> Any:
    """An exported variant of a run in its runtime; an error says how it is made again."""
    try:
        return exporter.load(task, place)
    except ExportError as error:
        raise ExportError(f"{error}; {export_again(place.parent, place.name)}") from None


def _abstained(confidence: float, lowest: float) -> dict[str, Any]:
    """What abstaining adds to an answer, or takes from it."""
    kept: dict[str, Any] = {"confidence": confidence, "abstained": confidence < lowest}
    return kept | {"label": None} if kept["abstained"] else kept
