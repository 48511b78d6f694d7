"""A run on a machine that is given back: its folder is copied to a mounted volume while it is written, and from there.

`python -m hftransfer.runner.volume FOLDER NAME SECONDS KEY [PROCESSES]` is what a job of `--on hf-jobs` calls. FOLDER
is mounted and holds `recipe.yaml` and `files/`. The run itself is written on the machine's own disk: a mounted bucket
takes whole files, written from their beginning to their end, and neither locks nor renames as a run needs them
(https://github.com/huggingface/hf-mount). A file whose copy was interrupted is known by its hash when the run goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

from hftransfer.runner.jobs import GRACE, TERMINATED, run_arguments

STARTED = "HFTRANSFER_JOB_STARTED"
"""Environment variable: when the job was started, in seconds since 1970."""
INTERVAL = "HFTRANSFER_JOB_INTERVAL"
"""Environment variable: seconds between two copies, by default 60."""
RECIPE, FILES, RUN, END = "recipe.yaml", "files", "run", "end.json"
"""What lies in the volume: the recipe, local files that it names, the run, and how the last job has ended."""
_RECORD = "result.json"
# A job that was ended for its time may have come to its end in it.
_FINISHED = (0, 2, 3)

Stamps = dict[str, tuple[int, int]]
"""Path in a folder -> size and time of the file that was copied."""


def main(arguments: Sequence[str]) -> int:
    """Run, or go on with a run, until it ends or the time of the job is nearly over; the exit code of the run."""
    volume, name, seconds, key, *processes = arguments
    place, limit = Path(volume), float(seconds)
    deadline = float(os.environ.get(STARTED) or time.time()) + limit - min(GRACE, limit / 10)
    runs = Path(tempfile.mkdtemp(prefix="hftransfer-"))
    copied = restore(place / RUN, runs, name)
    words = run_arguments(str(place / RECIPE), [], runs / name)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes[0]}"] if processes else []
    cwd = place / FILES if (place / FILES).is_dir() else runs
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    run = subprocess.Popen([sys.executable, *launcher, *words], cwd=cwd, env=environment, start_new_session=True)
    # Every process gets the signal, as from Slurm: those of a training save their step together.
    over = Event()
    signal.signal(signal.SIGTERM, lambda *_: _terminate(run, over))
    interval = float(os.environ.get(INTERVAL) or 60)
    code = _watch(run, over, deadline, interval, lambda: copy_changes(runs, place / RUN, copied))
    copy_changes(runs, place / RUN, copied, last=True)
    (place / END).write_text(json.dumps({"key": key, "code": code}), encoding="utf-8")
    return code


def _watch(
    run: subprocess.Popen[bytes], over: Event, deadline: float, interval: float, save: Callable[[], None]
) -> int:
    """Save the run at intervals until it ends; its exit code, that of SIGTERM where its time was over."""
    while True:
        left = deadline - time.time()
        try:
            code = run.wait(timeout=interval if over.is_set() else max(min(interval, left), 0.1))
        except subprocess.TimeoutExpired:
            if not over.is_set() and time.time() >= deadline:
                print("hftransfer: the time of the job is nearly over", file=sys.stderr, flush=True)
                _terminate(run, over)
            save()
            continue
        code = 128 - code if code < 0 else code
        # A launcher of several processes has an exit code of its own.
        return TERMINATED if over.is_set() and code not in _FINISHED else code


def _terminate(run: subprocess.Popen[bytes], over: Event) -> None:
    """Let all processes of the run save their step and end."""
    over.set()
    if run.poll() is None:
        os.killpg(run.pid, signal.SIGTERM)


def restore(volume: Path, runs: Path, name: str) -> Stamps:
    """Copy a run from the volume; the stamps of what is the same in both.

    Of a complete run whose copy was interrupted, the volume still has the folder that it was renamed from.
    """
    whole = (volume / name / _RECORD).is_file()
    copied: Stamps = {}
    for path in sorted(path for path in volume.rglob("*") if path.is_file()):
        relative = path.relative_to(volume)
        if (relative.parts[0] == name) == whole:
            (runs / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, runs / relative)
            copied[str(relative)] = _stamp(runs / relative)
        else:
            copied[str(relative)] = (-1, -1)
    return copied


def copy_changes(runs: Path, volume: Path, copied: Stamps, *, last: bool = False) -> None:
    """Make the volume like the folder: what is new or has changed is copied, then what is gone is deleted.

    The oldest files come first, and the record of a complete run last, so that the copy is always one to go on from. A
    file that is renamed meanwhile, or a volume that does not answer, is left to the next time; the `last` time it is an
    error.
    """
    try:
        present = {str(path.relative_to(runs)): _stamp(path) for path in _files(runs)}
        for name in sorted(present, key=lambda name: (Path(name).name == _RECORD, present[name][1])):
            if copied.get(name) != present[name]:
                (volume / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(runs / name, volume / name)
                copied[name] = present[name]
        for name in sorted(copied.keys() - present.keys()):
            (volume / name).unlink(missing_ok=True)
            del copied[name]
    except OSError as error:
        if last:
            raise
        if not isinstance(error, FileNotFoundError):
            print(f"hftransfer: the run is not copied to the volume now: {error}", file=sys.stderr, flush=True)


def _files(folder: Path) -> list[Path]:
    """The files below a folder but for those that are being written.

    Raises:
        OSError: a folder is renamed meanwhile.
    """
    found: list[Path] = []
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            found += _files(entry)
        elif not entry.name.endswith(".partial"):
            found.append(entry)
    return found


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
