"""From rows to model inputs: computed once into the run's folder, or on the fly where they would fill the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.tasks import Encoded, ModelBatch, Side, Task

if TYPE_CHECKING:
    from datasets import Dataset, Features

Example = dict[str, Any]
"""One encoded row, or one of its model inputs."""
AugmentRows = Callable[[Example, np.random.Generator], Example]

MAX_CACHE_BYTES = 4 * 2**30
"""More than this is not written to disk."""
ROW, LENGTH, _SIDE = "row", "length", "side_"
"""Columns that the model never sees: the number of a training row, by which it is augmented; the length of a row; the
start of the names of what `Encoded.side` holds."""
_WINDOW_ROW, _NUMBER = f"{_SIDE}row", "number_of_row"


@dataclass(frozen=True)
class EncodedSplits:
    """Splits of encoded rows and what makes a batch of them."""

    splits: dict[str, Dataset]
    collate: Callable[[list[Example]], ModelBatch]
    augment: AugmentRows | None = None
    """What training does to a row, differently in each epoch; such training rows have a column `row`."""

    def side(self, split: str) -> dict[str, list[Any]]:
        """What the model must not see of a whole split, and `row` where a row has several model inputs."""
        rows = self.splits[split]
        if rows.format["type"] == "custom":
            # Rows that are encoded when they are read.
            batches = [side_of([rows[row]]) for row in range(len(rows))]
            return {name: [batch[name][0] for batch in batches] for name in batches[0]}
        names = [name for name in rows.column_names if name.startswith(_SIDE)]
        return {name.removeprefix(_SIDE): rows[name][:] for name in names}


def side_of(examples: list[Example]) -> Side:
    """What the model must not see of some examples."""
    names = [name for name in examples[0] if name.startswith(_SIDE)]
    return {name.removeprefix(_SIDE): [example[name] for example in examples] for name in names}


def without_side(examples: list[Example]) -> list[Example]:
    """The examples as `Task.collate` takes them."""
    hidden = {name for name in examples[0] if name in (ROW, LENGTH) or name.startswith(_SIDE)}
    return [{name: value for name, value in example.items() if name not in hidden} for example in examples]


def encode(task: Task, splits: dict[str, Dataset], folder: Path, augment: AugmentRows | None = None) -> EncodedSplits:
    """Encode all rows; arrays of one shape are declared as such, so that reading them back costs no conversion.

    `augment` takes the place of the task's own augmentation of training rows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    augment = augment or (task.augment if task.augments else None)
    has_windows = task.encode(splits[next(iter(splits))][:1]).row is not None

    def numbered(split: str, rows: Dataset) -> Dataset:
        columns = [*([_NUMBER] if has_windows else []), *([ROW] if augment and split == "train" else [])]
        for name in columns:
            rows = rows.add_column(name, np.arange(len(rows)))
        return rows

    def function(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return _columns(task.encode(batch), batch.get(_NUMBER), batch.get(ROW))

    def collate(examples: list[Example]) -> ModelBatch:
        return task.collate(without_side(examples))

    # Rows that are packed for training, or of which several model inputs are made, have to be on disk.
    may_be_lazy = type(task).pack is Task.pack and not has_windows
    if may_be_lazy and sum(_bytes(task, rows) for rows in splits.values()) > MAX_CACHE_BYTES:
        lazy = {name: numbered(name, rows).with_transform(function) for name, rows in splits.items()}
        return EncodedSplits(lazy, collate, augment)
    cached = {
        name: cache_rows(numbered(name, rows), function, folder / f"{name}.arrow", f"encoding {name}")
        for name, rows in splits.items()
    }
    if "train" in cached:
        cached["train"] = task.pack(cached["train"])
    return EncodedSplits(cached, collate, augment)


def _columns(encoded: Encoded, numbers: list[int] | None, augmented: list[int] | None) -> dict[str, list[Any]]:
    """The columns of a table of encoded rows.

    `numbers` are those of the rows in their split, of which several model inputs are made; `augmented` those of rows
    that training changes.
    """
    columns = dict(encoded.inputs) | {_SIDE + name: values for name, values in encoded.side.items()}
    if encoded.length is not None:
        columns[LENGTH] = encoded.length
    for name, values in ((_WINDOW_ROW, numbers), (ROW, augmented)):
        if values is not None:
            columns[name] = values if encoded.row is None else [values[row] for row in encoded.row]
    return columns


def encode_one(task: Task, row: dict[str, Any]) -> list[Example]:
    """The model inputs of a single row, as `collate` of encoded splits and `side_of` take them."""
    columns = _columns(task.encode({role: [value] for role, value in row.items()}), [0], None)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _bytes(task: Task, rows: Dataset) -> float:
    """Of all rows encoded, estimated from 16 from all over the split."""
    places = np.unique(np.linspace(0, len(rows) - 1, 16).round().astype(int)).tolist()
    encoded = _columns(task.encode(rows.select(places)[:]), None, None)
    size = sum(np.asarray(value).nbytes for values in encoded.values() for value in values)
    return size * len(rows) / len(places)


def cache_rows(
    rows: Dataset, function: Callable[[dict[str, list[Any]]], dict[str, list[Any]]], file: Path, description: str
) -> Dataset:
    """`function` of all rows, computed once into an Arrow file that is there whole or not at all.

    Under several processes the main one computes; all of them have to call this.
    """
    from accelerate import PartialState

    first = function(rows[:2])
    features = _array_features(first)
    with PartialState().main_process_first():
        mapped = rows.map(
            function,
            batched=True,
            batch_size=64,
            remove_columns=rows.column_names,
            features=features,
            cache_file_name=str(file),
            new_fingerprint=file.stem,
            desc=description,
        )
    return mapped.with_format("numpy") if features else mapped


def _array_features(batch: dict[str, list[Any]]) -> Features | None:
    """Features for a batch of which some column holds arrays; None where plain lists of any length stand in it."""
    from datasets import Array2D, Array3D, Features, List, Value

    if not any(isinstance(values[0], np.ndarray) for values in batch.values()):
        return None
    arrays = {2: Array2D, 3: Array3D}
    features: dict[str, Any] = {}
    for name, values in batch.items():
        value = np.asarray(values[0])
        if value.dtype.kind in "US":
            features[name] = Value("string")
            continue
        dtype = "float32" if value.dtype.kind == "f" else "int64"
        if value.ndim in arrays:
            features[name] = arrays[value.ndim](shape=value.shape, dtype=dtype)
        else:
            features[name] = List(Value(dtype)) if value.ndim == 1 else Value(dtype)
    return Features(features)


def longest_first(rows: Dataset) -> list[int]:
    """Row numbers, longest rows first, so that the progress bar errs on the safe side."""
    if LENGTH not in (rows.column_names or []):
        return [*range(len(rows))]
    order: list[int] = np.argsort(-np.asarray(rows[LENGTH][:]), kind="stable").tolist()
    return order
