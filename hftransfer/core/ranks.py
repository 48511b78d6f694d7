"""The processes of one run, as torchrun or `accelerate launch` start them: what one of them computes for all."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar, cast

from hftransfer.core.errors import HFTransferError

T = TypeVar("T")


def is_main() -> bool:
    """Whether this is the process that prints and writes; of a run in one process, it is."""
    return int(os.environ.get("RANK", "0")) == 0


def from_main(compute: Callable[[], T]) -> T:
    """What `compute` gives in the main process; all processes call this, and get a copy.

    Raises:
        HFTransferError: the same error in all processes.
    """
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    state = PartialState()
    if state.num_processes == 1:
        return compute()
    shared: list[T | HFTransferError | None] = [None]
    if state.is_main_process:
        try:
            shared = [compute()]
        except HFTransferError as error:
            shared = [error]
    (value,) = broadcast_object_list(shared)
    if isinstance(value, HFTransferError):
        raise value
    return cast(T, value)
