"""The family of the tasks that need no labels: a part of each row is hidden, and the model predicts it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hftransfer.core.features import Feature, Label
from hftransfer.tasks import Outputs, Predictions, Side, Task
from hftransfer.tasks._choice_hooks import Sampled

if TYPE_CHECKING:
    from datasets import Dataset

# There is nothing to compare with: no loss, no hidden places, and no number of correct predictions.
_NO_REFERENCE = (0.0, 0.0, -1.0)


class MaskedRows(Task):
    """Adds scores of predictions for hidden places. In scoring the same places of a row are hidden every time.

    Outputs: `losses` and `right` (1 or 0), both of shape (rows, hidden places).
    """

    target: ClassVar[tuple[str, Feature] | None] = ("label", Label(optional=True))
    metrics: ClassVar[list[str]] = ["perplexity", "token_accuracy"]
    refuses: ClassVar[dict[str, str]] = {
        "few_shot": "it compares rows of one class each, and this task reads no labels",
        "distill": "the predictions of a teacher are no labels for another model",
    }

    @classmethod
    def likeness(cls, columns: Mapping[str, str], rows: Sampled) -> float:
        """Who has labels wants them to be found."""
        return -0.6 if "label" in columns else 0.0

    @property
    def may_be_empty(self) -> frozenset[str]:
        return frozenset({"label"})

    def strata(self, rows: Dataset) -> list[Any] | None:
        """The labels, where each row has one: the splits are then those of a classification of the same rows."""
        labels = rows["label"][:] if "label" in rows.column_names else [None]
        return labels if all(isinstance(label, str | int) for label in labels) else None

    def postprocess(self, outputs: Outputs, side: Side) -> Predictions:
        """Of shape (rows, 3): the sum of the losses, the number of hidden places, the number of right predictions."""
        # Losses are NaN too where a training has diverged.
        hidden = outputs["right"] != -1
        losses = np.where(hidden, outputs["losses"], 0).sum(axis=1)
        return np.stack([losses, hidden.sum(axis=1), (outputs["right"] == 1).sum(axis=1)], axis=1)

    def references(self, rows: Dataset) -> Predictions:
        return np.tile(_NO_REFERENCE, (len(rows), 1))

    def error(self, prediction: np.ndarray, reference: np.ndarray) -> float:
        """The mean loss of a hidden place; between two predictions, how many more places one of them has right."""
        total, count, right = prediction
        if reference[2] == _NO_REFERENCE[2]:
            return float(total / max(count, 1))
        return float(abs(right - reference[2]) / max(count, 1))

    def describe(self, value: np.ndarray) -> str:
        total, count, right = value
        return f"{right:.0f} of {count:.0f} right, loss {total / max(count, 1):.2f}" if count else "what is hidden"


def row_rng(array: np.ndarray) -> np.random.Generator:
    """The random numbers that choose a row's hidden places in scoring: they depend on its content alone."""
    return np.random.default_rng(zlib.crc32(np.ascontiguousarray(array).tobytes()))
