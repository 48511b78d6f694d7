"""Rows worth labelling next: those of which a probe is unsure, and which differ from each other.

Zhdanov 2019, https://arxiv.org/abs/1901.05954: k-means on the frozen features of all rows without labels, each weighted
by how near its two likeliest classes are; of each cluster the row next to its centre. Without the weights, rows like
those already labelled would be chosen; without the clusters, near copies of one difficult row.
"""

from __future__ import annotations

import csv
import io
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.auditing.kept_features import KeptFeatures, one_pooling
from hftransfer.auditing.neighbours import unit_length
from hftransfer.core.console import silence_transformers
from hftransfer.core.errors import DataError, RecipeError
from hftransfer.core.files import write_text
from hftransfer.core.plugins import Record
from hftransfer.models.checkpoint import find_checkpoint, resolve_checkpoint
from hftransfer.models.probe import standardized_probe
from hftransfer.recipe.schema import Recipe
from hftransfer.reporting.tables import escape_cell
from hftransfer.runner.rows import read_rows
from hftransfer.training.arguments import uses_cpu

if TYPE_CHECKING:
    from datasets import Dataset

    from hftransfer.data.load import Rows

# Inverse strength of the penalty.
_STRENGTH = 10.0
# Clusterings from other centres, the best of which is taken.
_STARTS = 3
REST = "rest"
"""The training rows that `data.shots` leaves out."""


class NextRow(Record):
    """A row without a label."""

    split: str
    row: int
    """Its number in the split."""
    predicted: str
    """The likeliest class."""
    margin: float
    """Its probability less that of the second one: near 0 where the probe is unsure."""
    inputs: dict[str, str]
    """Role -> its text, or the path of its file."""


def next_rows(recipe: Recipe, unlabelled: str | None, count: int) -> list[NextRow]:
    """The rows to label next, the most uncertain first.

    Args:
        recipe: whose training rows have labels.
        unlabelled: the split of the source without labels, or `rest`; None: what `data.unlabelled` says, else `rest`.
        count: how many.

    Raises:
        RecipeError: the recipe has no such rows or no pretrained checkpoint, or its rows have not one class each.
        DataError: there are no more rows than asked for.
    """
    silence_transformers()
    rows = _read(recipe, unlabelled)
    train, pool = rows.splits["train"], rows.splits["unlabelled"]
    if count >= len(pool):
        raise DataError(
            f"--next: {count} of {len(pool)} rows without labels are asked for: ask for fewer, or label all"
        )
    model = recipe.model
    if model.id is None:
        raise RecipeError("--next: rows are told apart by a pretrained checkpoint, and the recipe has none (model.id)")
    start = find_checkpoint(model.id, model.revision, model.trust_remote_code)
    origin = resolve_checkpoint(rows.task, train, start, model.config, model.processor)
    task = rows.task.with_processor(origin.processor, origin.config)
    kept = KeptFeatures(task, origin, model.model_dump())
    labelled, others = (_features(kept, rows, split, recipe) for split in ("train", "unlabelled"))
    classes = task.references(train)
    if len(np.unique(classes)) < 2:
        raise DataError("--next: the training rows have one class alone; label a row of another first")
    margins, likeliest = margins_of(labelled, classes, others)
    chosen = choose(labelled, others, 1 - margins, count, recipe.seed)
    origins = rows.origins["unlabelled"]
    return [
        NextRow(
            split=origins.split,
            row=int(origins.numbers[place]),
            predicted=task.describe(likeliest[place]),
            margin=float(margins[place]),
            inputs=inputs,
        )
        for place, inputs in zip(chosen, _inputs(pool.select(chosen)), strict=True)
    ]


def _read(recipe: Recipe, unlabelled: str | None) -> Rows:
    """The rows of the recipe, those without labels among them."""
    split = unlabelled or recipe.data.unlabelled or REST
    if split == REST and recipe.data.shots is None:
        raise RecipeError(
            "--next: no rows without labels: --unlabelled names their split of the source, or data.shots leaves some "
            "training rows out"
        )
    data = recipe.data.model_copy(
        update={"source": recipe.data.source.pin_revision(), "unlabelled": split, "sampling": "natural"}
    )
    rows = read_rows(recipe.task, data, recipe.seed)
    if rows.task.row_target != "class":
        raise RecipeError(f"--next: it is for rows of one class each, and those of '{rows.task.name}' here are not")
    return rows


def _features(kept: KeptFeatures, rows: Rows, split: str, recipe: Recipe) -> np.ndarray:
    """The frozen features of a split by the pooling that the checkpoint names, else the mean."""
    from accelerate import PartialState

    device = PartialState(cpu=uses_cpu(recipe.training)).device
    with tempfile.TemporaryDirectory() as folder:
        contents = rows.origins[split].contents
        features = kept.of(rows.splits[split], contents, Path(folder), recipe.evaluation.batch_size, device)
    return one_pooling(features)


def margins_of(labelled: np.ndarray, classes: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each row without a label how much likelier its likeliest class is than the second, and this class.

    Args:
        labelled: features of the rows with labels, shape (rows, size).
        classes: their classes, shape (rows,).
        others: features of the rows without, shape (others, size).
    """
    probe = standardized_probe(_STRENGTH).fit(labelled, classes)
    probabilities = probe.predict_proba(others)
    second, first = np.sort(probabilities, axis=1)[:, -2:].T
    return first - second, probe.classes_[probabilities.argmax(axis=1)]


def choose(labelled: np.ndarray, others: np.ndarray, weights: np.ndarray, count: int, seed: int) -> list[int]:
    """The rows next to the centres of weighted clusters, the largest weight first.

    Args:
        labelled: features of the rows with labels, shape (rows, size).
        others: features of the rows without, shape (others, size).
        weights: how uncertain each of these is, shape (others,).
        count: of the clusters.
        seed: of their first centres.
    """
    from sklearn.cluster import KMeans

    mean = np.concatenate([labelled, others]).mean(axis=0)
    points = unit_length(others - mean)
    clusters = KMeans(count, n_init=_STARTS, random_state=seed).fit(points, sample_weight=weights + 1e-6)
    distances = clusters.transform(points)
    chosen: list[int] = []
    for centre in range(count):
        nearest = np.argsort(distances[:, centre], kind="stable")
        chosen.append(next(int(place) for place in nearest if place not in chosen))
    return sorted(chosen, key=lambda place: -weights[place])


def _inputs(rows: Dataset) -> list[dict[str, str]]:
    """What a table can show of each row: its texts, and the paths of its files."""
    from datasets import Audio, Image

    for role, feature in rows.features.items():
        if isinstance(feature, Image | Audio):
            rows = rows.cast_column(role, replace(feature, decode=False))
    return [{role: _shown(value) for role, value in row.items()} for row in rows]


def _shown(value: Any) -> str:
    if isinstance(value, dict) and "path" in value:
        return value["path"] or ""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def write_csv(rows: list[NextRow], file: Path) -> None:
    """Write the rows as a table with an empty column for their labels."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["split", "row", "predicted", "margin", *rows[0].inputs, "label"])
    for row in rows:
        shown = map(escape_cell, [row.predicted, f"{row.margin:.3f}", *row.inputs.values()])
        writer.writerow([row.split, row.row, *shown, ""])
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, text.getvalue())
