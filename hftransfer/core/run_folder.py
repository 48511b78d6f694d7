"""The folder of a run: locked while it is written, results of stages cached, renamed to its final name at the end."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import yaml

from hftransfer.core import ranks
from hftransfer.core.energy import measure_energy
from hftransfer.core.errors import HFTransferError, RecipeError
from hftransfer.core.files import (
    Arrays,
    arrays_once,
    atomic_directory,
    damaged_file,
    is_whole,
    record_once,
    seal,
    write_sealed,
    write_text,
)
from hftransfer.core.paths import is_file

if TYPE_CHECKING:
    from accelerate import PartialState

JsonObject = dict[str, Any]

_LOCK, _WORK, _COSTS, _SEALS = "lock", "work", "costs.json", "seals"
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
        return ranks.from_main(partial(self._check, recipe, resume, overwrite))

    def _check(self, recipe: JsonObject, resume: bool, overwrite: bool) -> Path | None:
        _check_writable(self.out)
        recover(self.out)
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
        try:
            previous = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            previous = None
        if not isinstance(previous, dict) or recipe.keys() - previous.keys():
            raise RecipeError(f"{file} is damaged, or of another version of hftransfer; --overwrite starts again")
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
        if not ranks.is_main():
            ranks.wait_for_file(self.folder / _LOCK)
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
            lock.write(uuid.uuid4().hex)
            lock.flush()
            ranks.wait_for_file(self.folder / _LOCK)
            try:
                yield self
            except HFTransferError:
                # A trained model is not deleted because a later stage fails.
                if fresh and not any(self.work_folder.glob("*/history.json")):
                    shutil.rmtree(self.folder)
                raise

    def arrays(self, name: str, compute: Callable[[], Arrays], *, alone: bool = False) -> Arrays:
        """Arrays that are computed once in the life of the run, `alone` or by all processes together."""
        return arrays_once(self.work_folder / f"{name}.npz", compute, alone=alone)

    def record(self, name: str, compute: Callable[[], Any], *, alone: bool = False) -> Any:
        """A JSON value that is computed once in the life of the run, `alone` or by all processes together."""
        return record_once(self.work_folder / f"{name}.json", compute, alone=alone)

    def directory(self, name: str, write: Callable[[Path], object]) -> Path:
        """A directory of the run, written once by the main process, completely or not at all."""
        path, mark = self.folder / name, self._seal(name)

        def make() -> None:
            self._discard_damaged(name)
            if not path.is_dir():
                atomic_directory(path, write)
                mark.parent.mkdir(parents=True, exist_ok=True)
                seal(path, mark)

        ranks.from_main(make)
        return path

    def training(self, name: str, compute: Callable[[], Any], *directories: str) -> Any:
        """The JSON value of a training, which is done again where a file that it has left is damaged.

        `directories` are those that it writes; the training's other files lie in the work folder under its name.
        """
        mark, folder = self._seal(f"{name}-files"), self.work_folder / name

        def forget() -> None:
            damaged = damaged_file(folder, mark) if mark.is_file() else None
            if damaged is not None:
                ranks.warn(f"{folder / damaged} is damaged: '{name}' is trained again")
            if any([damaged is not None, *map(self._discard_damaged, directories)]):
                for path in [mark, *folder.glob("*.json"), *folder.glob("*.npz")]:
                    path.unlink(missing_ok=True)
                for directory in directories:
                    shutil.rmtree(self.folder / directory, ignore_errors=True)

        def make() -> Any:
            value = compute()
            if ranks.is_main():
                mark.parent.mkdir(parents=True, exist_ok=True)
                seal(folder, mark, [*folder.glob("*.json"), *folder.glob("*.npz")])
            return value

        ranks.from_main(forget)
        return self.record(f"{name}/history", make)

    def _discard_damaged(self, name: str) -> bool:
        """Delete a directory of which a file is missing or not what was written; whether it was one."""
        mark = self._seal(name)
        damaged = damaged_file(self.folder / name, mark) if mark.is_file() else None
        if damaged is None:
            return False
        ranks.warn(f"{self.folder / name} is damaged ({damaged}) and made again")
        shutil.rmtree(self.folder / name, ignore_errors=True)
        mark.unlink()
        return True

    def unseal(self) -> None:
        """Files that are complete may be changed from now on: the run is about to end."""
        shutil.rmtree(self.work_folder / _SEALS, ignore_errors=True)

    def _seal(self, name: str) -> Path:
        return self.work_folder / _SEALS / name.replace("/", "-")

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add time and energy of the block to those of the stage; a block that does not end is not counted."""
        with measure_energy() as energy:
            start = time.monotonic()
            yield
            spent = {"seconds": time.monotonic() - start}
        if energy.watt_hours is not None:
            spent["energy"] = energy.watt_hours
        if ranks.is_main():
            costs = self.costs()
            for unit, value in spent.items():
                costs[unit][stage] = costs[unit].get(stage, 0.0) + value
            text = json.dumps(costs)
            write_sealed(self.work_folder / _COSTS, lambda file: file.write_text(text, encoding="utf-8"))

    def costs(self) -> dict[str, dict[str, float]]:
        """`seconds` and `energy` (Wh) -> stage -> the sum over all processes that continued the run."""
        path = self.work_folder / _COSTS
        return dict(json.loads(path.read_text(encoding="utf-8"))) if is_whole(path) else {"seconds": {}, "energy": {}}

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


def discard_unfinished(out: Path) -> None:
    """Delete what a run that is given up has left."""
    shutil.rmtree(out.with_name(out.name + _PARTIAL), ignore_errors=True)


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
