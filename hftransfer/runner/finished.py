"""Whether the files of a finished run are still there and whole; each sentence says which command makes them again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hftransfer.core.checkpoint_files import check_complete, check_files, check_unchanged
from hftransfer.core.data_facts import DataFacts
from hftransfer.core.errors import DataError, ExportError, RecipeError
from hftransfer.core.files import nest_outputs
from hftransfer.core.results import RunResult
from hftransfer.core.variants import Variant
from hftransfer.tasks import Outputs

_RUN_AGAIN = "copy the run's folder again, or run the recipe again with --overwrite"


def check_model(folder: Path, result: RunResult) -> Path:
    """The folder of a run's tuned model.

    Raises:
        ModelError: a file is missing or damaged, or holds other weights.
    """
    check_complete(folder / "model", _RUN_AGAIN)
    _check_weights(folder, result, "model", _RUN_AGAIN)
    return folder / "model"


def _check_weights(folder: Path, result: RunResult, place: str, remedy: str) -> None:
    hashes = {name: digest for name, digest in result.weights.items() if name.startswith(f"{place}/")}
    check_unchanged(folder, hashes, remedy)


def export_again(folder: Path, variant: str) -> str:
    """The command that makes an exported variant of a run again."""
    return f"`hftransfer export {folder} --format {Variant.parse(variant).runtime}` makes it again"


def variant_folder(folder: Path, result: RunResult, variant: str) -> Path:
    """The folder of a variant of a run: the tuned model, or an exported one.

    Raises:
        ModelError, ExportError: a file is missing or damaged.
    """
    if variant == "tuned":
        return check_model(folder, result)
    place, facts, remedy = folder / variant, result.exports[variant], export_again(folder, variant)
    for name in [*facts.files, "config.json"]:
        if not (place / name).is_file():
            raise ExportError(f"'{place / name}' is missing: {remedy}")
    check_files(place, remedy)
    size = sum((place / name).stat().st_size for name in facts.files)
    if facts.files and size != facts.bytes:
        names = ", ".join(f"'{place / name}'" for name in facts.files)
        raise ExportError(f"{names}: damaged, {size} bytes and not {facts.bytes}: {remedy}")
    _check_weights(folder, result, variant, remedy)
    return place


def check_rows(folder: Path, result: RunResult, facts: DataFacts, consequence: str) -> None:
    """Refuse rows that are not those of a run; `consequence` is what a sentence says of others.

    Raises:
        DataError: they are others, or it cannot be told.
    """
    if result.data.fingerprint_version != facts.fingerprint_version:
        raise DataError(
            f"'{folder}' was made by another version of hftransfer, which computes the fingerprint of rows otherwise: "
            f"whether they are still those of the run cannot be told, {consequence}; run the recipe again"
        )
    if result.data.fingerprint != facts.fingerprint:
        raise DataError(f"the rows are no longer those that '{folder}' was scored on, {consequence}")


def scored_outputs(folder: Path, result: RunResult) -> dict[str, dict[str, Outputs]]:
    """Split -> variant -> outputs of a run but for its exports.

    Raises:
        RecipeError: a file is missing or damaged.
    """
    outputs = {}
    for split in result.scores:
        file = folder / "predictions" / f"{split}.npz"
        arrays = read_arrays(file, f"{_RUN_AGAIN}, since exports are compared with it")
        variants = {name: it for name, it in nest_outputs(arrays).items() if name not in result.exports}
        if "tuned" not in variants:
            raise RecipeError(f"'{file}' is damaged, it has no outputs of the tuned model: {_RUN_AGAIN}")
        outputs[split] = variants
    return outputs


def read_arrays(file: Path, remedy: str) -> Outputs:
    """The arrays of an .npz file.

    Raises:
        RecipeError: it is missing or damaged.
    """
    import zipfile
    import zlib

    try:
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        raise RecipeError(f"'{file}' is missing: {remedy}") from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise RecipeError(f"'{file}' is damaged ({' '.join(str(error).split())[:120]}): {remedy}") from None
