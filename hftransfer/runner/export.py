"""What ships: the tuned model exported and made smaller, each variant held to `export.max_drop` on the test rows."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from hftransfer.core import plugins, ranks
from hftransfer.core.results import ExportFacts, RuntimeFacts, SearchTrial
from hftransfer.core.variants import Variant
from hftransfer.evaluation.scoring import gate
from hftransfer.exporters import SCHEMES, Exporter, ExportOptions, Inputs, TrainedModel, resolve_through
from hftransfer.recipe.schema import Export
from hftransfer.runner import export_search
from hftransfer.runner.context import RunContext
from hftransfer.runner.export_check import example_batch
from hftransfer.runner.specs import gate_reference
from hftransfer.runner.stages import measure, weights_size
from hftransfer.tasks import Model, Outputs

# Rows that the record names, of those whose outputs differ most.
_LARGEST_DIFFERENCES = 5
_FARTHEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Exported:
    """The tuned model, and what was made of it."""

    pytorch: RuntimeFacts
    exports: dict[str, ExportFacts]
    search: dict[str, SearchTrial]


def export_variants(context: RunContext) -> Exported:
    """Export the tuned model, score each variant on the test rows, and reject those that lose too much."""
    plan, run_folder = context.plan, context.run_folder
    model = context.tuned_model()
    if plan.recipe.export is not None:
        # The exported variants answer on the CPU: so does the model that they are compared with.
        model = model.cpu()
    pytorch = measure(context, "tuned", lambda: model, weights_size(run_folder.folder / "model"))
    if plan.recipe.export is None:
        return Exported(pytorch, {}, {})
    export = plan.recipe.export
    exporter = plugins.load("exporters", export.format)()
    through = resolve_through(export.through, plan.task.model_class(plan.origin.config), plan.origin.config)
    trained = TrainedModel(
        plan.task, model, plan.origin.processor, run_folder.folder / "model", example_batch(plan.task, context.encoded)
    )
    with run_folder.timed("export"):
        folder = run_folder.directory(exporter.name, lambda place: exporter.export(trained, through, place))
    options = ExportOptions(
        optimize=export.optimize or "O2",
        target=export.target,
        operators=export.operators,
        rows=cache(partial(_calibration_rows, context, export.calibration)),
    )
    schemes, trials = _schemes(context, export, export_search.Search(context, exporter, folder, options))

    def make(scheme: str, place: Path) -> None:
        """As the search has made it, or made now."""
        if (tried := run_folder.work_folder / "tried" / scheme).is_dir():
            shutil.copytree(tried, place, dirs_exist_ok=True)
        else:
            exporter.make_variant(scheme, folder, place, options, frozenset())

    variants = [Variant.export(exporter.name, scheme).name for scheme in ["", *schemes]]
    for scheme, variant in zip(schemes, variants[1:], strict=True):
        with run_folder.timed("quantize"):
            run_folder.directory(variant, partial(make, scheme))
    made_by = exporter.made_by(through)
    exports = {name: _compare(context, exporter, export, name, made_by) for name in variants}
    for name, facts in exports.items():
        if facts.rejected and ranks.is_main():
            shutil.rmtree(run_folder.folder / name, ignore_errors=True)
    return Exported(pytorch, exports, trials)


def _schemes(
    context: RunContext, export: Export, search: export_search.Search
) -> tuple[list[str], dict[str, SearchTrial]]:
    """The schemes that ship in addition to the plain export, and the trials of the search for them."""
    schemes = ["optimized"] if export.optimize else []
    if export.quantization == "auto":
        with context.run_folder.timed("search"):
            best, trials = search.run()
        return schemes + ([best] if best and best not in schemes else []), trials
    return schemes + ([SCHEMES[export.quantization]] if export.quantization != "none" else []), {}


def _calibration_rows(context: RunContext, count: int) -> list[Inputs]:
    """Training rows from all over the split, which may be sorted by class, a batch of one each."""
    rows = context.encoded.splits["train"]
    places = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int).tolist()
    batches = (context.encoded.collate([rows[row]]) for row in places)
    return [{name: value.numpy() for name, value in batch.items() if hasattr(value, "numpy")} for batch in batches]


def _compare(
    context: RunContext, exporter: Exporter, export: Export, variant: str, made_by: dict[str, str]
) -> ExportFacts:
    """Score and time an exported variant, and compare it with the tuned model."""
    model = exporter.load(context.plan.task, context.run_folder.folder / variant)
    with context.run_folder.timed(f"score {variant}"):
        flat = context.run_folder.arrays(
            f"{variant}/outputs", lambda: context.predict(model, context.encoded, variant, ("test",))
        )
    context.add_outputs(variant, flat)
    return ranks.from_main(lambda: _facts(context, exporter, export, variant, made_by, model))


def _facts(
    context: RunContext, exporter: Exporter, export: Export, variant: str, made_by: dict[str, str], model: Model
) -> ExportFacts:
    """What is recorded of an exported variant whose outputs are in the context."""
    plan, folder = context.plan, context.run_folder.folder / variant
    files = exporter.files(folder)
    drop, _ = export_search.drop(
        context, context.answers("test", gate_reference(plan.recipe)), context.answers("test", variant), "test"
    )
    differences = _max_abs_diff(context.outputs["test"]["tuned"], context.outputs["test"][variant])
    size = sum((folder / name).stat().st_size for name in files)
    largest = np.argsort(-differences, kind="stable")[:_LARGEST_DIFFERENCES].tolist()
    return ExportFacts(
        **measure(context, variant, lambda: model, size).model_dump(),
        max_abs_diff=float(differences.max()),
        agreement=_agreement(context, variant),
        loader=exporter.loader(plan.task, folder),
        made_by=made_by,
        files=files,
        drop=drop,
        largest_differences=[(row, float(differences[row])) for row in largest],
        rejected=gate(export_search.gate_metric(plan), drop, export.max_drop),
    )


def _agreement(context: RunContext, variant: str) -> float:
    """The share of test rows on which a variant and the tuned model answer alike."""
    task = context.task_of("tuned")
    pairs = zip(context.answers("test", variant).predictions, context.answers("test", "tuned").predictions, strict=True)
    return float(np.mean([task.error(exported, tuned) == 0 for exported, tuned in pairs]))


def _max_abs_diff(first: Outputs, second: Outputs) -> np.ndarray:
    """For each model input the largest difference of its floats; token ids have none."""
    names = [name for name, array in first.items() if array.dtype.kind == "f"]
    # NaN is what fills up rows of different lengths, in both alike.
    filled = {name: np.isnan(first[name]) & np.isnan(second[name]) for name in names}
    differences = [
        np.where(filled[name], 0, np.abs(first[name] - second[name])).reshape(len(first[name]), -1) for name in names
    ]
    # NaN in one of them alone is as far from the other as can be.
    largest = np.nan_to_num(np.concatenate(differences, axis=1), nan=_FARTHEST, posinf=_FARTHEST)
    return np.asarray(largest.max(axis=1))
