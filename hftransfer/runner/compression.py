"""The models between the steps of `compress`: what each step costs, and what it gains."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.core.results import RuntimeFacts
from hftransfer.models.checkpoint import Checkpoint
from hftransfer.models.weights import load_saved
from hftransfer.runner.context import RunContext
from hftransfer.runner.fitting import fit_outputs, recall_fitted
from hftransfer.runner.specs import compression_variants
from hftransfer.runner.stages import measure, weights_size

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def score_steps(context: RunContext) -> dict[str, RuntimeFacts]:
    """Outputs, size and speed of the tuned model and of each step's model but for the last, which ships."""
    start = len(context.plan.recipe.strategy.steps())
    facts = {}
    for number, variant in enumerate(compression_variants(context.plan.recipe)):
        folder = context.run_folder.work_folder / f"tuned-{start + number}" / "model"
        load = cache(partial(_load, context, folder))
        with context.run_folder.timed(f"score {variant}"):
            flat = context.run_folder.arrays(
                f"{variant}/outputs",
                lambda load=load, variant=variant: context.predict(  # type: ignore[misc]
                    load(), context.encoded, variant, context.scored_splits
                ),
            )
            fit_outputs(context, variant, flat, load)
            facts[variant] = measure(context, variant, load, weights_size(folder))
        recall_fitted(context, variant)
        context.add_outputs(variant, flat)
    return facts


def _load(context: RunContext, folder: Path) -> PreTrainedModel:
    model = load_saved(context.plan.task, Checkpoint(str(folder)))
    context.plan.task.finalize(model)
    return model.to(context.run_folder.state.device)
