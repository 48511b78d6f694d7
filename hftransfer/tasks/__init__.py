"""What differs between tasks, and nothing else: the contract that every file of this folder fills in."""

from collections.abc import Callable
from typing import Any, ClassVar, Literal, Self

import numpy as np

from hftransfer.errors import ModelError, RecipeError
from hftransfer.plugins import Plugin

Kind = Literal["text", "image", "audio", "label"]
Batch = dict[str, Any]


class Task(Plugin):
    """Base of the tasks.

    `rows` is a `datasets.Dataset` whose columns have the names of the roles; `outputs` is what the model says of each
    row, an array with one entry a row; `predictions` and `references` are what the metrics compare.
    """

    columns: ClassVar[dict[str, Kind]]
    """Role -> what its cells hold."""
    optional: ClassVar[frozenset[str]] = frozenset()
    """Roles that a data set need not have."""
    auto_model: ClassVar[str]
    """The Auto class of Transformers that loads a model of the task."""
    auto_processor: ClassVar[str]
    """The Auto class of Transformers that loads what makes the model's inputs."""

    def metrics(self) -> list[str]:
        """Default metrics, the headline first."""
        raise NotImplementedError

    def metric_config(self) -> str | None:
        """The config under which the modules of `hftransfer/metrics/` compare the task's predictions."""
        return None

    def new_processor(self, config: Any) -> Any:
        """A processor for a new model that has none beside it.

        Raises:
            ModelError: the task needs `model.processor`.
        """
        raise ModelError(f"a new model for '{self.name}' needs 'model.processor': the checkpoint to take it from")

    def resolve(self, rows: Any) -> Self:
        """The task with the fields that a recipe may leave out read off the training rows."""
        return self

    def learn(self, rows: Any) -> Self:
        """The task with what it may know of the final training rows alone: the scale of numbers, a vocabulary."""
        return self

    def finish(self, model: Any) -> None:
        """Change a trained model in place so that its outputs are in the rows' own terms, without the task."""

    def groups(self, rows: Any) -> list[Any] | None:
        """The class of each row, by which splits are stratified and shots counted; None where rows have none."""
        return None

    def labels(self, splits: dict[str, Any]) -> tuple[str, ...]:
        """Class names in the order of the model's outputs; the other splits may hold no other ones."""
        return ()

    def index(self, rows: Any, labels: tuple[str, ...]) -> Any:
        """The rows with the label column as the model's loss takes it."""
        return rows

    def config(self, labels: tuple[str, ...]) -> dict[str, Any]:
        """Fields of the model's config that follow from the rows."""
        return {}

    def encode(self, rows: dict[str, list[Any]], processor: Any) -> dict[str, list[Any]]:
        """Model inputs for a batch of rows; a column `length` lets batches be made of rows of like length."""
        raise NotImplementedError

    @property
    def varies(self) -> bool:
        """Whether training sees other versions of its rows in each epoch."""
        return False

    def vary(self, row: dict[str, Any], draw: np.random.Generator) -> dict[str, Any]:
        """An encoded row as one epoch of training sees it: a crop, a flip."""
        return row

    def collator(self, processor: Any) -> Callable[[list[dict[str, Any]]], Batch]:
        """From encoded rows to a batch of tensors."""
        raise NotImplementedError

    def predict(self, model: Any, batch: Batch) -> np.ndarray:
        """Outputs for a batch, on PyTorch and on an exported model alike."""
        raise NotImplementedError

    def decide(self, outputs: np.ndarray) -> np.ndarray:
        """Predictions out of outputs."""
        raise NotImplementedError

    def references(self, rows: Any) -> np.ndarray:
        """What the metrics hold the predictions against."""
        raise NotImplementedError

    def losses(self, outputs: np.ndarray, references: np.ndarray) -> np.ndarray:
        """How wrong each row is, for the list of worst errors."""
        raise NotImplementedError

    def constant(self, references: np.ndarray) -> np.ndarray:
        """The output for every row of the best model that looks at no input, learnt from training references.

        Raises:
            RecipeError: the task has no such model.
        """
        raise RecipeError(f"task '{self.name}' has no baseline 'majority'")

    def describe(self, value: Any, labels: tuple[str, ...]) -> str:
        """A prediction or a reference in words."""
        return str(value)

    def read(self, text: str) -> dict[str, Any]:
        """A row out of what somebody gives to `predict`: a file's path or a line of text."""
        raise NotImplementedError

    def show(self, row: dict[str, Any]) -> dict[str, str]:
        """What a report shows of a row: `text`, or `image` as a base64 PNG."""
        raise NotImplementedError

    def answer(self, output: np.ndarray, labels: tuple[str, ...]) -> dict[str, Any]:
        """What `predict` prints for a row."""
        raise NotImplementedError
