"""What a checkpoint gives of the rows of a ranking: features and all measures that follow, computed once and cached."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.choosing.candidates import Candidate
from hftransfer.choosing.transferability import h_score, in_span, label_columns, log_me, on_halves
from hftransfer.core import machine
from hftransfer.core.errors import DataError, RecipeError
from hftransfer.core.files import Arrays, arrays_once, hash_of, is_whole
from hftransfer.data.encode import encode
from hftransfer.data.stratified import sample
from hftransfer.evaluation.metric import check_metrics
from hftransfer.models.checkpoint import ConfigFields, find_checkpoint, resolve_checkpoint
from hftransfer.models.frozen_features import baseline_features, frozen_features, named_pooling
from hftransfer.models.layers import parameters
from hftransfer.models.probe import out_of_fold, rank_poolings
from hftransfer.models.weights import load_model
from hftransfer.recipe.schema import Recipe
from hftransfer.runner.resuming import content_of
from hftransfer.runner.rows import read_rows
from hftransfer.tasks import RowTarget, Task

if TYPE_CHECKING:
    from datasets import Dataset

# To be raised where the measures of a cached file would be others.
_VERSION = 1
HALVES = 50
"""Random halves of the rows, for the standard errors of LogME and H-score."""
_LEAST_ROWS = 10
_SPLIT = "sample"


@dataclass(frozen=True)
class RankingRows:
    """The rows that all checkpoints are compared on: training rows of a recipe, the same for all."""

    task: Task
    target: RowTarget
    rows: Dataset
    train: Dataset
    """All training rows, which a tokenizer may be fitted to."""
    references: np.ndarray
    validation: np.ndarray
    """The references of the validation rows, by which fine-tuned models are compared."""
    headline: str
    """The metric."""
    key: str
    """Equal for equal rows and an equal reading of them."""
    seed: int


def ranking_rows(recipe: Recipe, count: int) -> RankingRows:
    """At most `count` training rows of a recipe, every class in proportion; validation and test rows are left alone.

    Raises:
        RecipeError: the rows of the task have no class, classes or number each.
        DataError: they are too few for cross-validation.
    """
    check_metrics(recipe.evaluation.metrics)
    # Copies of a row would be on both sides of a fold.
    data = recipe.data.model_copy(update={"sampling": "natural"})
    read = read_rows(recipe.task, data, recipe.seed, recipe.evaluation.left_out, decode=False)
    task, train = read.task, read.splits["train"]
    if task.row_target is None:
        raise RecipeError(
            f"task.name: rank is for tasks whose rows have classes or a number each, and those of '{task.name}' do not"
        )
    if len(train) < _LEAST_ROWS:
        raise DataError(f"data: rank needs at least {_LEAST_ROWS} training rows for cross-validation, got {len(train)}")
    rows = train
    if count < len(train):
        rows = train.select(sorted(sample(len(train), count, _strata(task, train, count), recipe.seed)))
    settings = [read.facts.fingerprint, count, recipe.seed, task.model_dump(mode="json"), _VERSION]
    headline = (recipe.evaluation.metrics or list(task.default_metrics()))[0]
    return RankingRows(
        task=task,
        target=task.row_target,
        rows=rows,
        train=train,
        references=task.references(rows),
        validation=task.references(read.splits["validation"]),
        headline=headline,
        key=hash_of(*settings),
        seed=recipe.seed,
    )


def _strata(task: Task, rows: Dataset, count: int) -> list[Any] | None:
    """The class of each row, where a sample can be stratified: no class has a single row, nor are there too many."""
    classes = task.strata(rows)
    if classes is None:
        return None
    _, sizes = np.unique(np.asarray(classes), return_counts=True)
    return classes if sizes.min() > 1 and len(sizes) <= min(count, len(rows) - count) else None


@dataclass(frozen=True)
class Extraction:
    """How the features of one candidate are computed."""

    rows: RankingRows
    candidate: Candidate
    config: ConfigFields | None
    """Fields of the recipe's `model.config`, for its own checkpoint alone."""
    processor: str | None
    batch_size: int
    on_cpu: bool
    folder: Path
    """Of the cached files."""

    @cached_property
    def _key(self) -> str:
        processor = content_of(find_checkpoint(self.processor)) if self.processor else None
        facts = (self.rows.key, self.candidate.content, self.config, self.processor, processor)
        return hash_of(*facts, machine.versions()["transformers"])[:32]

    @property
    def is_cached(self) -> bool:
        """Whether the measures are there already."""
        return is_whole(self._file("measures"))

    def _file(self, what: str) -> Path:
        return self.folder / f"{self._key}-{what}.npz"

    def check(self) -> None:
        """Find what is wrong with the checkpoint without reading its weights.

        Raises:
            ModelError: the checkpoint does not serve the task.
        """
        _ = self._resolved

    def measures(self) -> Arrays:
        """The measures of the checkpoint: `probe`, `knn`, `log_me`, `h_score` and facts of the model.

        - `probe`, `knn`: scores of every row by a model that was fitted to the other folds, as `out_of_fold` has them
        - `log_me` and, for classes, `h_score`: the value on all rows, then on halves of them, shape (1 + HALVES,)
        - `pooling`, `milliseconds` a row, `parameters`
        """
        return arrays_once(self._file("measures"), self._measures, alone=True)

    @cached_property
    def _resolved(self) -> Any:
        rows = self.rows
        return resolve_checkpoint(rows.task, rows.train, self.candidate.checkpoint, self.config, self.processor)

    def _features(self) -> Arrays:
        """The frozen features by pooling, with `milliseconds` a row and `parameters`."""
        import torch
        from accelerate import PartialState
        from transformers import set_seed

        origin = self._resolved
        pooling = partial(named_pooling, origin.weights)
        task = self.rows.task.with_processor(origin.processor, origin.config).with_pooling(pooling)
        set_seed(self.rows.seed)
        model: Any = load_model(task, origin).to(PartialState(cpu=self.on_cpu).device)
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            encoded = encode(task, {_SPLIT: self.rows.rows}, Path(place))
            start = time.perf_counter()
            features = frozen_features(task, model, encoded, _SPLIT, self.batch_size)
            seconds = time.perf_counter() - start
        if not all(np.isfinite(array).all() for array in features.values()):
            # Weights of half precision may overflow; such features say nothing.
            features = {name: np.nan_to_num(array, posinf=0, neginf=0) for name, array in features.items()}
        facts = {"milliseconds": 1000 * seconds / len(self.rows.rows), "parameters": parameters(model)[0]}
        del model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return features | {name: np.asarray(value) for name, value in facts.items()}

    def _measures(self) -> Arrays:
        rows = self.rows
        found = dict(arrays_once(self._file("features"), self._features, alone=True))
        facts = {name: found.pop(name) for name in ("milliseconds", "parameters")}
        features = baseline_features(found, named_pooling(self.candidate.checkpoint))
        target, references, seed = rows.target, rows.references, rows.seed
        pooling = rank_poolings("probe", target, features, references, seed)[0]
        chosen = in_span(features[pooling])
        measured = {"log_me": on_halves(log_me, chosen, label_columns(target, references), HALVES, seed)}
        if target == "class":
            of_size = partial(h_score, size=features[pooling].shape[1])
            measured["h_score"] = on_halves(of_size, chosen, references, HALVES, seed)
        return {
            "probe": out_of_fold("probe", target, features, references, seed),
            "knn": out_of_fold("knn", target, features, references, seed),
            **measured,
            "pooling": np.asarray(pooling),
            **facts,
        }


def extractions(rows: RankingRows, found: list[Candidate], recipe: Recipe, folder: Path) -> list[Extraction]:
    """How the features of each candidate are computed."""
    own = recipe.model
    shared = Extraction(
        rows, found[0], None, None, recipe.evaluation.batch_size, bool(recipe.training.get("use_cpu")), folder
    )
    return [
        replace(shared, candidate=it, config=own.config, processor=own.processor)
        if it.name == own.id
        else replace(shared, candidate=it)
        for it in found
    ]
