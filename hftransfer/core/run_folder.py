"""Where a run writes: a locked folder beside its goal, whose finished stages are kept; renamed when all is done."""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hftransfer.core.energy import metered
from hftransfer.core.errors import HFTransferError, RecipeError

_LOCK, _WORK = "lock", "work"
# The ends of the names of what lies beside a run only while it goes on.
_PARTIAL, _REPLACED, _DROPPED = ".partial", ".replaced", ".dropped"


class RunFolder:
    """`NAME.partial` while the run goes on, `NAME` when it is finished.

    Under several processes the main one writes and the others wait; each calls the same methods in the same order.
    """

    def __init__(self, out: Path, state: Any) -> None:
        """`out` is the finished run's directory, `state` accelerate's PartialState."""
        if not out.name:
            raise RecipeError(f"--out: '{out}' has no name of its own; give a directory that is yet to be made")
        self.out = out
        self.state = state
        self.folder = out.with_name(out.name + _PARTIAL)
        self.work_folder = self.folder / _WORK

    def refuse(self, recipe: dict[str, Any], *, resume: bool, overwrite: bool) -> Path | None:
        """Say before any work what would only be found after it; the `result.json` of a run that is already finished.

        Raises:
            RecipeError: the directory is taken, or the run there followed another recipe.
        """
        _refuse_place(self.out)
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
            self._refuse_another(recipe, self.out / "recipe.yaml")
            return result
        if (self.folder / "recipe.yaml").is_file():
            if not resume:
                self._refuse_busy()
                raise RecipeError(
                    f"'{self.out}' has an unfinished run; --resume continues it, --overwrite starts it again, "
                    "--out chooses another place"
                )
            self._refuse_another(recipe, self.folder / "recipe.yaml")
        return None

    def _refuse_busy(self) -> None:
        with (self.folder / _LOCK).open("a") as lock:
            _take(lock, self.out)

    def _refuse_finished(self, *, overwrite: bool, fresh: bool) -> None:
        """Say that another run was finished there while this one was being checked."""
        if self.out.exists() and not overwrite:
            if fresh:
                shutil.rmtree(self.folder)
            raise RecipeError(f"'{self.out}' holds a finished run; --overwrite replaces it")

    def _refuse_another(self, recipe: dict[str, Any], file: Path) -> None:
        """Compare what is asked with what was begun, where a value that was left out may have been settled since."""
        begun = yaml.safe_load(file.read_text(encoding="utf-8"))
        place = _difference(json.loads(json.dumps(recipe)), begun)
        if place is not None:
            raise RecipeError(
                f"the run in '{self.out}' followed another recipe: '{place}' differs (see {file}); "
                "give the same recipe and overrides, or --overwrite to start again"
            )

    @contextmanager
    def open(self, recipe: str, *, overwrite: bool) -> Iterator["RunFolder"]:
        """Hold the folder for this run alone; a mistake of the user's that comes up in a fresh one removes it.

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
            _take(lock, self.out)
            self._refuse_finished(overwrite=overwrite, fresh=fresh)
            if fresh:
                for path in self.folder.iterdir():
                    if path.name != _LOCK:
                        shutil.rmtree(path) if path.is_dir() else path.unlink()
                write_text(self.folder / "recipe.yaml", recipe)
            self.state.wait_for_everyone()
            try:
                yield self
            except HFTransferError:
                # What was trained is not thrown away for what was to be made of it.
                if fresh and not any(self.work_folder.glob("*/history.json")):
                    shutil.rmtree(self.folder)
                raise

    def arrays(self, name: str, make: Callable[[], dict[str, np.ndarray]] | None = None) -> dict[str, np.ndarray]:
        """Arrays that are computed once in the life of the run; `make` may need all processes."""
        return arrays_once(self.work_folder / f"{name}.npz", make, self.state)

    def record(self, name: str, make: Callable[[], Any]) -> Any:
        """What JSON can hold, made once in the life of the run; `make` may be a training of many processes."""
        path = self.work_folder / f"{name}.json"
        if _there(path, self.state):
            return json.loads(path.read_text(encoding="utf-8"))
        made = make()
        if self.state.is_main_process:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(made))
        # What was measured differs between processes; all go on from the same.
        self.state.wait_for_everyone()
        return json.loads(path.read_text(encoding="utf-8"))

    def directory(self, name: str, make: Callable[[Path], Any]) -> Path:
        """A directory of the run, made once by the main process, whole or not at all."""
        path = self.folder / name
        if self.state.is_main_process:
            atomic_directory(path, make)
        self.state.wait_for_everyone()
        return path

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add what the block costs to the stage's; what a killed process spent on an unfinished block is not in it."""
        with metered() as energy:
            start = time.monotonic()
            yield
            spent = {"seconds": time.monotonic() - start}
        if energy.watt_hours is not None:
            spent["energy"] = energy.watt_hours
        if self.state.is_main_process:
            costs = self.costs()
            for kind, value in spent.items():
                costs[kind][stage] = costs[kind].get(stage, 0.0) + value
            self.work_folder.mkdir(parents=True, exist_ok=True)
            write_text(self.work_folder / "costs.json", json.dumps(costs))

    def costs(self) -> dict[str, dict[str, float]]:
        """`seconds` and `energy` (Wh) of every stage, over all the times that the run was continued."""
        path = self.work_folder / "costs.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {"seconds": {}, "energy": {}}

    def complete(self) -> Path:
        """Drop what was only work, and give the run its name."""
        dropped = self.out.with_name(self.out.name + _DROPPED)
        shutil.rmtree(dropped, ignore_errors=True)
        # From here on the run is finished, whatever happens to this process: `settle` does the rest.
        self.work_folder.rename(dropped)
        recover(self.out)
        return self.out


