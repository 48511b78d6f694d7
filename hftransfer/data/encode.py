"""From rows to model inputs: computed once into the run's folder, or on the fly where they would fill the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core import ranks
from hftransfer.core.arrow import with_column
from hftransfer.data.processes import Releasing, batch_size, decode_images, processes, use_one_thread
from hftransfer.tasks import Encoded, ModelBatch, Side, Task

if TYPE_CHECKING:
    from datasets import Dataset, Features, IterableDataset

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
    stream: IterableDataset | None = None
    """What is trained on in the place of the split `train`, which is then the first rows of it."""

    def side(self, split: str) -> dict[str, list[Any]]:
        """What the model must not see of a whole split, and `row` where a row has several model inputs."""
        rows = self.splits[split]
        if rows.format["type"] == "custom":
            # Rows that are encoded when they are read.
            batches = [side_of([rows[row]]) for row in range(len(rows))]
            return {name: [batch[name][0] for batch in batches] for name in batches[0]}
        names = [name for name in rows.column_names if name.startswith(_SIDE)]
        return {name.removeprefix(_SIDE): rows[name][:] for name in names}


def first_rows(encoded: EncodedSplits, split: str, count: int) -> EncodedSplits:
    """The first rows of one split, at most `count`."""
    rows = encoded.splits[split]
    return EncodedSplits({split: rows.select(range(min(count, len(rows))))}, encoded.collate)


def side_of(examples: list[Example]) -> Side:
    """What the model must not see of some examples."""
    names = [name for name in examples[0] if name.startswith(_SIDE)]
    return {name.removeprefix(_SIDE): [example[name] for example in examples] for name in names}


def without_side(examples: list[Example]) -> list[Example]:
    """The examples as `Task.collate` takes them."""
    hidden = {name for name in examples[0] if name in (ROW, LENGTH) or name.startswith(_SIDE)}
    return [{name: value for name, value in example.items() if name not in hidden} for example in examples]


def encode(
    task: Task,
    splits: dict[str, Dataset],
    folder: Path,
    augment: AugmentRows | None = None,
    num_proc: int | None = 1,
) -> EncodedSplits:
    """Encode all rows; arrays of one shape are declared as such, so that reading them back costs no conversion.

    `augment` takes the place of the task's own augmentation of training rows. Each split is encoded by `num_proc`
    processes; None: by as many as there are cores, where there are enough images or recordings.

    Raises:
        OSError, SyntaxError, ValueError: an image is not whole, of rows that were loaded without decoding.
    """
    folder.mkdir(parents=True, exist_ok=True)
    augment = augment or (task.augment if task.augments else None)
    examples = _examples(task, splits)
    has_windows = any(example.row is not None for example in examples.values())
    added = {
        name: [*([_NUMBER] if has_windows else []), *([ROW] if augment and name == "train" else [])] for name in splits
    }

    def collate(examples: list[Example]) -> ModelBatch:
        return task.collate(without_side(examples))

    function = partial(_encode_batch, task, os.getpid())
    changes = partial(_augment, task, augment) if augment else None
    # Rows that are packed for training, or of which several model inputs are made, have to be on disk.
    may_be_lazy = type(task).pack is Task.pack and not has_windows
    if may_be_lazy and sum(_bytes(task, rows, examples[name]) for name, rows in splits.items()) > MAX_CACHE_BYTES:
        for name, rows in splits.items():
            decode_images(rows, f"reading {name}", num_proc)
        lazy = {name: _numbered(rows, added[name]).with_transform(function) for name, rows in splits.items()}
        return EncodedSplits(lazy, collate, augment=changes)
    cached = {}
    for name, rows in splits.items():
        numbers, augmented = ([0] if column in added[name] else None for column in (_NUMBER, ROW))
        first, file = columns_of(examples[name], numbers, augmented), folder / f"{name}.arrow"
        cached[name] = cache_rows(_numbered(rows, added[name]), function, file, f"encoding {name}", first, num_proc)
    if "train" in cached:
        cached["train"] = task.pack(cached["train"])
    return EncodedSplits(cached, collate, augment=changes)


def _examples(task: Task, splits: dict[str, Dataset]) -> dict[str, Encoded]:
    """Split -> a row of it, encoded; splits with the same columns share one, since to decode a picture takes time."""
    examples: dict[frozenset[str], Encoded] = {}
    for rows in splits.values():
        names = frozenset(rows.column_names)
        if names not in examples:
            examples[names] = task.encode(rows[:1])
    return {split: examples[frozenset(rows.column_names)] for split, rows in splits.items()}


def _numbered(rows: Dataset, names: list[str]) -> Dataset:
    """The rows with columns that hold their numbers."""
    for name in names:
        rows = with_column(rows, name, np.arange(len(rows)))
    return rows


def _augment(task: Task, augment: AugmentRows, row: Example, rng: np.random.Generator) -> Example:
    """A training row with its pixels as floats, changed."""
    return augment(task.normalize(row), rng)


def _encode_batch(task: Task, main_process: int, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The columns of encoded rows, in the process of this id or in one that it started."""
    if os.getpid() != main_process:
        use_one_thread()
    return columns_of(task.encode(batch), batch.get(_NUMBER), batch.get(ROW))


