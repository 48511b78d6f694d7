"""The folder of a run: locked while it is written, results of stages cached, renamed to its final name at the end."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import yaml

from hftransfer.core.energy import measure_energy
from hftransfer.core.errors import HFTransferError, RecipeError
from hftransfer.core.paths import is_file

if TYPE_CHECKING:
    from accelerate import PartialState

Arrays = dict[str, np.ndarray]
JsonObject = dict[str, Any]

_LOCK, _WORK = "lock", "work"
# Suffixes of the folders that exist next to a run only while it is written.
_PARTIAL, _REPLACED, _DISCARDED = ".partial", ".replaced", ".discarded"


class RunFolder:
    """`NAME.partial` until the run is complete, then `NAME`.

    With several processes the main one writes and the others wait; all call the same methods in the same order.
    """

    def __init__(self, out: Path, state: PartialState) -> None:
        """`out` is the directory of the complete run."""
        if not out.name:
            raise RecipeError(f"--out: '{out}' is not the name of a directory; give a new one, such as runs/first")
        self.out = out
        self.state = state
        self.folder = out.with_name(out.name + _PARTIAL)
        self.work_folder = self.folder / _WORK

    def check(self, recipe: JsonObject, *, resume: bool, overwrite: bool) -> Path | None:
        """The `result.json` of a complete run that is to be resumed, else None; called before any work.

        Raises:
            RecipeError: the directory is taken, or the run there has a different recipe.
        """
        _check_writable(self.out)
        if self.state.is_main_process:
            recover(self.out)
        self.state.wait_for_everyone()
        result = self.out / "result.json"
        if self.out.exists() and not result.is_file():
            raise RecipeError(f"'{self.out}' exists and is no run; --out chooses another place")
        if overwrite:
            return None
        if result.is_file():
            if not resume:
                raise RecipeError(
                    f"'{self.out}' holds a finished run; --overwrite replaces it, --out chooses another place"
                )
            self._check_same_recipe(recipe, self.out / "recipe.yaml")
            return result
        if (self.folder / "recipe.yaml").is_file():
            if not resume:
                self._check_unlocked()
                raise RecipeError(
                    f"'{self.out}' has an unfinished run; --resume continues it, --overwrite starts it again, "
                    "--out chooses another place"
                )
            self._check_same_recipe(recipe, self.folder / "recipe.yaml")
        return None

    def _check_unlocked(self) -> None:
        with (self.folder / _LOCK).open("a") as lock:
            _acquire(lock, self.out)

    def _check_unfinished(self, *, overwrite: bool, fresh: bool) -> None:
        """Raises a RecipeError where another process completed a run here since `check`."""
        if self.out.exists() and not overwrite:
            if fresh:
                shutil.rmtree(self.folder)
            raise RecipeError(f"'{self.out}' holds a finished run; --overwrite replaces it")

    def _check_same_recipe(self, recipe: JsonObject, file: Path) -> None:
        """Raises a RecipeError where the run's recipe is another; a value that was left out may be filled in there."""
        previous = yaml.safe_load(file.read_text(encoding="utf-8"))
        place = _difference(json.loads(json.dumps(recipe)), previous)
        if place is not None:
            raise RecipeError(
                f"the run in '{self.out}' has a different recipe: '{place}' differs (see {file}); "
                "give the same recipe and overrides, or --overwrite to start again"
            )

    @contextmanager
    def open(self, recipe: str, *, overwrite: bool) -> Iterator[RunFolder]:
        """Lock the folder for this run; an error of the user in a fresh run removes the folder.

        Raises:
            RecipeError: another process is writing there.
        """
        if not self.state.is_main_process:
            self.state.wait_for_everyone()
            yield self
            return
        fresh = overwrite or not (self.folder / "recipe.yaml").is_file()
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / _LOCK).open("w") as lock:
            _acquire(lock, self.out)
            self._check_unfinished(overwrite=overwrite, fresh=fresh)
            if fresh:
                for path in self.folder.iterdir():
                    if path.name != _LOCK:
                        shutil.rmtree(path) if path.is_dir() else path.unlink()
                write_text(self.folder / "recipe.yaml", recipe)
            self.state.wait_for_everyone()
            try:
                yield self
            except HFTransferError:
                # A trained model is not deleted because a later stage fails.
                if fresh and not any(self.work_folder.glob("*/history.json")):
                    shutil.rmtree(self.folder)
                raise

    def arrays(self, name: str, compute: Callable[[], Arrays] | None = None) -> Arrays:
        """Arrays that are computed once in the life of the run; `compute` may need all processes."""
        return arrays_once(self.work_folder / f"{name}.npz", compute, self.state)

    def record(self, name: str, compute: Callable[[], Any]) -> Any:
        """A JSON value that is computed once in the life of the run; `compute` may need all processes."""
        path = self.work_folder / f"{name}.json"
        if _exists_for_all(path, self.state):
            return json.loads(path.read_text(encoding="utf-8"))
        value = compute()
        if self.state.is_main_process:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(value))
        # Measurements differ between processes; all continue with those of the main one.
        self.state.wait_for_everyone()
        return json.loads(path.read_text(encoding="utf-8"))

    def directory(self, name: str, write: Callable[[Path], object]) -> Path:
        """A directory of the run, written once by the main process, completely or not at all."""
        path = self.folder / name
        if self.state.is_main_process:
            atomic_directory(path, write)
        self.state.wait_for_everyone()
        return path

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add time and energy of the block to those of the stage; a block that does not end is not counted."""
        with measure_energy() as energy:
            start = time.monotonic()
            yield
            spent = {"seconds": time.monotonic() - start}
        if energy.watt_hours is not None:
            spent["energy"] = energy.watt_hours
        if self.state.is_main_process:
            costs = self.costs()
            for unit, value in spent.items():
                costs[unit][stage] = costs[unit].get(stage, 0.0) + value
            self.work_folder.mkdir(parents=True, exist_ok=True)
            write_text(self.work_folder / "costs.json", json.dumps(costs))

    def costs(self) -> dict[str, dict[str, float]]:
        """`seconds` and `energy` (Wh) -> stage -> the sum over all processes that continued the run."""
        path = self.work_folder / "costs.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {"seconds": {}, "energy": {}}

    def complete(self) -> Path:
        """Delete the intermediate files, and rename the folder to its final name."""
        discarded = self.out.with_name(self.out.name + _DISCARDED)
        shutil.rmtree(discarded, ignore_errors=True)
        # This rename completes the run: if the process dies after it, `recover` does the rest.
        self.work_folder.rename(discarded)
        recover(self.out)
        return self.out


def recover(out: Path) -> None:
    """Rename a complete run to its final name, where the process that completed it died before it did."""
    folder, replaced, discarded = (out.with_name(out.name + suffix) for suffix in (_PARTIAL, _REPLACED, _DISCARDED))
    if is_file(folder / "result.json") and not (folder / _WORK).exists():
        (folder / _LOCK).unlink(missing_ok=True)
        shutil.rmtree(replaced, ignore_errors=True)
        if out.exists():
            out.rename(replaced)
        folder.rename(out)
    if is_file(out / "result.json"):
        for leftover in (replaced, discarded):
            shutil.rmtree(leftover, ignore_errors=True)


def atomic_directory(path: Path, write: Callable[[Path], object]) -> None:
    """Write a directory unless it exists; it appears under its name when it is complete."""
    if path.is_dir():
        return
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write(partial)
    partial.rename(path)


def _acquire(lock: IO[str], out: Path) -> None:
    """Lock a file until it is closed."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RecipeError(f"another run is writing into '{out}'; --out chooses another place") from None


