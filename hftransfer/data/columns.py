"""From the columns of a source to one column a role: renamed, joined, named parts laid open, class names given."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hftransfer.core.arrow import read_column, with_column
from hftransfer.core.errors import DataError
from hftransfer.core.features import CHOICES, Feature, Label, Text, class_names
from hftransfer.core.plugins import nearest
from hftransfer.data.splits import GROUP
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset

Columns = Mapping[str, str | list[str]]
"""Role -> column of the source, or several columns."""

# Where a column may come from: of tables, and of folders.
_TABLE = "data.columns maps roles to columns; of CSV files, data.source.delimiter and header say where columns are"
_FOLDER = "a folder for each class makes labels, two classes or more, or a metadata.csv columns"
_WHOLE = re.compile(r"(-?[0-9]+)(\.0+)?")
_FLAGS = {"1": True, "1.0": True, "true": True, "yes": True, "0": False, "0.0": False, "false": False, "no": False}


def feature_of(features: Mapping[str, Feature], role: str) -> Feature:
    """The feature type of a role; groups are read as labels are."""
    return features.get(role) or Label(optional=True)


def to_roles(features: Mapping[str, Feature], rows: Dataset, columns: Columns, split: str, *, owner: str) -> Dataset:
    """The rows with one column for each role that `features` names; `owner` says in errors whose roles they are.

    Raises:
        DataError: a column is missing, or has two roles.
    """
    rows = _with_parts(rows)
    chosen: dict[str, str] = {}
    for role, feature in features.items():
        column = _choices(columns.get(role, role), rows, feature)
        if feature.optional and role not in columns and role not in rows.column_names:
            continue
        for name in [column] if isinstance(column, str) else column:
            if name not in rows.column_names:
                raise DataError(
                    f"split '{split}' has no column '{name}' for the role '{role}' of '{owner}' "
                    f"({_remedy(rows.column_names, split)}); {nearest(name, rows.column_names)}"
                )
        if isinstance(column, list):
            values = _joined(rows, column) if isinstance(feature, Text) else _marked(rows, column, split)
            rows, column = rows.add_column(f"_{role}", values), f"_{role}"
        if column in chosen.values():
            if role != GROUP:
                raise DataError(f"data.columns: the column '{column}' has two roles")
            # Scores may be reported for each label, or each text.
            rows, column = rows.add_column("_group", read_column(rows, column), feature=rows.features[column]), "_group"
        chosen[role] = column
    return rows.select_columns(list(chosen.values())).rename_columns({c: r for r, c in chosen.items() if c != r})


def _choices(column: str | list[str], rows: Dataset, feature: Feature) -> str | list[str]:
    """The column of labels; of mappings that hold nothing but the choices of Label Studio, that of the choices."""
    mapping = rows.features.get(column) if isinstance(column, str) and isinstance(feature, Label) else None
    return f"{column}.{CHOICES}" if isinstance(mapping, dict) and list(mapping) == [CHOICES] else column


def _remedy(columns: list[str], split: str) -> str:
    """What helps where a split lacks a column."""
    if columns not in (["image"], ["audio"]):
        return _TABLE
    return _FOLDER if split == "train" else f"{_FOLDER}; data.splits.{split}: 0.2 takes its rows from other splits"


def check_columns(task: Task, columns: Columns) -> None:
    """Refuse roles that the task does not have, and several columns for what comes in one.

    Raises:
        DataError: the mapping names such a role.
    """
    for role, column in columns.items():
        if role not in task.features and role != GROUP:
            raise DataError(f"data.columns: task '{task.name}' has no role '{role}'; {nearest(role, task.features)}")
        if isinstance(column, list) and not feature_of(task.features, role).from_several_columns:
            raise DataError(f"data.columns.{role}: only labels and texts may stand in several columns")


def name_classes(task: Task, rows: Dataset, names: Sequence[str]) -> Dataset:
    """The rows with names, if there are any, for the numbers of their classes (`data.names`).

    Multi-hot vectors, a 0 or 1 for each label, become lists of the labels, which without names are called 0, 1, ...

    Raises:
        DataError: the column holds no whole numbers, or numbers beyond the names.
    """
    from datasets import ClassLabel, List

    role = task.target_role
    if role is None or role not in rows.column_names:
        return rows
    # Neither images nor recordings are decoded to find out.
    is_label = isinstance(task.features[role], Label)
    if not names and not (is_label and task.marks_labels(rows[role][:100])):
        return rows
    values = read_column(rows, role) if is_label else [None]
    if class_names(rows.features[role]) is None and task.marks_labels(values):
        width = next(len(cell) for cell in values if cell is not None)
        if names and len(names) != width:
            raise DataError(f"data.names: there are {len(names)}, and the role '{role}' has vectors of {width}")
        values = [cell and [place for place, flag in enumerate(cell) if flag] for cell in values]
        names = names or [str(place) for place in range(width)]
    elif not names:
        return rows
    else:
        values = [[_whole(it) for it in cell] if isinstance(cell, list) else _whole(cell) for cell in values]
    numbers = [n for cell in values for n in (cell if isinstance(cell, list) else [cell]) if n is not None]
    if not is_label or not all(type(number) is int for number in numbers):
        raise DataError(f"data.names: the column of the role '{role}' holds no whole numbers to name")
    if max(numbers, default=0) >= len(names):
        raise DataError(f"data.names: there are {len(names)}, from 0 on, and the role '{role}' has a {max(numbers)}")
    several = any(isinstance(cell, list) for cell in values)
    feature = ClassLabel(names=list(names))
    return with_column(rows.remove_columns(role), role, values, feature=List(feature) if several else feature)


def _whole(cell: object) -> object:
    """The whole number that a cell is or spells; any other cell as it is."""
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    spelled = _WHOLE.fullmatch(cell.strip()) if isinstance(cell, str) else None
    return int(spelled[1]) if spelled else cell


def _with_parts(rows: Dataset) -> Dataset:
    """The rows with a column for each named part of a column: `translation.fr`."""
    from datasets import Translation, concatenate_datasets

    whole = [name for name, feature in rows.features.items() if isinstance(feature, dict | Translation)]
    return concatenate_datasets([rows, rows.select_columns(whole).flatten()], axis=1) if whole else rows


def _joined(rows: Dataset, columns: list[str]) -> list[str]:
    """One text of several, such as a title and the text below it, each on a line of its own."""
    texts = zip(*(rows[column][:] for column in columns), strict=True)
    return ["\n".join(str(part) for part in parts if part is not None) for parts in texts]


def _marked(rows: Dataset, columns: list[str], split: str) -> list[list[str]]:
    """The names of those columns that a row marks by 1, of several that hold 0 or 1."""
    lists: list[list[str]] = [[] for _ in range(len(rows))]
    for column in columns:
        for row, cell in enumerate(rows[column][:]):
            flag = _FLAGS.get(str(cell).strip().lower())
            if flag is None:
                raise DataError(f"column '{column}' of split '{split}', row {row}: {cell!r} is neither 0 nor 1")
            if flag:
                lists[row].append(column)
    return lists


def all_features(task: Task) -> dict[str, Feature]:
    """Role -> feature type of all that a row of the task may hold, its group included."""
    return task.features | {GROUP: Label(optional=True)}
