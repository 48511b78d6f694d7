"""What ships: the tuned model exported and made smaller, each variant held to the recipe's promise on the test rows."""

import shutil
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from hftransfer.core import plugins
from hftransfer.core.results import ExportFacts, RuntimeFacts, SearchTrial
from hftransfer.evaluation.scoring import gate
from hftransfer.exporters import SCHEMES, Exporter, ExportOptions, Inputs
from hftransfer.recipe.schema import Export
from hftransfer.runner import export_search
from hftransfer.runner.plan import gate_reference
from hftransfer.runner.stages import RunContext, measure, weights_size
from hftransfer.tasks import Outputs

# Rows of which the record tells that their outputs differ most.
_FARTHEST = 5


@dataclass(frozen=True)
class Exported:
    """The tuned model, and what was made of it."""

    pytorch: RuntimeFacts
    exports: dict[str, ExportFacts]
    tried: dict[str, SearchTrial]


def export_variants(context: RunContext) -> Exported:
    """Export the tuned model, score each variant on the test rows, and hold it to the recipe's promise."""
    plan, run_folder = context.plan, context.run_folder
    model = context.tuned_model()
    if plan.recipe.export is not None:
        # The exported variants answer on the CPU: so does the one that stands beside them.
        model = model.cpu()
    pytorch = measure(context, "tuned", lambda: model, weights_size(run_folder.folder / "model"))
    if plan.recipe.export is None:
        return Exported(pytorch, {}, {})
    export = plan.recipe.export
    exporter = plugins.load("exporters", export.format)()
    first = exporter.name
    with run_folder.timed("export"):
        folder = run_folder.directory(
            first, lambda place: exporter.export(plan.task, model, plan.origin.processor, place)
        )
    options = ExportOptions(
        optimize=export.optimize or "O2",
        target=export.target,
        operators=export.operators,
        rows=cache(partial(_rows, context, export.calibration)),
    )
    schemes, tried = _chosen(context, export, export_search.Search(context, exporter, folder, options))

    def make(scheme: str, place: Path) -> None:
        """As the search has made it, or made now."""
        if (made := run_folder.work_folder / "tried" / scheme).is_dir():
            shutil.copytree(made, place, dirs_exist_ok=True)
        else:
            exporter.make(scheme, folder, place, options, frozenset())

    for scheme in schemes:
        with run_folder.timed("quantize"):
            run_folder.directory(f"{first}-{scheme}", partial(make, scheme))
    exports = {name: _measure(context, exporter, name) for name in (first, *(f"{first}-{it}" for it in schemes))}
    for name, facts in exports.items():
        if facts.rejected and run_folder.state.is_main_process:
            shutil.rmtree(run_folder.folder / name, ignore_errors=True)
    return Exported(pytorch, exports, tried)


def _chosen(
    context: RunContext, export: Export, search: export_search.Search
) -> tuple[list[str], dict[str, SearchTrial]]:
    """The schemes that ship beside the export as it is, and what was tried to find them."""
    schemes = ["optimized"] if export.optimize else []
    if export.quantization == "auto":
        with context.run_folder.timed("search"):
            best, tried = search.run()
        return schemes + ([best] if best and best not in schemes else []), tried
    return schemes + ([SCHEMES[export.quantization]] if export.quantization != "none" else []), {}


def _rows(context: RunContext, count: int) -> list[Inputs]:
    """Training rows from all over the split, which may be sorted by class, a batch of one each."""
    rows = context.encoded.splits["train"]
    places = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int).tolist()
    batches = (context.encoded.collate([rows[row]]) for row in places)
    return [{name: it.numpy() for name, it in batch.items() if hasattr(it, "numpy")} for batch in batches]


def _measure(context: RunContext, exporter: Exporter, variant: str) -> ExportFacts:
    """Score and time an exported variant, and set it beside the tuned model."""
    plan, folder = context.plan, context.run_folder.folder / variant
    model, files = exporter.load(plan.task, folder), exporter.files(folder)
    with context.run_folder.timed(f"score {variant}"):
        made = context.run_folder.arrays(
            f"{variant}/outputs", lambda: context.predict(model, context.encoded, variant, ("test",))
        )
    context.add_outputs(variant, made)
    mine, theirs = context.outputs["test"]["tuned"], context.outputs["test"][variant]
    references = plan.task.references(plan.rows.splits["test"])
    drop, _ = export_search.drop(plan, context.outputs["test"][gate_reference(plan.recipe)], theirs, references)
    same = plan.task.same(plan.task.postprocess(mine), plan.task.postprocess(theirs), references)
    apart = _max_abs_diff(mine, theirs)
    assert plan.recipe.export is not None
    return ExportFacts(
        **measure(context, variant, lambda: model, sum((folder / name).stat().st_size for name in files)).model_dump(),
        max_abs_diff=float(apart.max()),
        agreement=float(same.mean()),
        loader=type(model).__name__,
        files=files,
        drop=drop,
        largest_differences=[
            (row, float(apart[row])) for row in np.argsort(-apart, kind="stable")[:_FARTHEST].tolist()
        ],
        rejected=gate(export_search.gate_metric(plan), drop, plan.recipe.export.max_drop),
    )


def _max_abs_diff(mine: Outputs, theirs: Outputs) -> np.ndarray:
    """For each row the largest difference of its decimal outputs; token ids have none."""
    decimal = [name for name, array in mine.items() if array.dtype.kind == "f"]
    # NaN is what fills up rows of different lengths, in both alike.
    both = {name: np.isnan(mine[name]) & np.isnan(theirs[name]) for name in decimal}
    gaps = [np.where(both[n], 0, np.abs(mine[n] - theirs[n])).reshape(len(mine[n]), -1) for n in decimal]
    return np.asarray(np.concatenate(gaps, axis=1).max(axis=1))
