"""The models between the steps of `compress`: what each step costs, and what it gains."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from hftransfer.core.results import RuntimeFacts
from hftransfer.models.checkpoint import Checkpoint
from hftransfer.models.weights import reload
from hftransfer.runner.plan import links
from hftransfer.runner.stages import Job, measured, weights_size


def between(job: Job) -> dict[str, RuntimeFacts]:
    """Outputs, size and speed of the tuned model and of those behind it, but for the last, which ships."""
    start = len(job.plan.recipe.strategy.steps())
    found = {}
    for number, variant in enumerate(links(job.plan.recipe)):
        folder = job.workspace.kept / f"tuned-{start + number}" / "model"
        model = cache(partial(_model, job, folder))
        with job.workspace.timed(f"score {variant}"):
            outputs = job.workspace.arrays(f"{variant}/outputs", partial(_outputs, job, variant, model))
            found[variant] = measured(job, variant, model, weights_size(folder))
        job.note(variant, outputs)
    return found


def _model(job: Job, folder: Path) -> Any:
    model = reload(job.plan.task, Checkpoint(str(folder)))
    job.plan.task.finish(model)
    return model.to(job.workspace.state.device)


def _outputs(job: Job, variant: str, model: Callable[[], Any]) -> dict[str, np.ndarray]:
    return job.predict(model(), job.encoded, variant, job.scored)
