"""A run from start to end: check, encode, score the baselines, adapt, export, score what ships, document."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftransfer.core import machine, ranks
from hftransfer.core.exhaustion import exhaustion_explained
from hftransfer.core.media import READING_ERRORS
from hftransfer.core.results import RunResult
from hftransfer.core.run_folder import RunFolder
from hftransfer.core.yaml_writer import dump_yaml
from hftransfer.data.augmentation import augmenter
from hftransfer.data.corruptions import corrupted
from hftransfer.data.encode import EncodedSplits, encode
from hftransfer.data.stream import Stream
from hftransfer.recipe.loader import from_record
from hftransfer.recipe.schema import Export, Recipe
from hftransfer.runner import baselines, compression, stages, task_heads
from hftransfer.runner.collect import collect, write_results
from hftransfer.runner.context import RunContext
from hftransfer.runner.export import export_variants
from hftransfer.runner.finished import check_model, check_rows, scored_outputs, variant_folder
from hftransfer.runner.fitting import refit_baselines
from hftransfer.runner.out_of_domain import score_out_of_domain
from hftransfer.runner.plan import Plan, check
from hftransfer.runner.resuming import (
    discard_damaged_rows,
    refuse_changes,
    refuse_other_packages,
    seal_rows,
)
from hftransfer.runner.scores import score_variants
from hftransfer.runner.specs import baseline_specs, data_options, with_defaults
from hftransfer.runner.trial_scores import write_final_score
from hftransfer.training.arguments import uses_cpu

if TYPE_CHECKING:
    from accelerate import PartialState
    from datasets import Dataset


def run(recipe: Recipe, out: Path, *, resume: bool = False, overwrite: bool = False) -> RunResult:
    """Run a recipe end to end; the finished run lies in `out`.

    Raises:
        HFTransferError: in a sentence, a mistake in the recipe, the rows, the checkpoint or the place.
    """
    with exhaustion_explained(out):
        return _run(recipe, out, resume=resume, overwrite=overwrite)


def _run(recipe: Recipe, out: Path, *, resume: bool, overwrite: bool) -> RunResult:
    run_folder = RunFolder(out, processes(recipe.training))
    if finished := run_folder.check(with_defaults(recipe), resume=resume, overwrite=overwrite):
        return ranks.from_main(lambda: _finished(finished))
    with _checked(recipe, run_folder, overwrite=overwrite) as plan:
        return run_plan(plan, recipe, run_folder)


@contextmanager
def _checked(recipe: Recipe, run_folder: RunFolder, *, overwrite: bool) -> Iterator[Plan]:
    """The plan of a recipe, and the folder of its run open for as long as it is needed."""
    plan = check(recipe, decode=False)
    with run_folder.open(dump_yaml(with_defaults(recipe)), overwrite=overwrite):
        refuse_other_packages(run_folder)
        refuse_changes(plan, run_folder)
        yield plan


def run_trial(recipe: Recipe, out: Path, scores: Path) -> None:
    """Train a recipe, or go on with it, and append its score on validation rows to a file; the test rows stay unread.

    What it has written stays next to `out` as an unfinished run.

    Raises:
        HFTransferError: as `run`.
    """
    with exhaustion_explained(out):
        run_folder = RunFolder(out, processes(recipe.training))
        run_folder.check(with_defaults(recipe), resume=True, overwrite=False)
        if not run_folder.folder.exists():
            # Of a training that has left nothing else.
            ranks.from_main(lambda: scores.unlink(missing_ok=True))
        with _checked(recipe, run_folder, overwrite=False) as plan:
            with run_folder.timed("encode"):
                encoded = _encode(plan, recipe, run_folder, _without_test(plan))
            context = RunContext(plan, encoded, run_folder)
            stages.tune(context, partial(task_heads.save_heads, context))
            write_final_score(scores, context)


def run_plan(plan: Plan, recipe: Recipe, run_folder: RunFolder) -> RunResult:
    """All stages of a run after its check, in a folder that is open; `recipe` is as it was asked for.

    Raises:
        HFTransferError: as `run`.
    """
    with run_folder.timed("encode"):
        encoded = _encode(plan, recipe, run_folder, _splits_to_encode(plan))
    context = RunContext(plan, encoded, run_folder)
    baselines.score_majority(context)
    baselines.score_own(context)
    baselines.score_frozen(context)
    histories = {spec.variant: stages.train_baseline(context, spec) for spec in baseline_specs(plan.recipe)}
    baselines.score_pretrained(context)
    histories["tuned"] = stages.tune(context, partial(task_heads.save_heads, context))
    compression_steps = compression.score_steps(context)
    exported = export_variants(context)
    task_results = task_heads.write_heads(context, histories["tuned"])
    similarity, source_scores = stages.compare_features(context), stages.score_source_task(context)
    out_of_domain = score_out_of_domain(context)
    # After all other stages, since it reads how long each took.
    fields = {
        "task_heads": task_results,
        "compression_steps": compression_steps,
        "feature_similarity": similarity,
        "source_task_scores": source_scores,
        "out_of_domain": out_of_domain,
    }

    def write_all() -> RunResult:
        result = collect(context, with_defaults(plan.recipe), histories, exported).model_copy(update=fields)
        return write_results(result, context)

    return ranks.from_main(write_all)


def _finished(file: Path) -> RunResult:
    """The record of a run that is finished already, none of whose files are lost."""
    result = RunResult.load(file)
    for variant in ("tuned", *(name for name in result.exports if name not in result.rejected())):
        variant_folder(file.parent, result, variant)
    return result


def _encode(plan: Plan, recipe: Recipe, run_folder: RunFolder, splits: dict[str, Dataset]) -> EncodedSplits:
    """The encoded rows.

    Raises:
        DataError: an image is not whole. Here images are decoded for the first time, and `check` then names the row.
    """
    data = plan.recipe.data
    augment = augmenter(plan.task, data.augment)
    folder = run_folder.work_folder / "encoded"
    ranks.from_main(lambda: discard_damaged_rows(folder))
    try:
        encoded = encode(plan.task, splits, folder, augment, data.num_proc)
    except READING_ERRORS:
        check(recipe)
        raise
    ranks.from_main(lambda: seal_rows(folder))
    if not data.streaming:
        return encoded
    stream = Stream(plan.task, data.source, recipe.data.splits.train, data_options(data), plan.rows.held_out)
    return replace(encoded, stream=stream.shuffled(recipe.seed))


def _splits_to_encode(plan: Plan) -> dict[str, Dataset]:
    """The rows of all splits, and the test rows under each corruption."""
    corruptions, test = plan.recipe.evaluation.corruptions, plan.rows.splits["test"]
    return {**plan.rows.labelled, **corrupted(plan.task, test, corruptions, plan.recipe.seed)}


def _without_test(plan: Plan) -> dict[str, Dataset]:
    return {name: rows for name, rows in plan.rows.labelled.items() if name != "test"}


def export(folder: Path, settings: Export) -> RunResult:
    """Export a finished run again; its earlier exports are replaced when all is done.

    Raises:
        HFTransferError: as `run`.
    """
    before = RunResult.load(folder / "result.json")
    check_model(folder, before)
    outputs = scored_outputs(folder, before)
    plan = check(from_record(before.recipe | {"export": settings}))
    check_rows(folder, before, plan.rows.facts, "so exports cannot be compared")
    run_folder = RunFolder(folder, processes({}))
    with run_folder.open(dump_yaml(before.recipe), overwrite=True):
        _link_files(folder, run_folder, before)
        place, num_proc = run_folder.work_folder / "encoded", plan.recipe.data.num_proc
        encoded = encode(plan.task, _splits_to_encode(plan), place, num_proc=num_proc)
        context = RunContext(plan, encoded, run_folder, outputs, {"tuned": before.fitted})
        refit_baselines(context)
        exported = export_variants(context)

        def write_all() -> RunResult:
            fields = {
                "recipe": before.recipe | {"export": settings.model_dump()},
                "pytorch": exported.pytorch,
                "exports": exported.exports,
                "search": exported.search,
                "runtime_snippet": context.task_of("tuned").runtime_snippet(),
                "hardware": _exported_on(before.hardware),
                "versions": machine.versions() | before.versions,
                **score_variants(context),
            }
            result = before.model_copy(update=fields)
            return write_results(result, context)

        return ranks.from_main(write_all)


def _link_files(folder: Path, run_folder: RunFolder, before: RunResult) -> None:
    """Take over the files of a finished run but for its exports and what was measured of them."""
    replaced = {"recipe.yaml", "result.json", "bench.json", "bench.png", *before.exports}

    def link() -> None:
        # Links cost no space, and every file is replaced by renaming, never written in place.
        shutil.copytree(
            folder,
            run_folder.folder,
            dirs_exist_ok=True,
            copy_function=os.link,
            ignore=lambda place, _names: replaced if Path(place) == folder else set(),
        )

    ranks.from_main(link)


def processes(training: dict[str, Any]) -> PartialState:
    """The processes of this run. They wait for the main one while it encodes or exports, which may take hours."""
    from accelerate import PartialState

    timeout = timedelta(seconds=training.get("ddp_timeout", 6 * 3600))
    return PartialState(cpu=uses_cpu(training), timeout=timeout)


def _exported_on(trained: str) -> str:
    """The hardware of a run that is exported on this machine."""
    trained, here = trained.partition("; exported on ")[0], machine.hardware()
    return trained if trained == here else f"{trained}; exported on {here}"
