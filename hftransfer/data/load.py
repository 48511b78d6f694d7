"""From the rows of a source to three clean splits whose columns have the task's role names."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tqdm.auto import tqdm

from hftransfer.core import features
from hftransfer.core.errors import DataError
from hftransfer.core.plugins import nearest
from hftransfer.core.results import DataFacts
from hftransfer.data.splits import (
    GROUP,
    balanced,
    draw_shots,
    remove_duplicates,
    sample_rows,
    source_splits,
    split,
    split_sizes,
)
from hftransfer.recipe.schema import Data
from hftransfer.tasks import Task


@dataclass(frozen=True)
class Rows:
    """The splits `train`, `validation`, `test`, the task with what they settle, and what is known of them."""

    task: Task
    splits: dict[str, Any]
    facts: DataFacts
    parts: dict[str, str | int | float]
    """What `test` and `validation` are: splits of the source, or sizes of parts of its training rows."""

    @property
    def labelled(self) -> dict[str, Any]:
        """The splits without the rows that have no labels."""
        return {name: rows for name, rows in self.splits.items() if name != "unlabelled"}


def load_rows(task: Task, data: Data, seed: int) -> Rows:
    """Load, rename, check, split, remove duplicates from the training side, draw the shots.

    Raises:
        DataError: a column, split or label is not what it should be; a cell is empty, a file unreadable.
    """
    source = data.source.load()
    bare = data.unlabelled if data.unlabelled != "rest" else None
    wanted = [s for s in (data.splits.train, *source_splits(data, source).values(), bare) if s]
    for name in wanted:
        if name not in source:
            raise DataError(f"the source has no split '{name}'; {nearest(name, source)}")
    raw: dict[str, Any] = {}
    hashes: dict[str, list[str]] = {}
    skipped: dict[str, int] = {}
    for name in wanted:
        columns = [role for role in [*task.columns, GROUP] if name != bare or role not in (*task.targets, GROUP)]
        given = sample_rows(source[name], data.max_rows, seed)
        raw[name] = _called(task, _to_roles(task, given, data.columns, name, columns), data.names)
        raw[name], hashes[name], skipped[name] = _clean(task, raw[name], name, data.on_error)
    task = task.resolve(raw[data.splits.train])
    places = split(task, data, source, raw, seed)
    if bare:
        places["unlabelled"] = (bare, list(range(len(raw[bare]))))
    removed = remove_duplicates(places, hashes)
    splits = {name: raw[origin].select(rows) for name, (origin, rows) in places.items() if name != "unlabelled"}
    _refuse_empty(splits, removed)
    if data.shots is not None:
        kept = draw_shots(task, splits["train"], data.shots, seed)
        splits["train"] = splits["train"].select(kept)
        origin, numbers = places["train"]
        places["train"] = (origin, [numbers[i] for i in kept])
        if data.unlabelled == "rest":
            drawn = {hashes[origin][row] for row in places["train"][1]}
            places["unlabelled"] = (origin, [row for row in numbers if hashes[origin][row] not in drawn])
    unlabelled = _unlabelled(task, raw, places)
    _refuse_empty(unlabelled, removed)
    task = task.learn(splits["train"])
    task = task.know(labels=task.find_labels(splits))
    classes = {name: _count(task, rows) for name, rows in splits.items()}
    if data.sampling == "balanced":
        splits["train"] = balanced(task, splits["train"])
    content = [(name, hashes[origin][row]) for name, (origin, rows) in sorted(places.items()) for row in rows]
    known = [(rows, role) for _, rows in sorted(splits.items()) for role in sorted(task.targets)]
    targets = [str(rows[role][:]) for rows, role in known if role in rows.column_names]
    facts = DataFacts(
        fingerprint=hashlib.sha256(repr((content, targets)).encode()).hexdigest(),
        rows={name: len(rows) for name, rows in (splits | unlabelled).items()},
        duplicates_removed=removed,
        skipped=skipped,
        labels=list(task.labels),
        classes=classes,
    )
    indexed = {name: task.index(rows) for name, rows in splits.items()}
    return Rows(task, indexed | unlabelled, facts, split_sizes(data, source))


def _refuse_empty(splits: dict[str, Any], removed: dict[str, int]) -> None:
    for name, rows in splits.items():
        if not len(rows):
            raise DataError(f"split '{name}' is empty" + (" once duplicates are removed" if removed.get(name) else ""))


def _unlabelled(task: Task, raw: dict[str, Any], places: dict[str, tuple[str, list[int]]]) -> dict[str, Any]:
    """The split `unlabelled`, if there is one, without the columns that a model has to find."""
    if "unlabelled" not in places:
        return {}
    origin, numbers = places["unlabelled"]
    rows = raw[origin].select(numbers)
    inputs = [role for role in raw[places["train"][0]].column_names if role not in {*task.targets, GROUP}]
    if missing := sorted(set(inputs) - set(rows.column_names)):
        raise DataError(f"split '{origin}' has no column for '{missing[0]}', which the training rows have")
    return {"unlabelled": rows.select_columns(inputs)}


def _kind(task: Task, role: str) -> features.Kind:
    return "label" if role == GROUP else task.columns[role]


def _to_roles(task: Task, rows: Any, columns: dict[str, str | list[str]], split: str, roles: list[str]) -> Any:
    """The rows with one column for each role."""
    _refuse_roles(task, columns)
    rows = _laid_open(rows)
    chosen: dict[str, str] = {}
    for role in roles:
        column = columns.get(role, role)
        optional = role == GROUP or role in task.optional
        if optional and role not in columns and role not in rows.column_names:
            continue
        for one in [column] if isinstance(column, str) else column:
            if one not in rows.column_names:
                raise DataError(
                    f"split '{split}' has no column '{one}' for the role '{role}' of '{task.name}' "
                    f"({_WHENCE[rows.column_names in (['image'], ['audio'])]}); {nearest(one, rows.column_names)}"
                )
        if isinstance(column, list):
            made = _joined(rows, column) if _kind(task, role) == "text" else _marked(rows, column, split)
            rows, column = rows.add_column(f"_{role}", made), f"_{role}"
        if column in chosen.values():
            if role != GROUP:
                raise DataError(f"data.columns: the column '{column}' has two roles")
            # Scores may be told for each label, or each text.
            rows, column = rows.add_column("_group", rows[column][:], feature=rows.features[column]), "_group"
        chosen[role] = column
    return rows.select_columns(list(chosen.values())).rename_columns({c: r for r, c in chosen.items() if c != r})


# Where a column that is not there may come from: of tables, and of folders.
_WHENCE = ("data.columns maps roles to columns", "a folder for each class makes labels, or a metadata.csv columns")


def _called(task: Task, rows: Any, names: list[str]) -> Any:
    """The rows with names, if there are any, for the numbers of their classes."""
    from datasets import ClassLabel, List

    (role,) = task.targets
    if not names or role not in rows.column_names:
        return rows
    found = [one for cell in rows[role][:] for one in (cell if isinstance(cell, list) else [cell]) if one is not None]
    if _kind(task, role) != "label" or not all(type(one) is int for one in found):
        raise DataError(f"data.names: the column of the role '{role}' holds no whole numbers to name")
    if max(found, default=0) >= len(names):
        raise DataError(f"data.names: there are {len(names)}, from 0 on, and the role '{role}' has a {max(found)}")
    kind = ClassLabel(names=names)
    return rows.cast_column(role, List(kind) if hasattr(rows.features[role], "feature") else kind)


def _laid_open(rows: Any) -> Any:
    """The rows, and beside a column of named parts each of the parts: `translation.fr`."""
    from datasets import Translation, concatenate_datasets

    whole = [name for name, feature in rows.features.items() if isinstance(feature, dict | Translation)]
    return concatenate_datasets([rows, rows.select_columns(whole).flatten()], axis=1) if whole else rows


def _refuse_roles(task: Task, columns: dict[str, str | list[str]]) -> None:
    """What `data.columns` may not say."""
    for role, column in columns.items():
        if role not in task.columns and role != GROUP:
            raise DataError(f"data.columns: task '{task.name}' has no role '{role}'; {nearest(role, task.columns)}")
        if isinstance(column, list) and _kind(task, role) not in ("label", "text"):
            raise DataError(f"data.columns.{role}: only labels and texts may stand in several columns")


_ON = {"1": True, "1.0": True, "true": True, "yes": True, "0": False, "0.0": False, "false": False, "no": False}


def _joined(rows: Any, columns: list[str]) -> list[str]:
    """One text of several, such as a title and what stands below it, each on a line of its own."""
    cells = zip(*(rows[column][:] for column in columns), strict=True)
    return ["\n".join(str(part) for part in split_sizes if part is not None) for split_sizes in cells]


def _marked(rows: Any, columns: list[str], split: str) -> list[list[str]]:
    """The names of those columns that a row marks by 1, of several that hold 0 or 1."""
    lists: list[list[str]] = [[] for _ in range(len(rows))]
    for column in columns:
        for row, cell in enumerate(rows[column][:]):
            on = _ON.get(str(cell).strip().lower())
            if on is None:
                raise DataError(f"column '{column}' of split '{split}', row {row}: {cell!r} is neither 0 nor 1")
            if on:
                lists[row].append(column)
    return lists


_ELSEWHERE = "data.splits can name another split, or a part of the training rows"


def _clean(task: Task, rows: Any, split: str, on_error: str) -> tuple[Any, list[str], int]:
    """Readable rows, the hash of each one's inputs, and how many were left out."""
    for role in rows.column_names:
        rows = features.cast_column(_kind(task, role), role, rows, decode=False)
    good: list[int] = []
    hashes: list[str] = []
    bad: list[tuple[int, str]] = []
    types = rows.features
    for number, row in enumerate(tqdm(_each(rows), total=len(rows), desc=f"reading {split}", unit="row", leave=False)):
        try:
            hashes.append(_examine(task, row, types))
            good.append(number)
        except DataError as error:
            bad.append((number, str(error)))
    if bad and on_error == "raise":
        raise DataError(
            f"{len(bad)} of {len(rows)} rows of split '{split}' cannot be used, first row {bad[0][0]}: {bad[0][1]} "
            f"({_ELSEWHERE if not good and split != 'train' else 'data.on_error: skip leaves such rows out'})"
        )
    if not good:
        raise DataError(f"split '{split}' is empty" + (f": {bad[0][1]} ({_ELSEWHERE})" if bad else ""))
    for role in rows.column_names:
        rows = features.cast_column(_kind(task, role), role, rows, decode=True)
    return rows.select(good), hashes, len(bad)


