"""Several runs at the same time, each in a process of its own with its share of the machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from hftransfer.choosing import run_process
from hftransfer.choosing.run_process import RunProcess
from hftransfer.core.machine import usable_cores
from hftransfer.core.progress import Progress

if TYPE_CHECKING:
    from hftransfer.choosing.grid import Combination

_SECONDS_BETWEEN_LOOKS = 0.1
_THREADS, _GPUS = "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"


def environments(jobs: int) -> list[dict[str, str]]:
    """For each of so many runs the variables that give it its share: of the threads, and one GPU by turns.

    One run alone has the whole machine.
    """
    if jobs == 1:
        return [{}]
    threads, wanted = max(1, usable_cores() // jobs), os.environ.get(_THREADS, "")
    if wanted.isdecimal():
        threads = max(1, min(threads, int(wanted)))
    gpus = _visible_gpus()
    return [{_THREADS: str(threads)} | ({_GPUS: gpus[number % len(gpus)]} if gpus else {}) for number in range(jobs)]


def _visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count = torch.cuda.device_count()
    named = [name for name in os.environ.get(_GPUS, "").split(",") if name.strip()]
    return (named or [str(number) for number in range(count)])[:count]


class ParallelRuns:
    """The runs that go on; those that still do when the block ends are stopped, and can be resumed."""

    def __init__(self, jobs: int) -> None:
        """Run at most so many at the same time."""
        self._shares = environments(jobs)
        self.running: dict[RunProcess, dict[str, str]] = {}

    def __enter__(self) -> ParallelRuns:
        """Nothing runs yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what still runs: all are asked first, so that they save their steps at the same time."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait()

    @property
    def has_room(self) -> bool:
        """Whether another run may start."""
        return bool(self._shares)

    def start(self, combination: Combination, folder: Path, environment: Mapping[str, str]) -> RunProcess:
        """Start a run in a free share of the machine, with more variables."""
        share = self._shares.pop(0)
        process = run_process.start(combination.base.name, combination.overrides, folder, {**share, **environment})
        self.running[process] = share
        return process

    def wait(self, look: Callable[[], None] = lambda: None) -> list[RunProcess]:
        """The runs whose process is gone, once there are some; their shares are free. Until then `look` is called."""
        while not (ended := [process for process in self.running if process.has_ended()]):
            look()
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        self._shares += [self.running.pop(process) for process in ended]
        return ended


def run_together(runs: Sequence[tuple[Combination, Path, Mapping[str, str]]], jobs: int) -> None:
    """Run combinations in their folders, with more variables of the environment, so many at a time.

    Raises:
        RecipeError, RunError: as `RunProcess.check`, of the first run that fails; the others are stopped.
    """
    waiting = [*runs]
    with Progress(runs, desc="runs", unit="run", disable=not runs) as progress, ParallelRuns(jobs) as parallel:
        while waiting or parallel.running:
            while waiting and parallel.has_room:
                parallel.start(*waiting.pop(0))
            for process in parallel.wait():
                process.check()
                progress.update()
