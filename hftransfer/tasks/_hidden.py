"""What the tasks share that learn from rows without labels: a part of a row is hidden, and the model guesses it."""

import zlib
from typing import Any, ClassVar

import numpy as np

from hftransfer.tasks import Outputs, Task


class _Hidden(Task):
    """Outputs: `losses` and `right` (1 or 0), both of shape (rows, hidden places).

    Scoring hides in a row always the same.
    """

    optional: ClassVar[frozenset[str]] = frozenset({"label"})

    def metrics(self) -> list[str]:
        return ["perplexity", "token_accuracy"]

    @property
    def may_be_empty(self) -> frozenset[str]:
        return self.optional

    def groups(self, rows: Any) -> list[Any] | None:
        """By the labels, where each row has one: the splits are then those of a classification of the same rows."""
        labels = rows["label"][:] if "label" in rows.column_names else [None]
        return labels if all(isinstance(label, str | int) for label in labels) else None

    def postprocess(self, outputs: Outputs) -> np.ndarray:
        """Of shape (rows, 3): the sum of the losses, how many places were hidden, and how many guesses are right."""
        # Losses are NaN too where a training has diverged.
        hidden = outputs["right"] != -1
        losses = np.where(hidden, outputs["losses"], 0).sum(axis=1)
        return np.stack([losses, hidden.sum(axis=1), (outputs["right"] == 1).sum(axis=1)], axis=1)

    def references(self, rows: Any) -> np.ndarray:
        """Nothing that a prediction could be equal to."""
        return np.tile([0.0, 0.0, -1.0], (len(rows), 1))

    def same(self, mine: np.ndarray, theirs: np.ndarray, references: np.ndarray) -> np.ndarray:
        """As many right guesses."""
        return np.asarray(mine[:, 2] == theirs[:, 2])

    def losses(self, outputs: Outputs, references: np.ndarray) -> np.ndarray:
        sums, counts, _ = self.postprocess(outputs).T
        return np.asarray(sums / np.maximum(counts, 1))

    def describe(self, value: Any) -> str:
        total, count, right = value
        return f"{right:.0f} of {count:.0f} guessed, loss {total / max(count, 1):.2f}" if count else "what is hidden"


def own_draw(array: np.ndarray) -> np.random.Generator:
    """What is drawn for a row in scoring: by its own content alone."""
    return np.random.default_rng(zlib.crc32(np.ascontiguousarray(array).tobytes()))
