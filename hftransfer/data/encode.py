"""From rows to model inputs: computed once and kept with the run, or on the fly where they would fill the disk."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hftransfer.tasks import Batch, Task

Augment = Callable[[dict[str, Any], np.random.Generator], dict[str, Any]]

MAX_CACHE_BYTES = 4 * 2**30
"""More than this is not kept on disk."""


@dataclass(frozen=True)
class Encoded:
    """Splits of encoded rows and what makes a batch of them."""

    splits: dict[str, Any]
    collate: Callable[[list[dict[str, Any]]], Batch]
    augment: Augment | None = None
    """What training does to a row, anew in each epoch; the rows of such a training split have a column `row`."""


def encode(task: Task, splits: dict[str, Any], folder: Path, augment: Augment | None = None) -> Encoded:
    """Encode all rows; arrays of one shape are declared as such, so that reading them back costs no conversion.

    `augment` stands in the place of the task's own variation of training rows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    augment = augment or (task.augment if task.augments else None)
    if augment and "train" in splits:
        numbered = splits["train"].add_column("row", np.arange(len(splits["train"])))
        splits = splits | {"train": numbered}

    def function(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return task.encode(batch) | {name: batch[name] for name in ("row",) if name in batch}

    # Rows that are packed for training have to be there.
    may_be_lazy = type(task).packed is Task.packed
    if may_be_lazy and sum(_bytes(task, rows) for rows in splits.values()) > MAX_CACHE_BYTES:
        lazy = {name: rows.with_transform(function) for name, rows in splits.items()}
        return Encoded(lazy, _plain(task.collator()), augment)
    kept = {
        name: cache_rows(rows, function, folder / f"{name}.arrow", f"encoding {name}") for name, rows in splits.items()
    }
    if "train" in kept:
        kept["train"] = task.packed(kept["train"])
    return Encoded(kept, _plain(task.collator()), augment)


def _bytes(task: Task, rows: Any) -> float:
    """Of all rows encoded, by 16 from all over the split."""
    places = np.unique(np.linspace(0, len(rows) - 1, 16).round().astype(int)).tolist()
    encoded = task.encode(rows.select(places)[:])
    return sum(np.asarray(cell).nbytes for cells in encoded.values() for cell in cells) * len(rows) / len(places)


def _plain(collate: Callable[[list[dict[str, Any]]], Batch]) -> Callable[[list[dict[str, Any]]], Batch]:
    """The collator, blind to the rows' numbers."""
    return lambda rows: collate([{name: cell for name, cell in row.items() if name != "row"} for row in rows])


def cache_rows(
    rows: Any, function: Callable[[dict[str, list[Any]]], dict[str, list[Any]]], file: Path, what: str
) -> Any:
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
            desc=what,
        )
    return mapped.with_format("numpy") if features else mapped


def _array_features(batch: dict[str, list[Any]]) -> Any:
    """Features for a batch of which some column holds arrays; None where plain lists of any length stand in it."""
    from datasets import Array2D, Array3D, Features, List, Value

    if not any(isinstance(cells[0], np.ndarray) for cells in batch.values()):
        return None
    arrays = {2: Array2D, 3: Array3D}
    features: dict[str, Any] = {}
    for name, cells in batch.items():
        cell = np.asarray(cells[0])
        kind = "float32" if cell.dtype.kind == "f" else "int64"
        if cell.ndim in arrays:
            features[name] = arrays[cell.ndim](shape=cell.shape, dtype=kind)
        elif cell.ndim == 1:
            features[name] = List(Value(kind))
        else:
            features[name] = Value(kind)
    return Features(features)
