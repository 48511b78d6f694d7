"""The contents of rows by which near copies are confirmed, and their lengths and sizes, by the type of the inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.auditing.audio_contents import AudioContents
from hftransfer.auditing.image_contents import ImageContents
from hftransfer.auditing.near_copies import Contents
from hftransfer.auditing.text_contents import TextContents
from hftransfer.core.arrow import each
from hftransfer.core.features import Audio, Image, Text, Words
from hftransfer.core.media import seconds
from hftransfer.core.progress import Progress
from hftransfer.data.corruptions import as_read

if TYPE_CHECKING:
    from datasets import Dataset

    from hftransfer.tasks import Task


def contents_of(task: Task, tables: Sequence[Dataset]) -> Contents | None:
    """The contents of all rows of some tables; None where no input is a text, an image or a recording.

    Of several inputs that of the first type counts: all texts, or the image.
    """
    roles = _roles(task, tables[0])
    if not roles:
        return None
    feature = task.inputs[roles[0]]
    inputs = _inputs(tables, roles, "contents")
    if isinstance(feature, Image):
        return ImageContents(as_read(task, row[0]) for row in inputs)
    if isinstance(feature, Audio):
        return AudioContents(row[0] for row in inputs)
    return TextContents("\n".join(map(_text, row)) for row in inputs)


def sizes_of(task: Task, tables: Sequence[Dataset]) -> dict[str, np.ndarray]:
    """Name and unit of a size -> that of each row of some tables, shape (rows,)."""
    roles = _roles(task, tables[0])
    if not roles:
        return {}
    feature = task.inputs[roles[0]]
    inputs = _inputs(tables, roles, "sizes")
    if isinstance(feature, Image):
        sides = np.array([row[0].size for row in inputs], dtype=float)
        return {
            "pixels along the shorter side": sides.min(axis=1),
            "times as long as wide": sides.max(axis=1) / sides.min(axis=1),
        }
    if isinstance(feature, Audio):
        return {"seconds": np.array([seconds(row[0]) for row in inputs])}
    return {"characters": np.array([sum(len(_text(cell)) for cell in row) for row in inputs], dtype=float)}


def _roles(task: Task, rows: Dataset) -> list[str]:
    """The inputs that are compared."""
    types = (Image, Audio, Text | Words)
    roles = [role for role in task.inputs if role in rows.column_names and isinstance(task.inputs[role], types)]
    first = task.inputs[roles[0]] if roles else None
    return (
        [role for role in roles if isinstance(task.inputs[role], Text | Words)]
        if isinstance(first, Text | Words)
        else roles[:1]
    )


def _inputs(tables: Sequence[Dataset], roles: list[str], description: str) -> Iterator[tuple[Any, ...]]:
    """The inputs of each row, read some at a time."""
    with Progress(total=sum(map(len, tables)), desc=description, unit="row") as bar:
        for rows in tables:
            for row in each(rows.select_columns(roles)):
                yield tuple(row[role] for role in roles)
                bar.update(1)


def _text(cell: Any) -> str:
    return " ".join(cell) if isinstance(cell, list) else str(cell or "")
