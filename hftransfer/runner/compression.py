"""The models between the steps of `compress`: what each step costs, and what it gains."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from hftransfer.core.results import RuntimeFacts
from hftransfer.models.checkpoint import Checkpoint
from hftransfer.models.weights import load_saved
from hftransfer.runner.plan import compression_variants
from hftransfer.runner.stages import RunContext, measure, weights_size


def score_steps(context: RunContext) -> dict[str, RuntimeFacts]:
    """Outputs, size and speed of the tuned model and of those behind it, but for the last, which ships."""
    start = len(context.plan.recipe.strategy.steps())
    found = {}
    for number, variant in enumerate(compression_variants(context.plan.recipe)):
        folder = context.run_folder.work_folder / f"tuned-{start + number}" / "model"
        model = cache(partial(_model, context, folder))
        with context.run_folder.timed(f"score {variant}"):
            outputs = context.run_folder.arrays(f"{variant}/outputs", partial(_outputs, context, variant, model))
            found[variant] = measure(context, variant, model, weights_size(folder))
        context.add_outputs(variant, outputs)
    return found


def _model(context: RunContext, folder: Path) -> Any:
    model = load_saved(context.plan.task, Checkpoint(str(folder)))
    context.plan.task.finish(model)
    return model.to(context.run_folder.state.device)


def _outputs(context: RunContext, variant: str, model: Callable[[], Any]) -> dict[str, np.ndarray]:
    return context.predict(model(), context.encoded, variant, context.scored)
