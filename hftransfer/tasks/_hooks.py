"""The hooks of a task, each with a default. Override one only where a task differs.

Each says when it is called, how often, and with what shapes. Those about training are in `_training_hooks.py`, those
about scores in `_scoring_hooks.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from hftransfer.core.errors import DataError, ModelError
from hftransfer.core.plugins import natural
from hftransfer.tasks._state import TaskState
from hftransfer.tasks._types import Outputs, Processor, Rendered, Row

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig


# Fields of a config that follow from the labels.
_HEAD_FIELDS = ("num_labels", "id2label", "label2id", "vocab_size")


class RowHooks(TaskState):
    """What a task may know of its rows. Each is called while the splits are made, once unless it says otherwise."""

    def infer(self, rows: Dataset) -> Self:
        """The task with the fields that a recipe may leave out inferred from the source's training rows."""
        return self

    def marks_labels(self, values: Sequence[Any]) -> bool:
        """Whether the cells of the target have a 0 or 1 for each label, as multi-hot vectors do."""
        return False

    def fit(self, rows: Dataset) -> Self:
        """The task with what it may know of the final training rows alone: the scale of numbers."""
        return self

    def check_row(self, row: Row) -> str | None:
        """Why a row cannot be used, if so. Called once a row, with what its features read: of an image, the size."""
        return None

    @property
    def may_be_empty(self) -> frozenset[str]:
        """Roles whose cells may be empty."""
        return frozenset()

    def strata(self, rows: Dataset) -> list[Any] | None:
        """The class of each row, by which splits are stratified and shots counted; None where rows have none."""
        return None

    def row_labels(self, rows: Dataset) -> list[list[str]] | None:
        """The names of all classes of each row; None where rows have none."""
        return None

    def units(self, rows: Dataset) -> list[Any] | None:
        """The unit of each row that a bootstrap resamples whole (an identity, a user); None: each row by itself."""
        return None

    def find_labels(self, splits: Mapping[str, Dataset]) -> tuple[str, ...]:
        """Class names in the order of the model's outputs; unless `open_set`, other splits may hold no other ones.

        Raises:
            DataError: they do.
        """
        places = {split: self._first_places(rows) for split, rows in splits.items()}
        for split, first in {} if self.open_set else places.items():
            for label in sorted(first.keys() - places["train"].keys()):
                raise DataError(
                    f"label '{label}' in split '{split}' (row {first[label]}) is not among the training labels: "
                    f"{', '.join(sorted(places['train'])):.300}"
                )
        return tuple(sorted(places["train"], key=natural))

    def _first_places(self, rows: Dataset) -> dict[str, int]:
        """Class -> the first row that has it."""
        places: dict[str, int] = {}
        for row, names in enumerate(self.row_labels(rows) or []):
            for name in names:
                places.setdefault(name, row)
        return places

    def layout_questions(self, rows: Dataset) -> list[str]:
        """What the training rows, as `index_labels` gives them, could mean too; asked where no format settles it."""
        return []

    def index_labels(self, rows: Dataset) -> Dataset:
        """The rows with the target column as `encode` and `references` take it: names as class numbers."""
        return rows


