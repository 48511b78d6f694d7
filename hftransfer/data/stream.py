"""Training rows that are read, hashed and encoded one after another while a model trains, and never written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.core.errors import DataError
from hftransfer.data.clean import clean
from hftransfer.data.columns import all_features, name_classes, to_roles
from hftransfer.data.encode import Example, columns_of
from hftransfer.data.hashes import Hashes, contained
from hftransfer.data.load import DataOptions
from hftransfer.data.parts import Source
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

BUFFER = 10_000
"""Rows of the shuffle buffer."""


@dataclass(frozen=True)
class Stream:
    """The training rows of a source but for those that another split has."""

    task: Task
    """With labels and processor."""
    source: Source
    split: str
    options: DataOptions
    held_out: list[Hashes]
    """The contents of the other splits."""

    def shuffled(self, seed: int) -> IterableDataset:
        """The encoded rows, each taken at random from a buffer of those that are read."""
        from datasets import IterableDataset

        return IterableDataset.from_generator(self._examples).shuffle(seed=seed, buffer_size=BUFFER)

    def _examples(self) -> Iterator[Example]:
        """The encoded rows in their order.

        Raises:
            DataError: a row cannot be used, or has a label that the first rows lack.
        """
        start = 0
        for rows in self.source.stream(self.split):
            count = len(rows)
            usable = self._usable(rows, start)
            start += count
            if len(usable):
                columns = columns_of(self.task.encode(usable[:]))
                yield from (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))

    def _usable(self, rows: Dataset, start: int) -> Dataset:
        features, options = all_features(self.task), self.options
        rows = to_roles(features, rows, options.columns, self.split, owner=self.task.name)
        rows = name_classes(self.task, rows, options.names)
        found = clean(self.task, features, rows, self.split, options.on_error, start)
        fresh = found.rows.select(np.flatnonzero(~contained(found.inputs, self.held_out)))
        for number, names in enumerate(self.task.row_labels(fresh) or []):
            if unknown := set(names) - set(self.task.labels):
                raise DataError(
                    f"data.streaming: the label '{min(unknown)}' (row {start + number} of '{self.split}', or later) is "
                    f"not among those of the first {BUFFER:,} rows: {', '.join(self.task.labels)}"
                )
        return self.task.index_labels(fresh)
