"""What differs between tasks, and nothing else: the contract that every file of this folder fills in."""

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import PrivateAttr

from hftransfer.core.errors import DataError, ModelError, RecipeError
from hftransfer.core.features import Kind
from hftransfer.core.plugins import Plugin, natural

IGNORED = -100
"""The label of what is not to be told, as PyTorch's losses know it."""

Batch = dict[str, Any]
Outputs = dict[str, np.ndarray]
"""What a model says of rows: arrays by name, one entry a row, padded with NaN or -1 where rows differ in shape."""


def stacked(arrays: list[np.ndarray]) -> np.ndarray:
    """One array of all, filled up to the largest shape with NaN, whole numbers with -1."""
    shape = tuple(max(sizes) for sizes in zip(*(array.shape for array in arrays), strict=True))
    fill = np.nan if arrays[0].dtype.kind == "f" else -1

    def whole(array: np.ndarray) -> np.ndarray:
        missing = [(0, size - own) for size, own in zip(shape, array.shape, strict=True)]
        return np.pad(array, missing, constant_values=fill)

    return np.stack([array if array.shape == shape else whole(array) for array in arrays])


class Task(Plugin):
    """Base of the tasks.

    `rows` is a `datasets.Dataset` whose columns have the names of the roles; `predictions` and `references` are what
    the metrics compare, one entry a row. A task learns what it needs on the way: `resolve` and `learn` fill in fields
    from the rows; the class names and the checkpoint's processor are put in by `know`.
    """

    columns: ClassVar[dict[str, Kind]]
    """Role -> what its cells hold."""
    optional: ClassVar[frozenset[str]] = frozenset()
    """Roles that a data set need not have."""
    targets: ClassVar[frozenset[str]] = frozenset({"label"})
    """Roles that the model has to find; the others are its inputs, by which duplicates are known."""
    auto_model: ClassVar[str]
    """The Auto class of Transformers that loads a model of the task."""
    auto_processor: ClassVar[str]
    """The Auto class of Transformers that loads what makes the model's inputs."""
    loss_input: ClassVar[str] = "labels"
    """The entry of a batch without which a model computes no loss."""
    pretraining: ClassVar[str] = ""
    """Of a task whose models are there to be checkpoints of others: what the Hub calls such a checkpoint.

    They have no pipeline, and are not exported.
    """

    _labels: tuple[str, ...] = PrivateAttr(default=())
    _processor: Any = PrivateAttr(default=None)
    _architecture: Any = PrivateAttr(default=None)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the model's outputs; empty where there are none."""
        return self._labels

    @property
    def processor(self) -> Any:
        """The checkpoint's tokenizer, image processor or feature extractor, known once the checkpoint is opened."""
        return self._processor

    @property
    def architecture(self) -> Any:
        """The checkpoint's config, known once it is opened."""
        return self._architecture

    def know(self, *, labels: tuple[str, ...] | None = None, processor: Any = None, architecture: Any = None) -> Self:
        """The task with its class names, with its processor, or with the config of its model."""
        copy = self.model_copy()
        copy._labels = self._labels if labels is None else labels
        copy._processor = processor or self._processor
        copy._architecture = architecture or self._architecture
        return copy

    @property
    def example(self) -> str:
        """What the card's snippet gives the pipeline `pipe`, as Python; empty for a text or a file of the input."""
        return ""

    @property
    def usage(self) -> tuple[str, str, str] | None:
        """How the card's snippet imports, opens and asks the model `repo`, where Transformers has no pipeline."""
        return None

    @property
    def may_be_empty(self) -> frozenset[str]:
        """Roles whose cells may be empty."""
        return frozenset()

    def metrics(self) -> list[str]:
        """Default metrics, the headline first."""
        raise NotImplementedError

    def metric_config(self) -> str | None:
        """The config under which the modules of `hftransfer/metrics/` compare the task's predictions."""
        return None

    def model_class(self, config: Any) -> str:
        """The Auto class for a checkpoint, where the task has more than one."""
        return self.auto_model

    def open_processor(self, read: Callable[..., Any], config: Any, rows: Any) -> Any:
        """The processor of a checkpoint for the training rows (None: as it is).

        `read(class name, **options)` calls the class's `from_pretrained`.
        """
        return read(self.auto_processor)

    def new_processor(self, config: Any, rows: Any) -> Any:
        """A processor for a new model that has none beside it, made for the training rows.

        Raises:
            ModelError: the task needs `model.processor`.
        """
        raise ModelError(f"a new model for '{self.name}' needs 'model.processor': the checkpoint to take it from")

    def check_row(self, row: dict[str, Any]) -> str | None:
        """Why a row, its cells read, cannot be used; None where it can."""
        return None

    def resolve(self, rows: Any) -> Self:
        """The task with the fields that a recipe may leave out read off the training rows."""
        return self

    def learn(self, rows: Any) -> Self:
        """The task with what it may know of the final training rows alone: the scale of numbers, a vocabulary."""
        return self

    @property
    def one_class(self) -> bool:
        """Whether the labels are a class for each row or token, which Trainer can smooth."""
        return False

    @property
    def replaces_loss(self) -> bool:
        """Whether `weigh` changes the model's loss."""
        return False

    def install_loss(self, model: Any, references: np.ndarray) -> None:
        """Let a model that is about to train on rows of these references have the loss that the recipe asks for."""

    def finish(self, model: Any) -> None:
        """Change a trained model in place so that its outputs are in the rows' own terms, without the task."""

    def groups(self, rows: Any) -> list[Any] | None:
        """The class of each row, by which splits are stratified and shots counted; None where rows have none."""
        return None

    def named(self, rows: Any) -> list[list[str]] | None:
        """The classes of each row, by name; None where rows have none."""
        return None

    def find_labels(self, splits: dict[str, Any]) -> tuple[str, ...]:
        """Class names of the training rows, in their natural order; the other splits may hold no other ones.

        Raises:
            DataError: they do.
        """
        first = {split: self._first(rows) for split, rows in splits.items()}
        for split, found in first.items():
            for label in sorted(found.keys() - first["train"].keys()):
                raise DataError(
                    f"label '{label}' in split '{split}' (row {found[label]}) is not among the training labels: "
                    f"{', '.join(sorted(first['train']))}"
                )
        return tuple(sorted(first["train"], key=natural))

    def _first(self, rows: Any) -> dict[str, int]:
        """Class -> the first row that has it."""
        places: dict[str, int] = {}
        for row, names in enumerate(self.named(rows) or []):
            for name in names:
                places.setdefault(name, row)
        return places

    def index(self, rows: Any) -> Any:
        """The rows with the label column as the model's loss takes it."""
        return rows

    def config(self) -> dict[str, Any]:
        """Fields of the model's config that follow from the rows: the class names, where there are any."""
        names = dict(enumerate(self.labels))
        if not names:
            return {}
        return {"num_labels": len(names), "id2label": names, "label2id": {name: i for i, name in names.items()}}

    def check(self, splits: dict[str, Any], config: Any) -> list[str]:
        """Warnings about rows and model together, before any weights are read.

        Raises:
            DataError: the model cannot learn such rows.
        """
        return []

    def encode(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Model inputs for a batch of rows; a column `length` lets batches be made of rows of like length."""
        raise NotImplementedError

    def packed(self, rows: Any) -> Any:
        """The encoded training rows as training takes them: several short ones as one, where that can be."""
        return rows

    @property
    def augments(self) -> bool:
        """Whether training sees other versions of its rows in each epoch."""
        return False

    def augment(self, row: dict[str, Any], draw: np.random.Generator) -> dict[str, Any]:
        """An encoded row as one epoch of training sees it: a crop, a flip."""
        return row

    def collator(self) -> Callable[[list[dict[str, Any]]], Batch]:
        """From encoded rows to a batch of tensors."""
        raise NotImplementedError

    def predict(self, model: Any, batch: Batch) -> Outputs:
        """Outputs for a batch, on PyTorch and on an exported model alike."""
        raise NotImplementedError

    def postprocess(self, outputs: Outputs) -> np.ndarray:
        """Predictions out of outputs."""
        raise NotImplementedError

    def probabilities(self, outputs: Outputs) -> np.ndarray | None:
        """Probabilities of shape (rows, classes); None where what is told are no classes of rows."""
        return None

    def references(self, rows: Any) -> np.ndarray:
        """What the metrics hold the predictions against."""
        raise NotImplementedError

    def training_logits(self, logits: np.ndarray) -> np.ndarray:
        """What a model says as it said it before `finish`, when its loss compared it with labels."""
        return logits

    def answers(self, outputs: Outputs) -> list[Any]:
        """What a model says of rows, as the label column of `index` would hold it: a teacher's labels for a student.

        Raises:
            RecipeError: such outputs are no labels.
        """
        raise RecipeError(f"strategy distill: what a model says in '{self.name}' cannot be another's labels")

    def same(self, mine: np.ndarray, theirs: np.ndarray, references: np.ndarray) -> np.ndarray:
        """Which rows have the same prediction in both."""
        return np.array([np.array_equal(one, other) for one, other in zip(mine, theirs, strict=True)])

    def losses(self, outputs: Outputs, references: np.ndarray) -> np.ndarray:
        """How wrong each row is, for the list of worst errors."""
        raise NotImplementedError

    def majority_baseline(self, references: np.ndarray) -> Outputs:
        """The output for every row of the best model that looks at no input, learnt from training references.

        Raises:
            RecipeError: the task has no such model.
        """
        raise RecipeError(f"task '{self.name}' has no baseline 'majority'")

    def describe(self, value: Any) -> str:
        """A prediction or a reference in words."""
        return str(value)

    def read(self, text: str) -> dict[str, Any]:
        """A row out of what somebody gives to `predict`: a file's path or a line of text."""
        raise NotImplementedError

    def show(self, row: dict[str, Any], prediction: Any, reference: Any) -> dict[str, Any]:
        """What a report shows of a row.

        `text`, `image` (a base64 PNG), `audio` (a base64 WAV), or `changes`: (=, - or +, words) from the reference to
        the prediction.
        """
        raise NotImplementedError

    def plain(self) -> str:
        """Python that answers by numpy and the plain ONNX runtime, with tokenizers or Pillow beside; empty for none.

        It finds `folder`, the place of config and processor, and `session`, the model. The task knows its processor.
        """
        return ""

    def answer(self, outputs: Outputs) -> dict[str, Any]:
        """What `predict` prints for a row, out of its outputs, a batch of one."""
        raise NotImplementedError
