"""What a training loses of the checkpoint's own task: rows of the source, scored before and after.

The tuned model's encoder is put under the head that the checkpoint came with (catastrophic forgetting, McCloskey and
Cohen 1989, https://doi.org/10.1016/S0079-7421(08)60536-8).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.core.errors import RecipeError
from hftransfer.data.encode import EncodedSplits, encode
from hftransfer.data.load import Rows
from hftransfer.models.checkpoint import Checkpoint, ResolvedCheckpoint, open_processor
from hftransfer.models.layers import blocks
from hftransfer.models.reading import read_pretrained
from hftransfer.models.weights import load_saved
from hftransfer.tasks import Predictions, Task

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class SourceTask:
    """The test rows of the task that a checkpoint came from."""

    task: Task
    rows: Dataset
    references: Predictions
    """The class of each row by its number in the checkpoint."""
    checkpoint: Checkpoint
    fingerprint: str
    """A hash of the rows' content."""

    def encoded(self, folder: Path) -> EncodedSplits:
        """As the checkpoint takes them, cached in `folder`."""
        return encode(self.task, {"test": self.rows}, folder)

    def before(self) -> PreTrainedModel:
        """The checkpoint's own model."""
        return load_saved(self.task, self.checkpoint)

    def after(self, tuned: PreTrainedModel) -> PreTrainedModel | None:
        """The same with the encoder of a tuned model; None where that has another shape, or no name."""
        model = self.before()
        if model.base_model is model:
            return None
        if len(blocks(model)) != len(blocks(tuned)):
            return None
        tuned_weights, weights = tuned.base_model.state_dict(), model.base_model.state_dict()
        if any(name not in tuned_weights or tuned_weights[name].shape != it.shape for name, it in weights.items()):
            return None
        model.base_model.load_state_dict({name: tuned_weights[name] for name in weights})
        return model


def source_task(rows: Rows, origin: ResolvedCheckpoint) -> SourceTask:
    """The test rows of `evaluation.source_task`, numbered as the checkpoint numbers its classes.

    Raises:
        RecipeError: the checkpoint has no head for the classes of these rows.
    """
    from transformers import AutoConfig

    if origin.weights is None:
        raise RecipeError("evaluation.source_task: a new model comes from no task; leave it out")
    if not rows.task.single_label:
        raise RecipeError("evaluation.source_task: rows of one class each are needed to see what is forgotten")
    config = read_pretrained(AutoConfig, origin.weights)
    known = [name for _, name in sorted((config.id2label or {}).items())]
    labels = rows.task.labels
    if set(labels) != set(known):
        raise RecipeError(
            f"evaluation.source_task: the checkpoint has the labels {', '.join(known[:8])}, "
            f"and the rows have {', '.join(labels[:8])}"
        )
    processor = open_processor(rows.task, origin.weights, config, rows.splits["train"])
    task = rows.task.with_labels(tuple(known)).with_processor(processor, config)
    task.check(rows.splits, config)
    numbers = np.array([known.index(label) for label in labels])
    test = rows.splits["test"]
    return SourceTask(task, test, numbers[task.references(test)], origin.weights, rows.facts.fingerprint)
