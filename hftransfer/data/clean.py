"""Every row of a split read once: what cannot be used is refused or left out, the rest is hashed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.arrow import each
from hftransfer.core.errors import DataError
from hftransfer.core.features import Feature, unnamed_class
from hftransfer.core.progress import Progress
from hftransfer.data.columns import feature_of
from hftransfer.data.hashes import as_hashes, digest
from hftransfer.data.splits import GROUP
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset

    from hftransfer.data.hashes import Hashes

_ELSEWHERE = "data.splits can name another split, or a part of the training rows"


@dataclass(frozen=True)
class CleanRows:
    """The rows of a split that can be used."""

    rows: Dataset
    inputs: Hashes
    """The hash of each row's inputs."""
    targets: Hashes
    """The hash of each row's target."""
    skipped: int
    """How many rows were left out."""
    numbers: np.ndarray
    """The number of each row among those that were given, shape (rows,)."""


def clean(
    task: Task, features: Mapping[str, Feature], rows: Dataset, split: str, on_error: str, start: int = 0
) -> CleanRows:
    """The rows of a split in the types of their features, each read once; `start` is the number of the first.

    Raises:
        DataError: a row cannot be used, and `on_error` is not `skip`; or none can.
    """
    for role in rows.column_names:
        rows = feature_of(features, role).cast(rows, role, decode=False)
    inputs, targets = bytearray(), bytearray()
    usable = np.ones(len(rows), dtype=bool)
    first = ""
    numbered = enumerate(Progress(each(rows), total=len(rows), desc=f"reading {split}", unit="row", leave=False))
    types = rows.features
    for number, row in numbered:
        try:
            hashed = _hash_row(task, features, row, types)
        except DataError as error:
            usable[number] = False
            first = first or f"first row {start + number}: {error}"
            continue
        inputs += hashed[0]
        targets += hashed[1]
    count = int(usable.sum())
    if first and on_error == "raise":
        raise DataError(
            f"{len(rows) - count} of {len(rows)} rows of split '{split}' cannot be used, {first} "
            f"({_ELSEWHERE if not count and split != 'train' else 'data.on_error: skip leaves such rows out'})"
        )
    if not count:
        raise DataError(f"split '{split}' is empty" + (f": {first.partition(': ')[2]} ({_ELSEWHERE})" if first else ""))
    for role in rows.column_names:
        rows = feature_of(features, role).cast(rows, role, decode=True)
    numbers = np.flatnonzero(usable)
    if count < len(rows):
        rows = rows.select(numbers)
    return CleanRows(rows, as_hashes(inputs), as_hashes(targets), len(usable) - count, numbers)


def _hash_row(
    task: Task, features: Mapping[str, Feature], row: dict[str, Any], types: Mapping[str, Any]
) -> tuple[bytes, bytes]:
    """The hashes of a row's inputs and of its target.

    Raises:
        DataError: a cell cannot be read, or the task cannot use the row.
    """
    values, inputs, target = {}, [], b""
    for role, cell in row.items():
        feature = feature_of(features, role)
        if feature.is_empty(cell) and (role in task.may_be_empty or role == GROUP):
            continue
        is_target = role == task.target_role
        if is_target and not feature.optional and (unknown := unnamed_class(types[role], cell)) is not None:
            raise DataError(f"the {role} {unknown} is none of the classes that the data set names")
        values[role], content = feature.read(role, cell)
        if is_target:
            target = content
        elif role != GROUP:
            # Without role and length, ("part 11", "21") would be ("part 1", "121").
            inputs += [f"{role}:{len(content)}:".encode(), content]
    if features.keys() >= task.inputs.keys() and (reason := task.check_row(values)):
        raise DataError(reason)
    return digest(inputs), digest([target])
