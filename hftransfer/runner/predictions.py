"""The predictions of a finished run as a data set of the Hub: a Parquet file a split, and a card."""

from __future__ import annotations

import csv
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.errors import RecipeError
from hftransfer.core.features import Audio, Image
from hftransfer.core.files import nest_outputs
from hftransfer.core.media import location
from hftransfer.data.load import Rows
from hftransfer.hub.push import Wanted, push, rows_are_public
from hftransfer.hub.upload import Pushed
from hftransfer.recipe.loader import from_record
from hftransfer.reporting.predictions_card import card, published_splits
from hftransfer.reporting.tables import unescape_cell
from hftransfer.runner.collect import ERROR
from hftransfer.runner.finished import check_rows, read_arrays
from hftransfer.runner.folders import finished_run
from hftransfer.runner.predict import saved_task
from hftransfer.runner.rows import read_rows
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset

# Rows that are in memory at a time: of texts and numbers, and of what lies in files.
_BATCH, _BATCH_OF_FILES = 10_000, 100
_REMEDY = "copy the run's folder again, or run the recipe again with --overwrite"

Columns = dict[str, tuple[Any, list[Any]]]
"""Name -> the feature of `datasets`, and the cells."""


def publish(folder: Path, wanted: Wanted) -> dict[str, Pushed]:
    """Push a finished run, and its predictions where they are wanted.

    Raises:
        HubError, ModelError: as `push`.
        DataError: the rows are no longer those of the run, or cannot be read.
        RecipeError: a file of predictions is missing or damaged.
    """
    if wanted.predictions is None:
        return push(folder, wanted)
    with TemporaryDirectory(prefix="hftransfer-predictions-") as place:
        return push(folder, wanted, lambda model, repo: _files(folder, model, repo, Path(place)))


def _files(folder: Path, model: str, repo: str, place: Path) -> dict[str, Path | bytes]:
    """Path in the repository `repo` -> content; the Parquet files are written into the directory `place`.

    Inputs are there only where everybody may read the rows. References and predictions are there too where they are
    classes or numbers: anything else is as private as the inputs.
    """
    result = finished_run(folder)
    recipe = from_record(result.recipe)
    rows = read_rows(recipe.task, recipe.data, recipe.seed, recipe.evaluation.left_out, decode=False)
    check_rows(folder, result, rows.facts, "so its predictions cannot be published")
    task, public = saved_task(folder, result), rows_are_public(result)
    files: dict[str, Path | bytes] = {}
    columns: list[str] = []
    for split in published_splits(result):
        table, file = rows.splits[split], place / f"{split}.parquet"
        roles = [role for role in task.inputs if role in table.column_names] if public else []
        answers = _answers(folder, task, split, len(table), with_texts=public)
        columns = _write(file, task, table.select_columns(roles), answers | _origins(rows, split))
        files[f"predictions/{split}.parquet"] = file
    files["README.md"] = card(result, model, repo, columns, public=public).encode()
    return files


def _answers(folder: Path, task: Task, split: str, count: int, *, with_texts: bool) -> Columns:
    """What the tuned model predicts on each row of a split, and how well."""
    from datasets import List, Value

    table = _read_table(folder / "predictions" / f"{split}.csv", count)
    columns: Columns = {}
    if with_texts or task.row_target is not None:
        for name, variant in (("reference", "reference"), ("prediction", "tuned")):
            columns[name] = _typed(task, [unescape_cell(row[variant]) for row in table])
    errors = [float(row[ERROR]) for row in table]
    if task.row_target != "number":
        columns["right"] = (Value("bool"), [error == 0 for error in errors])
    columns["error"] = (Value("float64"), errors)
    probabilities = _probabilities(folder, task, split)
    if probabilities is not None:
        if task.single_label:
            columns["confidence"] = (Value("float32"), probabilities.max(axis=1).tolist())
        columns["probabilities"] = (List(Value("float32")), probabilities.tolist())
    return columns


def _typed(task: Task, texts: list[str]) -> tuple[Any, list[Any]]:
    """Cells of `predictions/SPLIT.csv` as numbers of named classes, as numbers, or as texts."""
    from datasets import ClassLabel, Value

    if task.row_target == "class" and set(texts) <= set(task.labels):
        return ClassLabel(names=list(task.labels)), [task.labels.index(text) for text in texts]
    if task.row_target == "number":
        return Value("float64"), [float(text) for text in texts]
    return Value("string"), texts


def _probabilities(folder: Path, task: Task, split: str) -> np.ndarray | None:
    """The probabilities of the classes, shape (rows, classes); None where rows have none."""
    if task.row_target not in ("class", "classes"):
        return None
    outputs = nest_outputs(read_arrays(folder / "predictions" / f"{split}.npz", _REMEDY))
    return task.probabilities(outputs["tuned"], {})


def _read_table(file: Path, count: int) -> list[dict[str, str]]:
    """The rows of the run's own table of predictions.

    Raises:
        RecipeError: it is missing or damaged.
    """
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            table = list(csv.DictReader(lines))
    except (OSError, ValueError, csv.Error):
        table = []
    if len(table) != count or not {"reference", "tuned", ERROR} <= table[0].keys():
        raise RecipeError(f"'{file}' is missing or damaged: {_REMEDY}")
    return table


def _origins(rows: Rows, split: str) -> Columns:
    """Where each row of a split is in the source."""
    from datasets import Value

    origin = rows.origins[split]
    return {
        "source_split": (Value("string"), [origin.split] * len(origin.numbers)),
        "source_row": (Value("int64"), origin.numbers.tolist()),
    }


def _write(file: Path, task: Task, inputs: Dataset, columns: Columns) -> list[str]:
    """Write a Parquet file of inputs and other columns, a part at a time; the names of its columns."""
    import pyarrow
    from datasets import Audio as AudioColumn
    from datasets import Features
    from datasets import Image as ImageColumn
    from pyarrow.parquet import ParquetWriter

    kinds = {Image: ImageColumn(), Audio: AudioColumn()}
    types = dict(inputs.features)
    in_files = [role for role in types if isinstance(task.inputs[role], Image | Audio)]
    for role in in_files:
        types[role] = next(kind for feature, kind in kinds.items() if isinstance(task.inputs[role], feature))
        inputs = inputs.cast_column(role, type(types[role])(decode=False))
    types |= {name: feature for name, (feature, _) in columns.items()}
    schema = Features(types).arrow_schema
    size = _BATCH_OF_FILES if in_files else _BATCH
    with ParquetWriter(file, schema=schema) as writer:
        for start in range(0, len(next(iter(columns.values()))[1]), size):
            part = slice(start, start + size)
            batch = dict(inputs[part]) if inputs.column_names else {}
            batch |= {role: list(map(_embedded, batch[role])) for role in in_files}
            batch |= {name: values[part] for name, (_, values) in columns.items()}
            writer.write_table(pyarrow.Table.from_pydict(batch, schema=schema))
    return list(types)


def _embedded(cell: Any) -> dict[str, Any]:
    """An image or a recording with the content of its file in place of the path."""
    where = location(cell)
    return {"bytes": where if isinstance(where, bytes) else Path(where).read_bytes(), "path": None}
