"""The models between the steps of `compress`: what each step costs, and what it gains."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hftransfer.evaluation import runtime
from hftransfer.modeling import Checkpoint
from hftransfer.planning import links
from hftransfer.results import RuntimeFacts
from hftransfer.stages import Job
from hftransfer.weights import reload


def between(job: Job) -> dict[str, RuntimeFacts]:
    """Outputs, size and speed of the tuned model and of those behind it, but for the last, which ships."""
    start = len(job.plan.recipe.strategy.steps())
    found = {}
    for number, variant in enumerate(links(job.plan.recipe)):
        folder = job.workspace.kept / f"tuned-{start + number}" / "model"
        with job.workspace.timed(f"score {variant}"):
            outputs = job.workspace.arrays(f"{variant}/outputs", partial(_outputs, job, variant, folder))
            facts = job.workspace.record(f"{variant}/runtime", partial(_facts, job, variant, folder))
        job.note(variant, outputs)
        found[variant] = RuntimeFacts.model_validate(facts)
    return found


def _model(job: Job, folder: Path) -> Any:
    model = reload(job.plan.task, Checkpoint(str(folder)))
    job.plan.task.finish(model)
    return model.to(job.workspace.state.device)


def _outputs(job: Job, variant: str, folder: Path) -> dict[str, np.ndarray]:
    return job.predict(_model(job, folder), job.encoded, variant, job.scored)


def _facts(job: Job, variant: str, folder: Path) -> dict[str, Any]:
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return runtime(job.plan.task, _model(job, folder), job.encoded, size, variant).model_dump()
