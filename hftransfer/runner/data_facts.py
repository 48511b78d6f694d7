"""What a finished run records of its rows: how much of them the model reads, and whether the rest would help."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hftransfer.core.arrow import release
from hftransfer.core.data_facts import DataFacts, ErrorCounts, InputFact, Spread, TokenBaseline
from hftransfer.evaluation.token_baseline import token_baseline
from hftransfer.models.reading import read_pretrained
from hftransfer.runner.context import RunContext
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset

# Rows of a split that are looked at, spread over all of it.
_SAMPLED = 500
# Texts of which more than this share is cut have lost much.
_MUCH = 0.5
# Where fewer texts have lost much, no more is asked.
_SOME = 1 / 3

_Facts = dict[InputFact, np.ndarray]


def data_facts(context: RunContext) -> DataFacts:
    """The facts of the plan with what the model reads of each split."""
    plan = context.plan
    places = {split: _places(rows) for split, rows in plan.rows.labelled.items()}
    facts = {split: _facts(plan.task, plan.rows.splits[split].select(it)) for split, it in places.items()}
    return plan.rows.facts.model_copy(
        update={
            "inputs": {split: _spreads(found) for split, found in facts.items()},
            "checkpoint_side": _checkpoint_side(context) if "side" in facts["train"] else None,
            "errors": _errors(context, facts["test"], places["test"]),
            "token_baseline": _token_baseline(context, facts["train"], places["train"]),
        }
    )


def _facts(task: Task, rows: Dataset) -> _Facts:
    facts = task.input_facts(rows)
    release(rows)
    return facts


def _places(rows: Dataset) -> np.ndarray:
    """Row numbers of a sample, in their order."""
    return np.unique(np.linspace(0, len(rows) - 1, min(_SAMPLED, len(rows))).round().astype(int))


def _spreads(facts: _Facts) -> dict[InputFact, Spread]:
    spreads: dict[InputFact, Spread] = {}
    for name, values in facts.items():
        present = np.asarray(values, dtype=float)
        present = present[~np.isnan(present)]
        if len(present):
            deciles = np.percentile(present, range(0, 101, 10)).round(4).tolist()
            spreads[name] = Spread(rows=len(present), mean=float(present.mean()), deciles=deciles)
    return spreads


def _checkpoint_side(context: RunContext) -> int | None:
    """The side in the config of the weights, before `task.image_size` or a new config changed it."""
    import transformers

    weights = context.plan.origin.weights
    side = getattr(read_pretrained(transformers.AutoConfig, weights), "image_size", None) if weights else None
    return min(side) if isinstance(side, list | tuple) else side


def _errors(context: RunContext, facts: _Facts, places: np.ndarray) -> dict[InputFact, ErrorCounts]:
    """Where each row has one class: how often the tuned model is wrong on rows that lack much, and on the others."""
    if not context.plan.task.single_label:
        return {}
    wrong = (context.answers("test", "tuned").predictions != context.references("test"))[places]
    lacking: dict[InputFact, np.ndarray] = {}
    if "truncated" in facts:
        lacking["truncated"] = facts["truncated"] > _MUCH
    if "rate" in facts:
        lacking["rate"] = facts["rate"] < 1
    return {
        name: ErrorCounts(
            rows=int(rows.sum()),
            wrong=int(wrong[rows].sum()),
            other_rows=int((~rows).sum()),
            other_wrong=int(wrong[~rows].sum()),
        )
        for name, rows in lacking.items()
    }


def _token_baseline(context: RunContext, facts: _Facts, places: np.ndarray) -> TokenBaseline | None:
    """Whether the words that are cut would help, where many texts lose more than half of them."""
    plan = context.plan
    if not plan.task.single_label or np.mean(facts.get("truncated", np.zeros(1)) > _MUCH) <= _SOME:
        return None
    rows = plan.rows.splits["train"].select(places)
    counted = plan.task.token_counts(rows)
    return token_baseline(*counted, plan.task.references(rows), plan.recipe.seed) if counted else None