def recover(out: Path) -> None:
    """Give a finished run its name, where the process that finished it was killed before it could."""
    folder, replaced, dropped = (out.with_name(out.name + end) for end in (_PARTIAL, _REPLACED, _DROPPED))
    if (folder / "result.json").is_file() and not (folder / _WORK).exists():
        (folder / _LOCK).unlink(missing_ok=True)
        shutil.rmtree(replaced, ignore_errors=True)
        if out.exists():
            out.rename(replaced)
        folder.rename(out)
    if (out / "result.json").is_file():
        for rest in (replaced, dropped):
            shutil.rmtree(rest, ignore_errors=True)


def atomic_directory(path: Path, make: Callable[[Path], Any]) -> None:
    """A directory that is there whole or not at all."""
    if path.is_dir():
        return
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    make(partial)
    partial.rename(path)


def _take(lock: Any, out: Path) -> None:
    """Hold a lock until its file is closed."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RecipeError(f"another run is writing into '{out}'; --out chooses another place") from None


def _refuse_place(out: Path) -> None:
    """Where a folder cannot be made, say so before any work."""
    there = next(place for place in (out, *out.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK) or len(out.name) > 200:
        raise RecipeError(f"--out: the directory '{out}' cannot be made in '{there}'; choose another place")


def _difference(asked: Any, begun: Any, place: str = "") -> str | None:
    """The first place where two recipes differ; a None that was asked for agrees with everything."""
    if isinstance(asked, dict) and isinstance(begun, dict):
        for key in sorted(asked.keys() | begun.keys()):
            below = f"{place}.{key}" if place else key
            if (found := _difference(asked.get(key), begun.get(key), below)) is not None:
                return found
        return None
    return None if asked is None or asked == begun else place


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """An .npz file, whole or not at all, without pickles."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    partial.replace(path)


def _there(path: Path, state: Any) -> bool:
    """Whether a file is there, as all processes see it alike: none of them writes it before all have looked."""
    state.wait_for_everyone()
    found = path.is_file()
    state.wait_for_everyone()
    return found


def arrays_once(path: Path, make: Callable[[], dict[str, np.ndarray]] | None, state: Any) -> dict[str, np.ndarray]:
    """The arrays in a file, which is made where it is not there; all processes call this, and the main one writes."""
    if not _there(path, state) and make is not None:
        made = make()
        if state.is_main_process:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_arrays(path, made)
        state.wait_for_everyone()
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def flatten_outputs(outputs: dict[str, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Outputs by split, or by variant, as one file holds them: `split.name` -> array."""
    return {f"{key}.{name}": array for key, arrays in outputs.items() for name, array in arrays.items()}


def nest_outputs(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """The same the other way."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        first, _, name = key.rpartition(".")
        found.setdefault(first, {})[name] = array
    return found


def dump_yaml(recipe: dict[str, Any]) -> str:
    """A resolved recipe as the text of its file."""
    return yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=120)


def write_text(path: Path, text: str) -> None:
    """A text file, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
