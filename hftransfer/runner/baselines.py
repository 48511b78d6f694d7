"""What a tuned model is compared with, and for which no network is trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.core.files import flatten_outputs
from hftransfer.core.variants import FROZEN_BASELINES, FrozenBaseline
from hftransfer.models.frozen_features import Features, baseline_features, named_pooling
from hftransfer.models.probe import fit_and_score, of_all_classes
from hftransfer.models.weights import load_model
from hftransfer.runner.context import RunContext
from hftransfer.runner.fitting import fit_outputs, recall_fitted

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def score_majority(context: RunContext) -> None:
    """Outputs of the best model that reads no input, where the recipe asks for it."""
    plan = context.plan
    if "majority" not in plan.baselines:
        return
    references = plan.task.references(plan.rows.splits["train"])
    if plan.recipe.data.sampling == "balanced":
        # As the rows are, not as they are repeated.
        counts = plan.rows.facts.classes["train"]
        references = np.repeat(np.arange(len(plan.task.labels)), [counts.get(name, 0) for name in plan.task.labels])
    constant = plan.task.baseline(references)
    for split in context.scored_splits:
        count = len(context.encoded.splits[split])
        repeated = {name: np.stack([row] * count) for name, row in constant.items()}
        context.add_outputs("majority", flatten_outputs({split: repeated}))
    # Its probabilities are those of no model; no threshold is of them.
    context.fitted["majority"] = {}


def _score(context: RunContext, name: str, make: Callable[[], dict[str, np.ndarray]]) -> None:
    """The outputs of a baseline, made once in the life of the run, and what the task fits to them."""
    with context.run_folder.timed(f"score {name}"):
        outputs = context.run_folder.arrays(f"{name}/outputs", make, alone=True)
        fit_outputs(context, name, outputs)
    context.add_outputs(name, outputs)
    recall_fitted(context, name)


def score_own(context: RunContext) -> None:
    """Outputs of the baselines that the task itself has, which read no checkpoint."""
    plan = context.plan
    for name in [name for name in plan.task.own_baselines if name in plan.baselines]:
        _score(context, name, partial(_own_outputs, context, name))


def _own_outputs(context: RunContext, name: str) -> dict[str, np.ndarray]:
    """The flat outputs of one of the task's baselines."""
    plan = context.plan
    return flatten_outputs(plan.task.own_baseline(name, plan.rows.splits, context.encoded.splits, plan.recipe.seed))


def score_frozen(context: RunContext) -> None:
    """Outputs of the baselines on the features of the checkpoint, which reads each row once for all of them."""
    names = [name for name in FROZEN_BASELINES if name in context.plan.baselines]
    for name in names:
        _score(context, name, partial(_frozen_outputs, context, name))


def _frozen_outputs(context: RunContext, name: FrozenBaseline) -> dict[str, np.ndarray]:
    """The flat outputs of one baseline on all splits that are scored."""
    task, references = context.plan.task, context.references("train")
    splits = _features(context)
    train = splits.pop("train")
    if context.plan.recipe.data.sampling == "balanced":
        # Rows that are there several times would stand on both sides of a fold.
        _, kept = np.unique(next(iter(train.values())), axis=0, return_index=True)
        train, references = {pooling: array[kept] for pooling, array in train.items()}, references[kept]
    assert task.row_target is not None
    scores = fit_and_score(name, task.row_target, train, references, splits, context.plan.recipe.seed)
    if task.row_target == "class":
        scores = {split: of_all_classes(array, len(task.labels or ())) for split, array in scores.items()}
    return flatten_outputs({split: {task.output_names[0]: array} for split, array in scores.items()})


def _features(context: RunContext) -> dict[str, Features]:
    """Split -> frozen features of its rows by the checkpoint, by the pooling that it names if it names one."""
    from transformers import set_seed

    @cache
    def load() -> PreTrainedModel:
        set_seed(context.plan.recipe.seed)
        return load_model(context.plan.task, context.plan.origin).to(context.run_folder.state.device)

    splits, named = ("train", *context.scored_splits), named_pooling(context.plan.origin.weights)
    return {split: baseline_features(context.frozen_features("frozen", load, split), named) for split in splits}


def score_pretrained(context: RunContext) -> None:
    """Outputs of the checkpoint before any training, where it has a head that knows the labels."""
    from transformers import set_seed

    plan = context.plan
    if plan.origin.weights is None or not plan.origin.reuses_head:
        return

    def make() -> dict[str, np.ndarray]:
        set_seed(plan.recipe.seed)
        model = load_model(plan.task, plan.origin).to(context.run_folder.state.device)
        if model.new_head:
            return {}
        plan.task.finalize(model)
        return context.predict(model, context.encoded, "pretrained", (*plan.task.fit_splits, "test"))

    with context.run_folder.timed("score pretrained"):
        outputs = context.run_folder.arrays("pretrained/outputs", make)
        fit_outputs(context, "pretrained", outputs)
    context.add_outputs("pretrained", {name: it for name, it in outputs.items() if not name.startswith("train.")})
    recall_fitted(context, "pretrained")
