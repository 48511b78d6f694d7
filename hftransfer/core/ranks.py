"""The processes of one run, as torchrun or `accelerate launch` start them: what one of them computes for all."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TypeVar, cast

from hftransfer.core.errors import HFTransferError, RecipeError

T = TypeVar("T")

_SECONDS_FOR_MAIN = 5
_SECONDS_TO_APPEAR = 10
# Whether the main process computes something for which it needs no other.
_alone = False


def is_main() -> bool:
    """Whether this is the process that prints and writes; of a run in one process, it is."""
    return total() == 1 or int(os.environ["RANK"]) == 0


def total() -> int:
    """Number of all processes of the run."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def place() -> tuple[int, int]:
    """Number of this process and of all that share the work at hand: 0 and 1 within `from_main`."""
    if _alone or total() == 1:
        return 0, 1
    from accelerate import PartialState

    return PartialState().process_index, PartialState().num_processes


def wait() -> None:
    """Wait until all processes are here."""
    if place()[1] > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()


@contextmanager
def main_first() -> Iterator[None]:
    """Let the main process do the block before the others, which find what it has written."""
    if not is_main():
        wait()
    yield
    if is_main():
        wait()


def from_main(compute: Callable[[], T]) -> T:
    """What `compute` gives in the main process; all processes call this, and get a copy.

    Raises:
        HFTransferError: the same error in all processes.
    """
    global _alone
    if place()[1] == 1:
        return compute()
    from accelerate.utils import broadcast_object_list

    shared: list[T | HFTransferError | None] = [None]
    if is_main():
        _alone = True
        try:
            shared = [compute()]
        except HFTransferError as error:
            shared = [error]
        finally:
            _alone = False
    (value,) = broadcast_object_list(shared)
    if isinstance(value, HFTransferError):
        raise value
    return cast(T, value)


def wait_for_file(file: Path) -> None:
    """Wait until the main process has written a file that is different each time, and all processes see it.

    Raises:
        RecipeError: a process runs on a machine that does not.
    """
    if place()[1] == 1:
        return
    from accelerate.utils import gather_object

    expected = from_main(file.read_text)
    for _ in range(_SECONDS_TO_APPEAR):
        if sees_it := file.is_file() and file.read_text() == expected:
            break
        # Network file systems show a new file after some seconds.
        time.sleep(1)
    blind = [number for number, sees in enumerate(gather_object([sees_it])) if not sees]
    if blind:
        raise RecipeError(
            f"--out: process {blind[0]} does not see '{file.parent}', which the main process has made; several "
            "machines need a folder on a disk that they share"
        )


@contextmanager
def main_prints() -> Iterator[None]:
    """Within the block, what other processes than the main one print on stdout is lost."""
    if is_main():
        yield
        return
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        yield


def leave_main_to_speak() -> None:
    """In other processes than the main one, wait before an error is printed.

    The main one most often fails for the same reason, and the launcher then ends this one.
    """
    if not is_main():
        time.sleep(_SECONDS_FOR_MAIN)


def warn(text: str) -> None:
    """Print a warning, once for all processes."""
    if is_main():
        print(f"hftransfer: warning: {text}", file=sys.stderr)
