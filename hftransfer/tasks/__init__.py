"""What differs between tasks, and nothing else."""

from typing import ClassVar, Literal

from hftransfer.plugins import Plugin

Kind = Literal["text", "image", "audio", "label"]


class Task(Plugin):
    """Base of the tasks."""

    columns: ClassVar[dict[str, Kind]]
    """Role -> what its cells hold."""
    optional: ClassVar[frozenset[str]] = frozenset()
    """Roles that a data set need not have."""
    metrics: ClassVar[tuple[str, ...]]
    """Default metrics, the headline first."""
    auto_model: ClassVar[str]
    """The Auto class of Transformers that loads a model of the task."""
