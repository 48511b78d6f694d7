"""Which rows of a source become which split: sampled by the seed, without duplicates, with so many shots of a class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hftransfer.core.arrow import read_column
from hftransfer.core.errors import DataError
from hftransfer.data.hashes import contained
from hftransfer.data.stratified import sample
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset

    from hftransfer.data.hashes import Hashes

Places = dict[str, tuple[str, np.ndarray]]
"""Split -> the source's split, and the row numbers in it."""
GROUP = "group"
"""A role of every task that a data set need not have: where a row comes from (a hospital, a speaker, a dialect)."""


@dataclass(frozen=True)
class SplitOptions:
    """Where the three splits come from, as in a recipe's `data.splits`."""

    train: str = "train"
    validation: str | int | float | None = None
    test: str | int | float | None = None
    by_group: bool = False

    def named(self, source: Container[str]) -> dict[str, str | None]:
        """Split -> the source's split that it is, or None where it is a part of the training rows."""
        given = {"validation": self.validation, "test": self.test}
        present = {name: name if name in source and name != self.train else None for name in given}
        return {
            name: value if isinstance(value, str) else present[name] if value is None else None
            for name, value in given.items()
        }

    def sizes(self, source: Container[str]) -> dict[str, str | int | float]:
        """`test` and `validation`: the source's split that each is, or how much of the training rows becomes it."""
        named, sizes = self.named(source), {"test": self.test or 0.2, "validation": self.validation or 0.1}
        return {name: named[name] or size for name, size in sizes.items()}

    def within(self, sampled: int, total: int) -> Self:
        """The options for a sample of the training rows, of which no number of rows takes more than a fifth."""
        most = max(1, sampled // 5)
        validation, test = (
            min(it, most) if isinstance(it, int) and it < total else it for it in (self.validation, self.test)
        )
        return replace(self, validation=validation, test=test)


def balanced(task: Task, rows: Dataset) -> Dataset:
    """The rows, those of rarer classes repeated until each class has as many as the largest.

    Raises:
        DataError: the rows have no single class each.
    """
    classes = task.strata(rows)
    if classes is None:
        raise DataError("data.sampling: balanced counts rows of a class, and these rows have no single class")
    places: dict[Any, list[int]] = {}
    for row, name in enumerate(classes):
        places.setdefault(name, []).append(row)
    most = max(map(len, places.values()))
    repeated = [(numbers * -(-most // len(numbers)))[:most] for numbers in places.values()]
    return rows.select(sorted(row for numbers in repeated for row in numbers))


def split(task: Task, options: SplitOptions, source: Container[str], raw: Mapping[str, Dataset], seed: int) -> Places:
    """Which rows become which split."""
    rows = raw[options.train]
    pool = np.arange(len(rows))
    classes, names = task.strata(rows), task.row_labels(rows)
    numbers = _class_numbers(classes) if classes else None
    places: Places = {}
    for name, size in options.sizes(source).items():
        if isinstance(size, str):
            places[name] = (size, np.arange(len(raw[size])))
            continue
        count = size if isinstance(size, int) else max(1, round(size * len(rows)))
        if options.by_group:
            pool, part = _take_groups(pool, rows, count, name, seed)
        elif task.open_set:
            pool, part = _take_classes(pool, classes, count, name, seed)
        else:
            pool, part = _keep_rare(*_take(pool, numbers, count, name, seed), names)
        places[name] = (options.train, part)
    places["train"] = (options.train, pool)
    return places


def _class_numbers(classes: list[Any]) -> np.ndarray:
    """The number of each row's class among the sorted classes."""
    first: dict[Any, int] = {}
    numbers = np.fromiter((first.setdefault(name, len(first)) for name in classes), dtype=int, count=len(classes))
    _, places = np.unique(np.asarray([*first]), return_inverse=True)
    return np.asarray(places[numbers])


def _take(
    pool: np.ndarray, groups: np.ndarray | None, count: int, name: str, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """What is left of a pool of rows, and `count` of them, of every class in proportion.

    A row that alone has its class is left; where there are more classes than rows, they are not looked at.
    """
    if count >= len(pool):
        raise DataError(f"data.splits.{name} asks for {count} rows of the {len(pool)} that are left to take them from")
    others, strata = pool, None
    if groups is not None:
        several = pool[np.bincount(groups[pool])[groups[pool]] > 1]
        if count < len(several):
            others, owned = several, groups[several]
            strata = owned if min(count, len(several) - count) >= len(np.unique(owned)) else None
    part = np.sort(others[sample(len(others), count, strata, seed)])
    return np.setdiff1d(pool, part, assume_unique=True), part


def _take_groups(pool: np.ndarray, rows: Dataset, count: int, name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """As `_take`, of whole groups, in an order that the seed gives, until they are about as many rows."""
    if GROUP not in rows.column_names:
        raise DataError(
            "data.splits.by_group: the rows have no groups; data.columns.group says which column they are in"
        )
    return _take_whole(pool, read_column(rows, GROUP), count, name, seed)


def _take_classes(
    pool: np.ndarray, classes: list[Any] | None, count: int, name: str, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """As `_take`, of whole classes: of an open set, other splits have other classes than the training rows."""
    if classes is None:
        raise DataError(f"data.splits.{name}: the rows have no single class each, of which other splits have others")
    return _take_whole(pool, classes, count, name, seed)


def _take_whole(pool: np.ndarray, owners: list[Any], count: int, name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of whole owners, of which `owners` names one a row, and what is left of the pool."""
    sizes = Counter(owners[row] for row in pool)
    groups = sorted(sizes, key=str)
    taken: set[Any] = set()
    for place in np.random.default_rng(seed).permutation(len(groups)).tolist():
        # A group that would overshoot by more than it brings nearer is left.
        if sum(sizes[group] for group in taken) + sizes[groups[place]] / 2 <= count:
            taken.add(groups[place])
    if not taken or len(taken) == len(groups):
        raise DataError(
            f"data.splits.{name}: about {count} rows cannot be taken from {len(groups)} groups that stay whole"
        )
    chosen = np.array([owners[row] in taken for row in pool])
    return pool[~chosen], pool[chosen]


def _keep_rare(pool: np.ndarray, part: np.ndarray, names: list[list[str]] | None) -> tuple[np.ndarray, np.ndarray]:
    """Both, after the rows of the second that alone have a class have gone back to the first, which trains."""
    if names is None:
        return pool, part
    # Equal labels are mostly one object, of which one row is enough.
    objects = np.fromiter((id(names[row]) for row in pool), dtype=np.int64, count=len(pool))
    _, firsts = np.unique(objects, return_index=True)
    known, back = {name for row in pool[firsts] for name in names[row]}, []
    for row in part:
        if not known.issuperset(names[row]):
            known.update(names[row])
            back.append(row)
    return np.union1d(pool, np.array(back, dtype=int)), np.setdiff1d(part, back, assume_unique=True)


def remove_duplicates(places: Places, hashes: Mapping[str, Hashes]) -> dict[str, int]:
    """Take duplicates out of the split that is farther from the test split; returns the counts by split."""
    seen: list[Hashes] = []
    removed: dict[str, int] = {}
    for name in (name for name in ("test", "validation", "train", "unlabelled") if name in places):
        origin, rows = places[name]
        contents = hashes[origin].take(rows)
        unique = rows[~contained(contents, seen)]
        removed[name] = len(rows) - len(unique)
        places[name] = (origin, unique)
        seen.append(contents)
    return removed


def draw_shots(task: Task, rows: Dataset, shots: int, seed: int) -> list[int]:
    """The first `shots` rows of each class in an order that the seed gives.

    Raises:
        DataError: the rows have no single class each.
    """
    classes = task.strata(rows)
    if classes is None:
        raise DataError("data.shots counts rows of a class, and these rows have no single class")
    taken: Counter[Any] = Counter()
    chosen = []
    for row in np.random.default_rng(seed).permutation(len(classes)).tolist():
        if taken[classes[row]] < shots:
            taken[classes[row]] += 1
            chosen.append(row)
    return sorted(chosen)