class CheckpointHooks(TaskState):
    """Processor and config of the checkpoint. Each is called once a run, before any weights are read."""

    def model_class(self, config: PretrainedConfig) -> str:
        """The Auto class for a checkpoint, where the task has more than one."""
        return self.auto_model

    def export_class(self, config: PretrainedConfig) -> str:
        """The Auto class by whose name Optimum's is found that loads an export; without one, that of any graph."""
        return self.model_class(config)

    def model_loader(self, config: PretrainedConfig) -> Any:
        """What has `from_config` and `from_pretrained` for the models of the task, by default the Auto class.

        A task whose model is no class of Transformers gives a class of its own, which Optimum cannot export.
        """
        import transformers

        return getattr(transformers, self.model_class(config))

    def open_processor(
        self, read: Callable[..., Processor], config: PretrainedConfig, rows: Dataset | None
    ) -> Processor:
        """The processor of a checkpoint for the training rows (None: as it was saved).

        `read(class name, **options)` calls the class's `from_pretrained`.
        """
        return read(self.auto_processor)

    def new_processor(self, config: PretrainedConfig, rows: Dataset) -> Processor:
        """A processor for a new model that comes with none, made for the training rows.

        Raises:
            ModelError: the task needs `model.processor`.
        """
        raise ModelError(f"a new model for '{self.name}' needs 'model.processor': the checkpoint to take it from")

    def config_fields(self) -> dict[str, Any]:
        """Fields of the model's config that follow from the rows: the class names, where there are any."""
        names = dict(enumerate(self.labels))
        if not names:
            return {}
        return {"num_labels": len(names), "id2label": names, "label2id": {name: i for i, name in names.items()}}

    def with_pooling(self, named: Callable[[], str | None]) -> Self:
        """The task for a checkpoint; `named` reads its own pooling, `mean` or `first`, None where it names neither."""
        return self

    def companion_files(self) -> dict[str, str]:
        """File -> text: what another library needs, beside the weights, to load the tuned model."""
        return {}

    def head_fits(self, config: PretrainedConfig) -> bool:
        """Whether a checkpoint of this config has a head for the very labels of the task, which can be kept."""
        fields = {name: value for name, value in self.config_fields().items() if name in _HEAD_FIELDS}
        return all(getattr(config, name, None) == value for name, value in fields.items())

    def check(self, splits: Mapping[str, Dataset], config: PretrainedConfig) -> list[str]:
        """Warnings about rows and model together.

        Raises:
            DataError, ModelError: the model cannot learn such rows.
        """
        return []


class DisplayHooks(TaskState):
    """What a person sees of rows and predictions."""

    def describe(self, value: Any) -> str:
        """A prediction or a reference in words, for tables and CSV files."""
        return str(value)

    def describe_labels(self, rows: Dataset) -> str:
        """How the labels of the training rows, as `index_labels` writes them, were read; for `check`."""
        shown = f"{', '.join(self.labels[:8])}{' ...' if len(self.labels) > 8 else ''}"
        return f"{len(self.labels)}: {shown}" if self.labels else "none"

    def render(self, row: Row, prediction: Any, reference: Any) -> Rendered:
        """What a report shows of a row: `text`, `image` (a base64 PNG), `audio` (a base64 WAV), or `changes`.

        `synthesized` and `recorded` are base64 WAV too, of what the model says and of the reference.
        `changes` are pairs of (=, - or +) and words, from the reference to the prediction.
        """
        return {"text": "; ".join(f"{role}: {row[role]!s:.200}" for role in self.inputs if role in row)}

    def render_scored(self, row: Row, prediction: Any, reference: Any, outputs: Outputs) -> Rendered:
        """As `render`, with the outputs of the row, shapes without the rows; empty where it has several inputs."""
        return self.render(row, prediction, reference)

    @property
    def pipeline_example(self) -> str:
        """What the card's snippet gives the pipeline `pipe`, as Python; empty for a text or a file of the input."""
        return ""

    @property
    def pipeline_preparation(self) -> tuple[str, str]:
        """What the pipeline does not do to an input, and the Python that does it and asks; empty for nothing."""
        return "", ""

    @property
    def pipeline_activation(self) -> str:
        """What the pipeline has to apply to the logits (`function_to_apply`); empty for its default."""
        return ""

    @property
    def model_outputs(self) -> int | None:
        """How many logits the head has, where the class names do not say so; None: as many as there are names."""
        return None

    @property
    def usage_snippet(self) -> tuple[str, str, str] | None:
        """How the card imports, opens and asks the model `repo`, where Transformers has no pipeline for the task."""
        return None

    def runtime_snippet(self) -> str:
        """Python that answers with numpy and the ONNX runtime, with tokenizers or Pillow; empty for none.

        It finds `folder`, the place of config and processor, and `session`, the model.
        """
        return ""

    def tiny_row(self, number: int) -> Row:
        """Cells of a row for the contract tests that cannot be made from the feature type alone."""
        return {}
