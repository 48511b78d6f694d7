"""Interactions of users with items (ratings, purchases, clicks): rows of `recommendation`, held out by time.

Each user is a row of each split, with the columns `user`, `history`, `item` and `seen`: `test` asks for the last item
that a user liked, `validation` for the one before, `train` holds all before these.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from hftransfer.core import plugins
from hftransfer.core.errors import DataError
from hftransfer.core.paths import is_file
from hftransfer.core.prefixes import SAMPLE
from hftransfer.sources import Source
from hftransfer.sources._sequences import HELD_OUT, Event, histories, leave_last_out, tied
from hftransfer.sources._times import times

if TYPE_CHECKING:
    from datasets import Dataset

READERS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}
"""Ending of a table -> the source that reads it."""


class Interactions(Source):
    """A table with one row for each interaction."""

    local_files: ClassVar[tuple[str, ...]] = ("table",)

    table: str
    """A file of CSV, TSV, JSON, JSON lines or Parquet, by its ending, or `sample:NAME`."""
    user: str = "user"
    """The column of users."""
    item: str = "item"
    """The column of items, by their ids in `data.items`."""
    time: str = "time"
    """The column of times: numbers that rise, or dates as ISO 8601 writes them, as 31/05/2026 or 31 May 2026."""
    day_first: bool | None = None
    """Whether 01/05/2026 is the first of May; left out, days above 12 say so, and else it is, which is reported."""
    rating: str | None = None
    """The column of ratings; left out, every interaction counts as liked."""
    liked_from: float | None = Field(default=None, ge=-1e9, le=1e9)
    """The least rating of an item that was liked, such as 4 of 5 stars."""
    min_liked: int = Field(default=6, ge=HELD_OUT + 2, le=10**6)
    """Users who liked fewer items are left out."""

    @field_validator("table")
    @classmethod
    def _is_a_sample(cls, value: str) -> str:
        if value.startswith(SAMPLE):
            plugins.one_of(value.removeprefix(SAMPLE), plugins.names("samples"), "sample")
        return value

    @model_validator(mode="after")
    def _names_both(self) -> Self:
        if (self.rating is None) != (self.liked_from is None):
            raise ValueError("rating and liked_from belong together: the column, and the least rating that counts")
        return self

    def load(self) -> dict[str, Dataset]:
        """`train`, `validation` and `test`, each with one row for each user.

        Raises:
            DataError: a column is missing, a time or a rating cannot be read, or no user has liked enough items.
        """
        from datasets import Dataset, Features, List, Value

        table = self._table()
        columns = {name: self._column(table, name) for name in ("user", "item", "time", "rating") if self._named(name)}
        everybody = histories(self._ids(columns["user"], "user"), self._events(columns))
        liked = {user: sum(event.liked for event in met) for user, met in everybody.items()}
        used = [user for user in everybody if liked[user] >= self.min_liked]
        if not used:
            raise DataError(
                f"data.source.min_liked: none of {len(everybody)} users has liked {self.min_liked} items, the most is "
                f"{max(liked.values(), default=0)}"
            )
        self._warn(used, everybody)
        rows = [leave_last_out(everybody[user], user) for user in used]
        text = Value("string")
        features = Features({"user": text, "history": List(text), "item": text, "seen": List(text)})
        return {
            split: Dataset.from_list([row[split] for row in rows], features=features)
            for split in ("train", "validation", "test")
        }

    def _warn(self, used: list[str], everybody: dict[str, list[Event]]) -> None:
        if len(used) < len(everybody):
            self.warn(
                f"data.source.min_liked: {len(everybody) - len(used)} of {len(everybody)} users have liked fewer than "
                f"{self.min_liked} items and are left out"
            )
        if count := sum(tied(everybody[user]) for user in used):
            self.warn(
                f"data.source.time: the last two liked items of {count} of {len(used)} users have the same time, and "
                "stand in the order of the table, which should say nothing about the items"
            )

    def _named(self, name: str) -> str | None:
        column: str | None = getattr(self, name)
        return column

    def _table(self) -> Dataset:
        source: Source
        if self.table.startswith(SAMPLE):
            source = plugins.load("sources", "sample")(id=self.table.removeprefix(SAMPLE))
        else:
            ending = Path(self.table).suffix.lower()
            if ending not in READERS:
                raise DataError(f"data.source.table: '{self.table}' ends in none of {', '.join(READERS)}")
            if not is_file(self.table):
                raise DataError(f"data.source.table: there is no file '{self.table}'")
            source = plugins.load("sources", READERS[ending])(train=self.table)
        table = source.load()["train"]
        for sentence in source.warnings:
            self.warn(sentence)
        return table

    def _column(self, table: Dataset, name: str) -> list[Any]:
        column = getattr(self, name)
        if column not in table.column_names:
            raise DataError(
                f"data.source.{name}: the interactions have no column '{column}'; "
                f"{plugins.nearest(column, table.column_names)}"
            )
        return list(table[column][:])

    def _ids(self, ids: list[Any], name: str) -> list[str]:
        """Ids as text."""
        for row, cell in enumerate(ids):
            if cell is None or not str(cell).strip():
                raise DataError(f"data.source.{name}: row {row} has no {name}")
            if "," in str(cell):
                raise DataError(f"data.source.{name}: row {row} has the id '{cell}', and an id has no comma")
        return [str(cell).strip() for cell in ids]

    def _events(self, columns: dict[str, list[Any]]) -> list[Event]:
        items = self._ids(columns["item"], "item")
        when, guess = times(columns["time"], self.day_first)
        if guess:
            self.warn(guess)
        ratings = columns.get("rating", [])
        liked = [self._likes(cell, row) for row, cell in enumerate(ratings)] or [True] * len(items)
        return [Event(*event) for event in zip(items, when, liked, strict=True)]

    def _likes(self, cell: Any, row: int) -> bool:
        assert self.liked_from is not None
        try:
            return float(cell) >= self.liked_from
        except (TypeError, ValueError):
            raise DataError(f"data.source.rating: row {row} has '{cell}', which is no number") from None
