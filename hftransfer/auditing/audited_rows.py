"""The rows of all splits under one numbering: test, validation, train, so that of two copies the first one stays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.audit_record import AuditedRow
from hftransfer.data.load import Rows
from hftransfer.data.splits import GROUP

if TYPE_CHECKING:
    from datasets import Dataset

PARTS = ("test", "validation", "train")


@dataclass(frozen=True)
class AuditedRows:
    """The rows of a recipe."""

    rows: Rows

    @cached_property
    def tables(self) -> list[Dataset]:
        """The rows of each part."""
        return [self.rows.splits[part] for part in PARTS]

    @cached_property
    def starts(self) -> np.ndarray:
        """The number of the first row of each part, and that of all rows."""
        return np.cumsum([0, *map(len, self.tables)])

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(self.starts[-1])

    @cached_property
    def contents(self) -> list[bytes]:
        """The hash of each row's inputs."""
        return [content for part in PARTS for content in self.rows.origins[part].contents.to_pylist()]

    @cached_property
    def distinct(self) -> np.ndarray:
        """The first row of each content, shape (contents,)."""
        first: dict[bytes, int] = {}
        for number, content in enumerate(self.contents):
            first.setdefault(content, number)
        return np.array(list(first.values()), dtype=int)

    @cached_property
    def copies(self) -> list[tuple[int, int]]:
        """The first row of a content and each later one of it."""
        first = {self.contents[number]: int(number) for number in self.distinct}
        places = ((first[content], number) for number, content in enumerate(self.contents))
        return [(earlier, later) for earlier, later in places if earlier != later]

    @cached_property
    def is_train(self) -> np.ndarray:
        """Whether each row is a training row."""
        return np.asarray(np.arange(self.count) >= self.starts[PARTS.index("train")])

    @cached_property
    def references(self) -> list[Any] | None:
        """The label of each row as metrics take it; None where a row has no class and no number."""
        if self.rows.task.row_target is None:
            return None
        return [value for table in self.tables for value in self.rows.task.references(table)]

    @cached_property
    def groups(self) -> list[Any] | None:
        """The group of each row; None where the rows have none."""
        if not all(GROUP in table.column_names for table in self.tables):
            return None
        return [group for table in self.tables for group in table[GROUP][:]]

    def selected(self, numbers: Iterable[int]) -> list[Dataset]:
        """Some rows, given in their order, as tables."""
        wanted = np.fromiter(numbers, dtype=int)
        parts = zip(self.tables, self.starts, self.starts[1:], strict=False)
        return [table.select(wanted[(wanted >= low) & (wanted < high)] - low) for table, low, high in parts]

    def part(self, number: int) -> tuple[str, int]:
        """The part of a row, and its place there."""
        part = int(np.searchsorted(self.starts, number, side="right")) - 1
        return PARTS[part], number - int(self.starts[part])

    def describe(self, number: int) -> str:
        """The label of a row in words, empty where it has none."""
        return "" if self.references is None else self.rows.task.describe(self.references[number])

    def row(self, number: int) -> AuditedRow:
        """A row as the record has it."""
        part, place = self.part(number)
        origin = self.rows.origins[part]
        return AuditedRow(
            part=part,
            split=origin.split,
            row=int(origin.numbers[place]),
            content=self.contents[number].hex(),
            place=place,
            label=self.describe(number),
        )
