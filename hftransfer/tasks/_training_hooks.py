"""The hooks of a task that say what differs in its training, each with a default."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.errors import RecipeError
from hftransfer.tasks._state import TaskState
from hftransfer.tasks._types import EncodedRow, ModelBatch, Outputs, Predictions, Side

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor
    from transformers import PreTrainedModel


class TrainingHooks(TaskState):
    """What differs in the training."""

    @property
    def single_label(self) -> bool:
        """Whether each row has exactly one class."""
        return False

    @property
    def has_class_targets(self) -> bool:
        """Whether the labels are one class a row or a token, which Trainer can smooth."""
        return self.single_label

    @property
    def replaces_loss(self) -> bool:
        """Whether `install_loss` changes the model's loss."""
        return False

    @property
    def loss_has_weights(self) -> bool:
        """Whether `install_loss` adds weights, which are trained and not shipped; checkpoints have to hold them."""
        return False

    def install_loss(self, model: PreTrainedModel, references: Predictions) -> None:
        """Give a model that is about to train on rows of these references the loss that the recipe asks for."""

    def fit_frozen(
        self,
        model: PreTrainedModel,
        batches: Callable[[np.ndarray], Iterable[ModelBatch]],
        references: Predictions,
        seed: int,
    ) -> str:
        """Fit a model that nothing trains to training rows, in place; what the model card says of it, in a sentence.

        Called by the strategy `frozen` alone. `batches(row numbers)` gives these training rows on the model's device;
        `references` are those of all training rows.
        """
        raise NotImplementedError

    def finalize(self, model: PreTrainedModel) -> None:
        """Change a trained model in place so that it answers in the rows' own terms, without the task."""

    @property
    def augments(self) -> bool:
        """Whether `augment` changes rows."""
        return False

    def augment(self, row: EncodedRow, rng: np.random.Generator) -> EncodedRow:
        """An encoded row as one epoch of training sees it: a crop, a flip. Called once a row and epoch."""
        return row

    def script_values(self, rows: Dataset) -> dict[str, Any]:
        """What the template `rows_TASK.py.jinja` of `reporting/` needs to encode rows without this package (`eject`).

        Called with the training rows; of a task without such a template not at all.

        Raises:
            RecipeError: a field of the task asks for what the script does not do.
        """
        return {}

    def normalize(self, row: EncodedRow) -> EncodedRow:
        """An encoded row with what is left to the moment when it is read: pixels, cached as bytes, become floats.

        Called before `augment`; `collate` has to do the same, since only training rows are augmented.
        """
        return row

    def pack(self, rows: Dataset) -> Dataset:
        """The encoded training rows as training takes them: several short ones as one."""
        return rows

    def pseudo_labels(self, outputs: Outputs, side: Side) -> list[Any]:
        """A teacher's answers as `index_labels` would write them, for a student to learn from.

        Raises:
            RecipeError: such outputs are no labels.
        """
        raise RecipeError(f"strategy distill: the answers of a '{self.name}' model are no labels for another")

    def training_logits(self, logits: np.ndarray) -> np.ndarray:
        """Logits of a finalized model in the scale that its loss compares with labels."""
        return logits

    def distillation_loss(self, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """How far a student's logits are from its teacher's, both of shape (rows, labels); a scalar.

        Called once a training batch of a distillation. Default, for one class a row or a word: T^2 * KL(teacher,
        student) of the softened probabilities (Hinton et al. 2015, https://arxiv.org/abs/1503.02531, section 2).
        """
        from torch.nn import functional

        predicted, target = (functional.log_softmax(logits / temperature, dim=-1) for logits in (student, teacher))
        return temperature**2 * functional.kl_div(predicted, target, reduction="batchmean", log_target=True)
