"""What a run that continues may rely on: the rows, checkpoints and packages it began with, and whole files."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from hftransfer.core import machine, ranks
from hftransfer.core.errors import DataError, ModelError, RecipeError
from hftransfer.core.files import damaged_file, seal, sha256
from hftransfer.core.run_folder import RunFolder
from hftransfer.data.hashes import FINGERPRINT_VERSION
from hftransfer.models.checkpoint import Checkpoint, find_checkpoint
from hftransfer.runner.plan import Plan

READ = {".safetensors", ".json", ".txt", ".model", ".py", ".jinja"}
"""Endings of the files of a checkpoint's folder that are read."""
_SEALED = ".sealed"


def refuse_other_packages(run_folder: RunFolder) -> None:
    """Raises a RecipeError where another major version began the run, whose checkpoints have other names."""
    installed = machine.versions()["transformers"]
    began = run_folder.record("versions", machine.versions)["transformers"]
    if began.partition(".")[0] != installed.partition(".")[0]:
        raise RecipeError(
            f"the run in '{run_folder.out}' was begun with transformers {began}, and {installed} is installed: "
            "continue it there, or --overwrite to start again"
        )


def refuse_changes(plan: Plan, run_folder: RunFolder) -> None:
    """Raises a DataError, ModelError or RecipeError where what the recipe points to is not what the run began with."""
    found = ranks.from_main(lambda: dict(_contents(plan)))
    began = run_folder.record("contents", lambda: found)
    changed = next((name for name in [*found, *began] if began.get(name) != found.get(name)), None)
    if changed is None:
        return
    undo = "undo the change, or --overwrite to start again"
    if changed == "fingerprints":
        raise RecipeError(
            f"the run in '{run_folder.out}' was begun with another version of hftransfer, which computes the "
            "fingerprint of rows otherwise: continue it there, or --overwrite to start again"
        )
    if changed == "processes":
        processes = f"{began[changed]} processes, and now there are {found[changed]}"
        raise RecipeError(f"the run in '{run_folder.out}' was begun with {processes}: {undo}")
    error = DataError if changed.startswith("rows") else ModelError
    verb = "are" if changed.startswith("rows") else "is"
    raise error(f"the {changed} {verb} no longer what the run in '{run_folder.out}' was begun with: {undo}")


def _contents(plan: Plan) -> Iterator[tuple[str, str]]:
    """What the recipe points to -> a hash of its content, or its commit on the Hub."""
    yield "fingerprints", str(FINGERPRINT_VERSION)
    yield "processes", str(ranks.total())
    yield "rows", plan.rows.facts.fingerprint
    if plan.source is not None:
        yield "rows of evaluation.source_task", plan.source.fingerprint
    for name, auxiliary in plan.auxiliary.items():
        yield f"rows of the task '{name}'", auxiliary.rows.facts.fingerprint
    if plan.origin.weights is not None:
        yield "checkpoint of 'model'", content_of(plan.origin.weights)
    if plan.recipe.model.processor is not None:
        yield "processor of 'model'", content_of(find_checkpoint(plan.recipe.model.processor))
    for number, strategy in enumerate([plan.recipe.strategy, *plan.recipe.compress]):
        teacher = getattr(strategy, "teacher", None)
        if isinstance(teacher, str):
            yield f"teacher of step {number + 1}" if number else "teacher", content_of(find_checkpoint(teacher))


def content_of(checkpoint: Checkpoint) -> str:
    """A hash of the files of a checkpoint that are read; of a Hub id, its commit."""
    folder = Path(checkpoint.path)
    if not folder.is_dir():
        return str(checkpoint.revision)
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.iterdir() if path.suffix in READ and path.is_file()):
        digest.update(f"{file.name} {sha256(file)}\n".encode())
    return digest.hexdigest()


def discard_damaged_rows(folder: Path) -> None:
    """Delete encoded rows of which a file is not what was written; they are encoded again."""
    mark = folder.with_suffix(_SEALED)
    damaged = None
    if mark.is_file():
        damaged = damaged_file(folder, mark)
    else:
        # A killed run was still encoding.
        damaged = next((file.name for file in sorted(folder.glob("*.arrow")) if not _is_table(file)), None)
    if damaged is not None:
        ranks.warn(f"{folder / damaged} is damaged: the rows are encoded again")
        shutil.rmtree(folder)
        mark.unlink(missing_ok=True)


def seal_rows(folder: Path) -> None:
    """Keep the hashes of encoded rows."""
    mark = folder.with_suffix(_SEALED)
    if not mark.is_file():
        seal(folder, mark)


def _is_table(file: Path) -> bool:
    import pyarrow

    try:
        with pyarrow.memory_map(str(file)) as source, pyarrow.ipc.open_stream(source) as stream:
            for _ in stream:
                pass
    except (pyarrow.ArrowInvalid, OSError):
        return False
    return True
