"""The out-of-domain score: how far a row is from the training rows, by the features of the tuned model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hftransfer.core import ranks
from hftransfer.core.files import save_arrays
from hftransfer.core.results import OutOfDomain, Score
from hftransfer.data.encode import EncodedSplits, Example, encode, without_side
from hftransfer.evaluation.out_of_domain import neighbour_distances, share_nearer
from hftransfer.evaluation.scoring import Answers, Scorer
from hftransfer.metrics import load_metric
from hftransfer.models.frozen_features import features_of, frozen_features
from hftransfer.runner.context import RunContext
from hftransfer.runner.finished import read_arrays
from hftransfer.tasks import Task

FEATURES = "features.npz"
"""The file, in the run's folder, of training rows' features and validation rows' distances."""

# Training rows whose features are kept, a random sample of them.
_TRAINING_ROWS = 10_000
_POOLING = "mean"
_SPLIT = "out_of_domain"


def score_out_of_domain(context: RunContext) -> OutOfDomain | None:
    """Keep the features of training rows, and score the classes that were left out; None where it is not asked for."""
    plan = context.plan
    asked, left_out = plan.recipe.evaluation.out_of_domain, plan.rows.left_out
    if not asked:
        return None
    with context.run_folder.timed("score out of domain"):
        arrays = context.run_folder.arrays("out_of_domain", partial(_features_and_distances, context), alone=True)
    if ranks.is_main():
        kept = {"train": arrays["train"], "validation": arrays["validation"]}
        save_arrays(context.run_folder.folder / FEATURES, kept)
    if left_out is None or asked is True:
        return OutOfDomain(classes=[], rows=0)
    auroc = ranks.from_main(lambda: _auroc(context, arrays["test"], arrays[_SPLIT]))
    return OutOfDomain(classes=list(asked), rows=len(left_out), auroc=auroc)


def _features_and_distances(context: RunContext) -> dict[str, np.ndarray]:
    """Features of training rows, shape (rows, size), and the distances of the other splits' rows, shape (rows,)."""
    plan, model = context.plan, context.tuned_model()
    train, size = context.encoded.splits["train"], plan.recipe.evaluation.batch_size
    splits = {name: context.encoded.splits[name] for name in ("validation", "test")}
    if len(train) > _TRAINING_ROWS:
        chosen = np.random.default_rng(plan.recipe.seed).choice(len(train), _TRAINING_ROWS, replace=False)
        train = train.select(np.sort(chosen))
    if plan.rows.left_out is not None:
        folder = context.run_folder.work_folder / _SPLIT
        splits |= encode(plan.task, {_SPLIT: plan.rows.left_out}, folder).splits
    encoded = EncodedSplits({"train": train, **splits}, context.encoded.collate)
    features = {name: frozen_features(plan.task, model, encoded, name, size)[_POOLING] for name in encoded.splits}
    # Rows of rare classes may be there several times, and would be their own neighbours.
    known = np.unique(features.pop("train").astype(np.float16), axis=0)
    return {"train": known} | {name: neighbour_distances(known, rows) for name, rows in features.items()}


def _auroc(context: RunContext, test: np.ndarray, left_out: np.ndarray) -> Score:
    """How often a row of the classes left out is farther away than a test row."""
    evaluation, seed = context.plan.recipe.evaluation, context.plan.recipe.seed
    scorer = Scorer([load_metric("roc_auc")], evaluation.confidence, evaluation.resamples, seed)
    scores = np.concatenate([test, left_out])[:, None]
    flags = np.repeat([0, 1], [len(test), len(left_out)])[:, None]
    values = scorer.resample({"tuned": Answers(flags, scores)}, flags)["tuned"]["roc_auc"]
    return scorer.interval(values, len(flags))


def out_of_domain_scorer(folder: Path, task: Task, model: Any) -> Callable[[list[Example]], dict[str, float]]:
    """What gives a row's `out_of_domain`, the share of validation rows nearer to the training rows; no entry without
    the features of a run.
    """
    if not (folder / FEATURES).is_file():
        return lambda _examples: {}
    arrays = read_arrays(folder / FEATURES, "delete it, and answers have no `out_of_domain`, or run again")
    known, validation = arrays["train"], arrays["validation"]

    def score(examples: list[Example]) -> dict[str, float]:
        features = features_of(task, model, examples, lambda it: task.collate(without_side(it)))
        distance = neighbour_distances(known, features[_POOLING])
        return {"out_of_domain": float(share_nearer(distance, validation)[0])}

    return score
