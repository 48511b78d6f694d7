"""The hooks by which `hftransfer new` finds the task of some rows, and a checkpoint to begin with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from hftransfer.tasks._state import TaskState

if TYPE_CHECKING:
    from datasets import Dataset

Sampled = Mapping[str, Mapping[str, Sequence[Any]]]
"""Split -> role -> the cells of some rows, of any but files."""


class ChoiceHooks(TaskState):
    """What speaks for a task before there is a recipe."""

    suggested_checkpoints: ClassVar[dict[str, tuple[str, ...]]] = {}
    """Input role -> checkpoints to begin with, small and well known: one of the Hub first, then a sample if one fits,
    for when the Hub cannot be reached."""

    @classmethod
    def likeness(cls, columns: Mapping[str, str], rows: Sampled) -> float:
        """How much more than by the types and names of their columns rows look like those of the task.

        0: no more and no less; 1 is as much as the name of a column says; -3 excludes the task.

        Args:
            columns: Role -> the name of its column in the source.
            rows: Some cells of each split.
        """
        return 0.0

    @classmethod
    def suggested_fields(cls, rows: Dataset) -> dict[str, Any]:
        """Fields of the task that suit some training rows, whose columns are called as the roles; {} for none."""
        return {}


def values_of(rows: Sampled, role: str) -> list[Any]:
    """The cells of a role in some training rows, without empty ones."""
    train = rows["train"] if "train" in rows else next(iter(rows.values()), {})
    return [cell for cell in train.get(role, ()) if cell not in (None, "", [])]


def mean_words(texts: Sequence[Any]) -> float:
    """The words of a text, on average."""
    return sum(len(str(text).split()) for text in texts) / max(1, len(texts))
