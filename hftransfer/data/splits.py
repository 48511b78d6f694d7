"""Which rows of a source become which split: drawn by the seed, without what stands twice, so many shots of a class."""

from collections import Counter
from typing import Any

import numpy as np

from hftransfer.core.errors import DataError
from hftransfer.recipe.schema import Data
from hftransfer.tasks import Task

GROUP = "group"
"""A role of every task that a data set need not have: where a row comes from (a hospital, a speaker, a dialect)."""


def source_splits(data: Data, source: dict[str, Any]) -> dict[str, str | None]:
    """Split -> the source's split that it is, or None where it is a part of the training rows."""
    given = {"validation": data.splits.validation, "test": data.splits.test}
    own = {name: name if name in source and name != data.splits.train else None for name in given}
    return {
        name: value if isinstance(value, str) else own[name] if value is None else None for name, value in given.items()
    }


def split_sizes(data: Data, source: dict[str, Any]) -> dict[str, str | int | float]:
    """`test` and `validation`: the source's split that each is, or how much of the training rows becomes it."""
    given, sizes = (
        source_splits(data, source),
        {"test": data.splits.test or 0.2, "validation": data.splits.validation or 0.1},
    )
    return {name: given[name] or size for name, size in sizes.items()}


def sample_rows(rows: Any, most: int | None, seed: int) -> Any:
    """The rows, or as many of them as asked for, drawn by the seed, in their order."""
    if most is None or most >= len(rows):
        return rows
    return rows.select(np.sort(np.random.default_rng(seed).permutation(len(rows))[:most]))


def balanced(task: Task, rows: Any) -> Any:
    """The rows, those of rarer classes again and again until each class has as many as the largest."""
    groups = task.groups(rows)
    if groups is None:
        raise DataError("data.sampling: balanced counts rows of a class, and these rows have no single class")
    places: dict[Any, list[int]] = {}
    for row, group in enumerate(groups):
        places.setdefault(group, []).append(row)
    most = max(map(len, places.values()))
    return rows.select(
        sorted(row for sample_rows in places.values() for row in (sample_rows * -(-most // len(sample_rows)))[:most])
    )


def split(
    task: Task, data: Data, source: dict[str, Any], raw: dict[str, Any], seed: int
) -> dict[str, tuple[str, list[int]]]:
    """Split -> the source's split and the row numbers in it."""
    train = data.splits.train
    pool = list(range(len(raw[train])))
    groups, names = task.groups(raw[train]), task.named(raw[train])
    places: dict[str, tuple[str, list[int]]] = {}
    for name, size in split_sizes(data, source).items():
        if isinstance(size, str):
            places[name] = (size, list(range(len(raw[size]))))
            continue
        count = size if isinstance(size, int) else max(1, round(size * len(raw[train])))
        if data.splits.by_group:
            pool, part = _take_groups(pool, raw[train], count, name, seed)
        else:
            pool, part = _kept(*_take(pool, groups, count, name, seed), names)
        places[name] = (train, part)
    places["train"] = (train, pool)
    return places


def _take(pool: list[int], groups: list[Any] | None, count: int, name: str, seed: int) -> tuple[list[int], list[int]]:
    """What is left of a pool of rows, and `count` of them, of every class in proportion.

    A row that alone has its class is left; where there are more classes than rows, they are not looked at.
    """
    from sklearn.model_selection import train_test_split

    if count >= len(pool):
        raise DataError(f"data.splits.{name} asks for {count} rows of the {len(pool)} that are left to take them from")
    others, strata = pool, None
    if groups:
        sizes = Counter(groups[row] for row in pool)
        several = [row for row in pool if sizes[groups[row]] > 1]
        if count < len(several):
            others, owned = several, [groups[row] for row in several]
            strata = owned if min(count, len(several) - count) >= len(set(owned)) else None
    _, part = train_test_split(others, test_size=count, stratify=strata, random_state=seed)
    return sorted(set(pool) - set(part)), sorted(part)


def _take_groups(pool: list[int], rows: Any, count: int, name: str, seed: int) -> tuple[list[int], list[int]]:
    """As `_take`, of whole groups, in an order drawn by the seed, until they are about as many rows."""
    if GROUP not in rows.column_names:
        raise DataError(
            "data.splits.by_group: the rows have no groups; data.columns.group says which column they are in"
        )
    owners = rows[GROUP][:]
    sizes = Counter(owners[row] for row in pool)
    groups = sorted(sizes, key=str)
    taken: set[Any] = set()
    for place in np.random.default_rng(seed).permutation(len(groups)).tolist():
        # The group that would take more than it brings nearer is left.
        if sum(sizes[it] for it in taken) + sizes[groups[place]] / 2 <= count:
            taken.add(groups[place])
    part = [row for row in pool if owners[row] in taken]
    if not taken or len(taken) == len(groups):
        raise DataError(f"data.splits.{name}: about {count} rows cannot be had of {len(groups)} groups that stay whole")
    return [row for row in pool if owners[row] not in taken], part


def _kept(pool: list[int], part: list[int], names: list[list[str]] | None) -> tuple[list[int], list[int]]:
    """Both without the rows of the second that alone have a class: those train, with the first."""
    if names is None:
        return pool, part
    known, back = {name for row in pool for name in names[row]}, set()
    for row in part:
        if not known.issuperset(names[row]):
            known.update(names[row])
            back.add(row)
    return sorted({*pool, *back}), [row for row in part if row not in back]


def remove_duplicates(places: dict[str, tuple[str, list[int]]], hashes: dict[str, list[str]]) -> dict[str, int]:
    """Take out of `train`, then of `validation`, what stands again nearer to the test split; counts by split."""
    seen: set[str] = set()
    removed: dict[str, int] = {}
    for name in (name for name in ("test", "validation", "train", "unlabelled") if name in places):
        origin, rows = places[name]
        kept = [row for row in rows if hashes[origin][row] not in seen]
        removed[name] = len(rows) - len(kept)
        places[name] = (origin, kept)
        seen.update(hashes[origin][row] for row in kept)
    return removed


def draw_shots(task: Task, rows: Any, shots: int, seed: int) -> list[int]:
    """The first `shots` rows of each class in an order drawn by the seed."""
    groups = task.groups(rows)
    if groups is None:
        raise DataError("data.shots counts rows of a class, and these rows have no single class")
    taken: Counter[Any] = Counter()
    kept = []
    for row in np.random.default_rng(seed).permutation(len(groups)).tolist():
        if taken[groups[row]] < shots:
            taken[groups[row]] += 1
            kept.append(row)
    return sorted(kept)
