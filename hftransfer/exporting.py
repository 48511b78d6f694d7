"""What ships: the tuned model exported and quantized, each variant scored on the test rows and held to `max_drop`."""

import shutil
from typing import Any

import numpy as np

from hftransfer import plugins
from hftransfer.evaluation import gate, load_metric, runtime
from hftransfer.exporters import Exporter
from hftransfer.metrics import LOWER_IS_BETTER
from hftransfer.planning import exported
from hftransfer.results import ExportFacts, RuntimeFacts
from hftransfer.stages import Job
from hftransfer.tasks import Outputs


def ship(job: Job) -> tuple[RuntimeFacts, dict[str, ExportFacts]]:
    """Export the tuned model, score each variant on the test rows, and hold it to the recipe's `max_drop`."""
    plan, workspace = job.plan, job.workspace
    model = job.shipped()
    size = sum(file.stat().st_size for file in (workspace.folder / "model").glob("*.safetensors"))
    pytorch = _runtime(job, "tuned", model, size)
    if plan.recipe.export is None:
        return pytorch, {}
    exporter = plugins.load("exporters", plan.recipe.export.format)()
    first, *quantized = exported(plan.recipe)
    with workspace.timed("export"):
        folder = workspace.directory(
            first, lambda place: exporter.export(plan.task, model.cpu(), plan.origin.processor, place)
        )
        scheme = plan.recipe.export.quantization
        for variant in quantized:
            workspace.directory(variant, lambda place: exporter.quantize(folder, place, scheme))
    exports = {variant: _measure(job, exporter, variant) for variant in (first, *quantized)}
    for variant, facts in exports.items():
        if facts.rejected and workspace.state.is_main_process:
            shutil.rmtree(workspace.folder / variant)
    return pytorch, exports


def _measure(job: Job, exporter: Exporter, variant: str) -> ExportFacts:
    """Score and time an exported variant, and set it beside the tuned model."""
    plan, folder = job.plan, job.workspace.folder / variant
    model, files = exporter.load(plan.task, folder), exporter.files(folder)
    with job.workspace.timed(f"score {variant}"):
        made = job.workspace.arrays(f"{variant}/outputs", lambda: job.predict(model, job.encoded, variant, ("test",)))
    job.note(variant, made)
    mine, theirs = job.outputs["test"]["tuned"], job.outputs["test"][variant]
    headline = plan.metrics[0]
    metric = load_metric(headline, plan.task.metric_config())
    references = plan.task.references(plan.rows.splits["test"])
    before, after = (metric(plan.task.decide(outputs), references)[headline] for outputs in (mine, theirs))
    same = plan.task.same(plan.task.decide(mine), plan.task.decide(theirs), references)
    assert plan.recipe.export is not None
    return ExportFacts(
        **_runtime(job, variant, model, sum((folder / name).stat().st_size for name in files)).model_dump(),
        max_abs_diff=_largest_difference(mine, theirs),
        agreement=float(same.mean()),
        loader=type(model).__name__,
        files=files,
        rejected=gate(before, after, plan.recipe.export.max_drop, headline in LOWER_IS_BETTER),
    )


def _largest_difference(mine: Outputs, theirs: Outputs) -> float:
    """Of the decimal outputs; token ids have none."""
    decimal = [name for name, array in mine.items() if array.dtype.kind == "f"]
    return float(max(np.nanmax(np.abs(mine[name] - theirs[name])) for name in decimal))


def _runtime(job: Job, variant: str, model: Any, size: int) -> RuntimeFacts:
    made = job.workspace.record(
        f"{variant}/runtime", lambda: runtime(job.plan.task, model, job.encoded, size, variant).model_dump()
    )
    return RuntimeFacts.model_validate(made)