def columns_of(
    encoded: Encoded, numbers: list[int] | None = None, augmented: list[int] | None = None
) -> dict[str, list[Any]]:
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
    columns = columns_of(task.encode({role: [value] for role, value in row.items()}), [0], None)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _bytes(task: Task, rows: Dataset, example: Encoded) -> float:
    """Of all rows encoded: by one example where all have its shapes, else estimated from 16 from all over the split."""
    columns, count = columns_of(example, None, None), 1
    if not any(isinstance(values[0], np.ndarray) and values[0].ndim > 1 for values in columns.values()):
        places = np.unique(np.linspace(0, len(rows) - 1, 16).round().astype(int)).tolist()
        columns, count = columns_of(task.encode(rows.select(places)[:]), None, None), len(places)
    size = sum(np.asarray(value).nbytes for values in columns.values() for value in values)
    return size * len(rows) / count


def cache_rows(
    rows: Dataset,
    function: Callable[[Example], Example],
    file: Path,
    description: str,
    first: Example | None = None,
    num_proc: int | None = 1,
) -> Dataset:
    """`function` of all rows, computed once into an Arrow file that is there whole or not at all.

    Several processes write one such file each, which together are the table. Under several processes of a distributed
    training the main one computes; all of them have to call this.

    Args:
        rows: The rows.
        function: From columns to columns.
        file: The Arrow file, whose name gets a suffix where there are several.
        description: For the progress bar.
        first: What `function` makes of some row, if that is known.
        num_proc: As in `encode`.
    """
    features = _array_features(function(rows[:2]) if first is None else first)
    with ranks.main_first():
        mapped = rows.map(
            Releasing(function, [file["filename"] for file in rows.cache_files]),
            with_indices=True,
            batched=True,
            batch_size=batch_size(rows),
            remove_columns=rows.column_names,
            features=features,
            cache_file_name=str(file),
            new_fingerprint=file.stem,
            num_proc=processes(rows, num_proc),
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
        dtype = "float32" if value.dtype.kind == "f" else "uint8" if value.dtype == np.uint8 else "int64"
        if value.ndim in arrays:
            # Spectrograms of recordings of any length.
            varies = value.ndim == 2 and LENGTH in batch and batch[LENGTH][0] == len(value)
            features[name] = arrays[value.ndim](shape=(None, value.shape[1]) if varies else value.shape, dtype=dtype)
        else:
            features[name] = List(Value(dtype)) if value.ndim == 1 else Value(dtype)
    return Features(features)


def longest_first(rows: Dataset) -> list[int]:
    """Row numbers, longest rows first, so that the progress bar errs on the safe side."""
    if LENGTH not in (rows.column_names or []):
        return [*range(len(rows))]
    order: list[int] = np.argsort(-np.asarray(rows[LENGTH][:]), kind="stable").tolist()
    return order
