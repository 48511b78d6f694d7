"""What a task declares, and what it is given on its way: labels, processor, config, the second table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import PrivateAttr

from hftransfer.core.features import Feature, extras_of
from hftransfer.core.plugins import Plugin
from hftransfer.tasks._types import Processor

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig


class TaskState(Plugin):
    """Base of the hooks: declarations, and the copies of a task that know more."""

    inputs: ClassVar[dict[str, Feature]]
    """Role -> feature type of what the model reads; duplicates are found by these columns."""
    target: ClassVar[tuple[str, Feature] | None] = None
    """Role and feature type of what the model has to find. Optional where it only stratifies the splits."""
    items: ClassVar[dict[str, Feature]] = {}
    """Role -> feature type of the second table (`data.items`), whose rows are found by their `id`; empty for none."""
    item_role: ClassVar[str] = "item"
    """The input that holds the id of a row of the second table, where there is one."""
    auto_model: ClassVar[str]
    """The Auto class of Transformers that loads a model of the task."""
    auto_processor: ClassVar[str]
    """The Auto class of Transformers that loads the processor."""
    metrics: ClassVar[list[str]]
    """Default metrics, the headline first; `default_metrics` may choose others by the task's fields."""
    output_names: ClassVar[tuple[str, ...]] = ("logits",)
    """What the model calls the outputs that its head makes."""
    label_names: ClassVar[tuple[str, ...]] = ("labels",)
    """The entries of a batch without which the model computes no loss."""
    pretraining: ClassVar[str] = ""
    """Of a task whose models are checkpoints for other tasks: the Hub's name for such a checkpoint.

    They have no pipeline, and are not exported.
    """
    not_exported: ClassVar[str] = ""
    """What a sentence says of its models where they cannot be exported; empty where they can."""
    open_set: ClassVar[bool] = False
    """Whether validation and test rows may have labels that no training row has (faces, speakers)."""
    augmentations: ClassVar[tuple[str, ...]] = ()
    """Operations of `data.augment` that leave the labels right, or move them along (`moves_with_image`)."""
    mixes: ClassVar[tuple[str, ...]] = ()
    """Operations of `data.augment` that make one row of two: `mixup`, `cutmix`."""
    moves_with_image: ClassVar[tuple[str, ...]] = ()
    """Entries of an encoded row that an augmentation has to shift and rotate as it does the pixels: a mask."""
    own_baselines: ClassVar[tuple[str, ...]] = ()
    """Baselines of this task alone, the cheapest first, for which no network is trained (`own_baseline`)."""
    refused_corruptions: ClassVar[tuple[str, ...]] = ()
    """Corruptions of the inputs that would leave the target wrong: another speed, where it holds times."""
    refuses: ClassVar[dict[str, str]] = {}
    """Strategy -> why it cannot adapt any model of this task."""
    tiny_model: ClassVar[str]
    """The model type of which the contract tests build a tiny checkpoint."""

    _labels: tuple[str, ...] = PrivateAttr(default=())
    _processor: Processor = PrivateAttr(default=None)
    _architecture: PretrainedConfig | None = PrivateAttr(default=None)
    _items_table: Dataset | None = PrivateAttr(default=None)
    _inferred: bool = PrivateAttr(default=False)
    _guesses: list[str] = PrivateAttr(default_factory=list)

    @classmethod
    def extras(cls) -> set[str]:
        return super().extras() | set(extras_of(cls.inputs.values()))

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the model's outputs; empty where there are none."""
        return self._labels

    @property
    def processor(self) -> Processor:
        """The checkpoint's processor, there once the checkpoint is opened."""
        return self._processor

    @property
    def architecture(self) -> Any:
        """The checkpoint's config, there once it is opened."""
        return self._architecture

    @property
    def items_table(self) -> Dataset | None:
        """The rows of the second table, there once the data are loaded."""
        return self._items_table

    @property
    def guesses(self) -> list[str]:
        """Warnings of what `infer` guessed and may be otherwise."""
        return self._guesses

    @property
    def features(self) -> dict[str, Feature]:
        """Role -> feature type of inputs and target."""
        return self.inputs | (dict([self.target]) if self.target else {})

    @property
    def target_role(self) -> str | None:
        """The role of the target."""
        return self.target[0] if self.target else None

    def with_labels(self, labels: tuple[str, ...]) -> Self:
        """The task with its class names."""
        return self._with(labels=labels)

    def with_processor(self, processor: Processor, architecture: PretrainedConfig | None = None) -> Self:
        """The task with the checkpoint's processor and config."""
        return self._with(processor=processor, architecture=architecture)

    def with_items(self, table: Dataset) -> Self:
        """The task with the rows of its second table."""
        return self._with(items_table=table)

    def _with(self, **private: Any) -> Self:
        copy = self.model_copy()
        for name, value in private.items():
            if value is not None:
                setattr(copy, f"_{name}", value)
        return copy