def _check_writable(out: Path) -> None:
    """Raises a RecipeError where the directory cannot be created."""
    if long := next((part for part in out.parts if len(os.fsencode(part)) > 200), None):
        raise RecipeError(f"--out: the name '{long[:40]}...' is too long; choose another place")
    existing = next(place for place in (out, *out.absolute().parents) if place.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise RecipeError(f"--out: the directory '{out}' cannot be created in '{existing}'; choose another place")


def _difference(recipe: Any, previous: Any, place: str = "") -> str | None:
    """The first place where two recipes differ; None in the first one agrees with everything."""
    if isinstance(recipe, dict) and isinstance(previous, dict):
        for key in sorted(recipe.keys() | previous.keys()):
            below = f"{place}.{key}" if place else key
            if (different := _difference(recipe.get(key), previous.get(key), below)) is not None:
                return different
        return None
    return None if recipe is None or recipe == previous else place


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write an .npz file without pickles; it appears under its name when it is complete."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    partial.replace(path)


def _exists_for_all(path: Path, state: PartialState) -> bool:
    """Whether a file exists, with the same answer in all processes: none writes it before all have looked."""
    state.wait_for_everyone()
    exists = path.is_file()
    state.wait_for_everyone()
    return exists


def arrays_once(path: Path, compute: Callable[[], Arrays] | None, state: PartialState) -> Arrays:
    """The arrays of a file, computed and written unless it exists; all processes call this, the main one writes."""
    if not _exists_for_all(path, state) and compute is not None:
        arrays = compute()
        if state.is_main_process:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_arrays(path, arrays)
        state.wait_for_everyone()
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def flatten_outputs(outputs: Mapping[str, Arrays]) -> Arrays:
    """Outputs by split, or by variant, as one file holds them: `split.name` -> array."""
    return {f"{key}.{name}": array for key, arrays in outputs.items() for name, array in arrays.items()}


def nest_outputs(arrays: Mapping[str, np.ndarray]) -> dict[str, Arrays]:
    """The inverse of `flatten_outputs`."""
    outputs: dict[str, Arrays] = {}
    for key, array in arrays.items():
        first, _, name = key.rpartition(".")
        outputs.setdefault(first, {})[name] = array
    return outputs


def dump_yaml(recipe: JsonObject) -> str:
    """A recipe with all defaults as the text of its file."""
    return yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=120)


def write_text(path: Path, text: str) -> None:
    """Write a text file; it appears under its name when it is complete."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
