"""The command in a process of its own, which can be killed.

It is forked from a process that has imported what is large, in which no thread runs: a third of the time of a start
from nothing.
"""

import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

from hftransfer.core.errors import RunError

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["transformers.trainer", "datasets", "peft", "sklearn.metrics", "matplotlib.figure", "optimum.onnxruntime",
     "hftransfer.cli", "hftransfer.runner.pipeline"]
)  # fmt: skip
TEST_FORKS = multiprocessing.get_context("fork")


def start(*arguments: str) -> multiprocessing.Process:
    """`hftransfer ARGUMENTS`, begun; what it prints is in a file, and lost where nobody asks for it."""
    process = _FORKS.Process(target=_main, args=(arguments,))
    process.start()
    return process


class ForkedRun:
    """As `RunProcess`, but forked from the test, which has imported what a tiny run needs.

    At the barriers the next runs wait for others before they begin.
    """

    barriers: list = []

    def __init__(self, recipe, overrides, folder, environment=None):
        words = ["run", recipe, *overrides, "--out", str(folder), "--resume"]
        barrier = self.barriers.pop(0) if self.barriers else None
        self.process = TEST_FORKS.Process(target=_main, args=(words, environment, barrier))
        self.process.start()

    def has_ended(self):
        return not self.process.is_alive()

    def terminate(self):
        self.process.terminate()

    def wait(self):
        self.process.join()

    def check(self):
        if self.process.exitcode != 0:
            raise RunError(f"exit code {self.process.exitcode}")


def finish(*arguments: str) -> int:
    """The exit code of `hftransfer ARGUMENTS`; where that is of no rule, its last words are printed."""
    process = start(*arguments)
    process.join()
    if process.exitcode == 1:
        print(_printed(process.pid).read_text(encoding="utf-8", errors="replace")[-5000:])
    return process.exitcode


def kill_when(command: list[str], path: Path, pattern: str) -> int:
    """Start the command and kill it as soon as a file of the pattern is there."""
    process = start(*command)
    while process.is_alive():
        if list(path.glob(pattern)):
            process.kill()
            break
        time.sleep(0.002)
    process.join()
    return process.exitcode


def _printed(pid: int) -> Path:
    """What a process prints."""
    return Path(tempfile.gettempdir(), f"hftransfer-tests-{pid}.txt")


def _main(arguments, environment=None, barrier=None) -> None:
    os.environ.update(environment or {})
    if barrier is not None:
        barrier.wait(20)
    from hftransfer.cli import main
    from hftransfer.core import energy

    # What it finds out about the machine takes two seconds in each process.
    energy._tracker = lambda: None
    file = _printed(os.getpid())
    printed = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(printed, stream)
    code = main(list(arguments))
    file.unlink()
    sys.exit(code)
