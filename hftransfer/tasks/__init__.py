"""The contract of a task: what differs between tasks, and nothing else. Each file of this folder is one task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from hftransfer.tasks._answer_hooks import AnswerHooks
from hftransfer.tasks._choice_hooks import ChoiceHooks
from hftransfer.tasks._fact_hooks import FactHooks
from hftransfer.tasks._hooks import CheckpointHooks, DisplayHooks, RowHooks
from hftransfer.tasks._loss import replace_loss
from hftransfer.tasks._scoring_hooks import ScoringHooks
from hftransfer.tasks._training_hooks import TrainingHooks
from hftransfer.tasks._types import (
    IGNORED,
    Encoded,
    EncodedRow,
    Illustration,
    Model,
    ModelBatch,
    Outputs,
    Predictions,
    Processor,
    Rendered,
    Row,
    Rows,
    RowTarget,
    Side,
    object_array,
    stack,
)

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = [
    "Model",
    "EncodedRow",
    "Row",
    "Rendered",
    "IGNORED",
    "Illustration",
    "Encoded",
    "ModelBatch",
    "Outputs",
    "Predictions",
    "Processor",
    "Rows",
    "RowTarget",
    "Side",
    "Task",
    "object_array",
    "replace_loss",
    "stack",
]


class Task(
    RowHooks, CheckpointHooks, TrainingHooks, ScoringHooks, FactHooks, ChoiceHooks, AnswerHooks, DisplayHooks, ABC
):
    """Base of the tasks.

    Implement the six abstract methods: `encode`, `collate`, `outputs`, `postprocess`, `references` and `error`. Declare
    `inputs`, `target`, `auto_model`, `auto_processor`, `metrics` and `tiny_model` (`tasks/_state.py` says what else may
    be declared). Override a hook (`tasks/_hooks.py`, `_training_hooks.py` ...) only where your task differs. Families
    share by a mixin that says what it adds: `Classification`, `Generation`, `Dense`, `Embedding`, `MaskedRows`.

    A task is frozen. What it needs to know of the rows and of the checkpoint is put into copies: `infer` and `fit` fill
    in fields from rows, `with_labels` the class names, `with_processor` the checkpoint's processor and config.
    """

    @abstractmethod
    def encode(self, rows: Rows) -> Encoded:
        """Model inputs of a batch of rows; labels are among them where the rows have a target.

        Called once a row in the life of a run (and for what is given to `predict`), in batches, before any training.
        """

    @abstractmethod
    def collate(self, encoded: list[EncodedRow]) -> ModelBatch:
        """A batch of tensors out of encoded inputs, each a mapping of the names in `Encoded.inputs`."""

    @abstractmethod
    def outputs(self, model: Model, batch: ModelBatch, side: Side) -> Outputs:
        """Named arrays with one entry a model input, on a PyTorch model and on an exported one alike.

        Called for every batch of every scored variant; at least one array holds floats.
        """

    @abstractmethod
    def postprocess(self, outputs: Outputs, side: Side) -> Predictions:
        """Predictions, one a row, in the row's own terms: masks at the image's size, answers in the text's spelling.

        Called once a variant and split with the outputs of the whole split. Where `encode` makes several model inputs
        of a row, `side["row"]` holds the number of the row that each belongs to.
        """

    @abstractmethod
    def references(self, rows: Dataset) -> Predictions:
        """What the metrics compare the predictions with, one a row. Called once a split; the caller keeps it.

        Class numbers are of an integer dtype, which metrics take as a sign that rows have classes.
        """

    @abstractmethod
    def error(self, prediction: Any, reference: Any) -> float:
        """How wrong a prediction is, 0 where it is right.

        The share of rows on which two variants agree and the list of the worst errors follow from it. `reference` may
        be the prediction of another variant.
        """

    def respond(self, outputs: Outputs, side: Side) -> dict[str, Any]:
        """What `predict` prints for one row, out of its outputs. To be overridden where more is to be said."""
        return {"prediction": self.describe(self.postprocess(outputs, side)[0])}
