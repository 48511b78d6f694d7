"""What a training takes from the checkpoint's own task: rows of the source, scored before and after.

The tuned model's encoder stands under the head that the checkpoint came with (catastrophic forgetting, McCloskey and
Cohen 1989, https://doi.org/10.1016/S0079-7421(08)60536-8).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hftransfer.core.errors import RecipeError
from hftransfer.data.encode import Encoded, encode
from hftransfer.data.load import load_rows
from hftransfer.models.checkpoint import Checkpoint, ResolvedCheckpoint, open_processor, read_pretrained
from hftransfer.models.weights import load_saved
from hftransfer.recipe.schema import Data
from hftransfer.tasks import Task


@dataclass(frozen=True)
class SourceTask:
    """The test rows of the task that a checkpoint came from."""

    task: Task
    rows: Any
    references: np.ndarray
    """The class of each row by its number in the checkpoint."""
    checkpoint: Checkpoint

    def encoded(self, folder: Path) -> Encoded:
        """As the checkpoint takes them, kept in `folder`."""
        return encode(self.task, {"test": self.rows}, folder)

    def before(self) -> Any:
        """The checkpoint's own model."""
        return load_saved(self.task, self.checkpoint)

    def after(self, tuned: Any) -> Any:
        """The same with the encoder of a tuned model; None where it has another shape, or no name."""
        model = self.before()
        if model.base_model is model:
            return None
        theirs, own = tuned.base_model.state_dict(), model.base_model.state_dict()
        if any(name not in theirs or theirs[name].shape != it.shape for name, it in own.items()):
            return None
        model.base_model.load_state_dict({name: theirs[name] for name in own})
        return model


def source_task(task: Task, data: Data | None, origin: ResolvedCheckpoint, seed: int) -> SourceTask | None:
    """The rows of `evaluation.source_task`; None where there are none.

    Raises:
        RecipeError: the checkpoint has no head for the classes of these rows.
        DataError: as in the reading of the target's rows.
    """
    if data is None:
        return None
    from transformers import AutoConfig

    if origin.weights is None:
        raise RecipeError("evaluation.source_task: a new model comes from no task; leave it out")
    found = load_rows(task, data, seed)
    if getattr(found.task, "problem_type", None) != "single_label_classification":
        raise RecipeError("evaluation.source_task: rows of one class each are needed to see what is forgotten")
    config = read_pretrained(AutoConfig, origin.weights)
    known, labels = [name for _, name in sorted((config.id2label or {}).items())], found.task.labels
    if set(labels) != set(known):
        raise RecipeError(
            f"evaluation.source_task: the checkpoint knows the labels {', '.join(known[:8])}, "
            f"and the rows have {', '.join(labels[:8])}"
        )
    processor = open_processor(found.task, origin.weights, config, found.splits["train"])
    own = found.task.know(labels=tuple(known), processor=processor, architecture=config)
    own.check(found.splits, config)
    numbers = np.array([known.index(label) for label in labels])
    return SourceTask(own, found.splits["test"], numbers[own.references(found.splits["test"])], origin.weights)
