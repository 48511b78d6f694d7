"""`predict`: a finished run, in PyTorch or exported, on what somebody gives it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.core.results import RunResult
from hftransfer.models.checkpoint import Checkpoint
from hftransfer.models.weights import load_saved
from hftransfer.recipe.loader import from_record


def predictions(folder: Path, result: RunResult, inputs: list[str], variant: str = "tuned") -> Iterator[dict[str, Any]]:
    """One answer for each input.

    Raises:
        RecipeError: the run has no such variant.
        DataError: an input cannot be read.
    """
    recipe = from_record(result.recipe)
    shipped = ["tuned", *(name for name, facts in result.exports.items() if not facts.rejected)]
    if variant not in shipped:
        raise RecipeError(f"the run has no variant '{variant}'; {plugins.nearest(variant, shipped)}")
    exporters = [plugins.load("exporters", recipe.export.format)()] if recipe.export and variant != "tuned" else []
    for plugin in (recipe.task, *exporters):
        plugin.check_installed()
    task = recipe.task.know(labels=tuple(result.data.labels))
    rows = [task.read(text) for text in inputs]
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    place = folder / ("model" if variant == "tuned" else variant)
    model = exporters[0].load(task, place) if exporters else load_saved(task, Checkpoint(str(place))).eval()

    def read(name: str, **more: Any) -> Any:
        return getattr(transformers, name).from_pretrained(place, **more)

    processor = task.open_processor(read, model.config, None)
    task = task.know(processor=processor, architecture=model.config)
    collate = task.collator()
    for row in rows:
        encoded = task.encode({role: [cell] for role, cell in row.items()})
        with torch.inference_mode():
            outputs = task.predict(model, collate([{name: cells[0] for name, cells in encoded.items()}]))
        yield task.answer(outputs)
