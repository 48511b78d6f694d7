"""`predict`: a finished run, in PyTorch or exported, on what somebody gives it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftransfer.core import plugins
from hftransfer.core.console import silence_transformers
from hftransfer.core.errors import ExportError, RecipeError
from hftransfer.core.files import write_bytes
from hftransfer.core.results import RunResult
from hftransfer.data.encode import Example, encode_one, side_of, without_side
from hftransfer.exporters import Exporter
from hftransfer.models.checkpoint import Checkpoint
from hftransfer.models.reading import read_pretrained
from hftransfer.models.weights import load_saved
from hftransfer.recipe.loader import from_record
from hftransfer.runner.finished import export_again, variant_folder
from hftransfer.runner.out_of_domain import out_of_domain_scorer
from hftransfer.tasks import Illustration, Model, Outputs, Processor, Row, Side, Task

if TYPE_CHECKING:
    from transformers import PretrainedConfig


@dataclass(frozen=True)
class Predictor:
    """A variant of a finished run, loaded: it answers one row after the other."""

    task: Task
    model: Model
    score: Callable[[list[Example]], dict[str, Any]]
    """What is said of the model inputs of a row besides the answer."""

    def answer(self, row: Row, abstain: float | None = None) -> dict[str, Any]:
        """The answer to a row as `Task.parse` gives it, with `abstain` as `predictions` has it.

        Raises:
            DataError: the row cannot be encoded.
            RecipeError: the answer has no probability by which to abstain.
        """
        examples, outputs, side = self._outputs(row)
        answer = self.task.respond(outputs, side)
        if abstain is not None:
            confidence = self.task.confidence(outputs, side)
            if confidence is None:
                raise RecipeError(
                    f"abstain: the answers of '{self.task.name}' have no probabilities here; leave it out"
                )
            answer |= _abstained(float(confidence[0]), abstain)
        return answer | self.score(examples)

    def illustrated(self, row: Row) -> tuple[dict[str, Any], Illustration]:
        """The answer to a row, and what shows it.

        Raises:
            DataError: the row cannot be encoded.
        """
        examples, outputs, side = self._outputs(row)
        answer = self.task.respond(outputs, side) | self.score(examples)
        return answer, self.task.illustrate(row, outputs, side)

    def _outputs(self, row: Row) -> tuple[list[Example], Outputs, Side]:
        import torch

        examples = encode_one(self.task, row)
        side = side_of(examples)
        with torch.inference_mode():
            return examples, self.task.outputs(self.model, self.task.collate(without_side(examples)), side), side


def load_predictor(folder: Path, result: RunResult, variant: str = "tuned") -> Predictor:
    """A variant of the finished run in a folder, loaded.

    Raises:
        RecipeError: the run has no such variant.
        ModelError, ExportError: a file of the variant is missing or damaged.
        MissingExtraError: a package of the task or of the exporter is not installed.
    """
    task, exporter = _plugins(result, variant)
    silence_transformers()
    place = variant_folder(folder, result, variant)
    saved = Checkpoint(str(place))
    model = _load_exported(exporter, task, place) if exporter else load_saved(task, saved).eval()
    task = _with_processor(task, model.config, saved)
    return Predictor(task, model, (lambda _examples: {}) if exporter else out_of_domain_scorer(folder, task, model))


def load_pushed(repo: str, revision: str | None = None) -> tuple[RunResult, Predictor]:
    """The record and the tuned model of a run that was pushed, from the Hub or its cache; it runs no code from there.

    Raises:
        HubError: there is no such repository, or no run of this version in it.
        ModelError: a file of the model is damaged, or not there: an adapter was pushed alone.
        MissingExtraError: a package of the task is not installed.
    """
    from hftransfer.hub import client

    place = Checkpoint(repo, client.resolve_revision(repo, revision))
    result = client.read_result(repo, place.revision)
    task, _ = _plugins(result, "tuned")
    silence_transformers()
    model = load_saved(task, place).eval()
    return result, Predictor(_with_processor(task, model.config, place), model, lambda _examples: {})


def saved_task(folder: Path, result: RunResult) -> Task:
    """The task of a finished run with what was fitted, the processor and the config of its model, without weights.

    Raises:
        ModelError: a file of the model is missing or damaged.
        MissingExtraError: a package of the task is not installed.
    """
    import transformers

    saved = Checkpoint(str(folder / "model"))
    return _with_processor(_plugins(result, "tuned")[0], read_pretrained(transformers.AutoConfig, saved), saved)


def _with_processor(task: Task, config: PretrainedConfig, saved: Checkpoint) -> Task:
    """The task with the processor that was saved with a model."""
    import transformers

    def read(name: str, **options: Any) -> Processor:
        return read_pretrained(getattr(transformers, name), saved, **options)

    return task.with_processor(task.open_processor(read, config, None), config)


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
    task, _ = _plugins(result, variant)
    # Before anything is loaded, so that a wrong input is an error at once.
    rows = [task.parse(text) for text in inputs]
    predictor = load_predictor(folder, result, variant)
    for row in rows:
        yield predictor.answer(row, abstain)


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


def _plugins(result: RunResult, variant: str) -> tuple[Task, Exporter | None]:
    """The task of a run as it was fitted, and what loads the variant where that is an exported one.

    Raises:
        RecipeError: the run has no such variant.
        MissingExtraError: a package of the task or of the exporter is not installed.
    """
    recipe = from_record(result.recipe)
    variants = ["tuned", *(name for name, facts in result.exports.items() if not facts.rejected)]
    if variant not in variants:
        raise RecipeError(f"the run has no variant '{variant}'; {plugins.nearest(variant, variants)}")
    exported = recipe.export if variant != "tuned" else None
    exporter: Exporter | None = plugins.load("exporters", exported.format)() if exported else None
    for plugin in (recipe.task, exporter):
        if plugin is not None:
            plugin.check_installed()
    return recipe.task.with_labels(tuple(result.data.labels)).model_copy(update=result.fitted), exporter


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