def _each(rows: Any) -> Iterator[dict[str, Any]]:
    """The rows, of which `datasets` reads several at once in a tenth of the time."""
    for batch in rows.iter(batch_size=64):
        yield from (dict(zip(batch, row, strict=True)) for row in zip(*batch.values(), strict=True))


def _examine(task: Task, row: dict[str, Any], types: Any) -> str:
    """The hash of a row's inputs.

    Raises:
        DataError: a cell cannot be read, or the task cannot use the row.
    """
    digest = hashlib.sha256()
    values = {}
    for role, cell in row.items():
        blank = cell is None or (isinstance(cell, str) and _kind(task, role) == "label" and not cell.strip())
        if blank and (role in task.may_be_empty or role == GROUP):
            continue
        if role in task.targets - task.optional and (unknown := features.unnamed_class(types[role], cell)) is not None:
            raise DataError(f"the {role} {unknown} is none of the classes that the data set names")
        values[role], content = features.read_value(_kind(task, role), role, None if blank else cell)
        if role not in task.targets and role != GROUP:
            digest.update(content)
    if fault := task.check_row(values):
        raise DataError(fault)
    return digest.hexdigest()


def _count(task: Task, rows: Any) -> dict[str, int]:
    groups = task.groups(rows)
    if groups is None:
        return {}
    names = features.class_names(rows.features["label"])
    return {str(names[g] if names else g): n for g, n in sorted(Counter(groups).items(), key=lambda i: str(i[0]))}
