"""SIGTERM, by which schedulers and spot machines end a job: a run stops, a training once its step is saved."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from hftransfer.core.ranks import is_main


class Terminated(BaseException):
    """SIGTERM, as KeyboardInterrupt is SIGINT."""


def interruption_of(error: BaseException) -> KeyboardInterrupt | Terminated | None:
    """The Ctrl-C or SIGTERM that an error hides: what is stopped in the middle may fail while it cleans up.

    PyTorch, stopped while it traces a model, raises a RuntimeError of its own.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt | Terminated):
        cause = cause.__cause__ or cause.__context__
    return cause


def explain(end: BaseException, *, resumable: bool) -> int:
    """Print how a command has ended by a signal; the exit code that a shell reports of such a command."""
    how, number = (
        ("interrupted", signal.SIGINT) if isinstance(end, KeyboardInterrupt) else ("terminated", signal.SIGTERM)
    )
    if is_main():
        remedy = "; the same command with --resume continues" if resumable else ""
        print(f"\nhftransfer: {how}{remedy}", file=sys.stderr)
    return 128 + number


class _Signals:
    """What the handler has seen in this process."""

    main_process = 0
    received = False
    deferred = False


@contextmanager
def handled_sigterm() -> Iterator[None]:
    """Within the block SIGTERM raises `Terminated`, unless `deferred_sigterm` puts it off."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Signals.main_process, _Signals.received = os.getpid(), False
    before = signal.signal(signal.SIGTERM, _handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def deferred_sigterm() -> Iterator[None]:
    """Within the block the first SIGTERM is only noted, for `has_sigterm`; at its end `Terminated` is raised.

    What fails after the signal, such as another process of the training that is gone, fails because of it.
    """
    _Signals.deferred = True
    try:
        yield
    finally:
        _Signals.deferred = False
        # In a `finally`, so that it takes the place of such an error.
        if _Signals.received:
            raise Terminated


def has_sigterm() -> bool:
    """Whether this process got SIGTERM in the current block of `deferred_sigterm`."""
    return _Signals.received


def _spare_workers() -> None:
    """Leave SIGTERM pending in a process that a training forks to read its rows.

    Schedulers signal all processes of a job, and a step needs its workers until it is saved: they end with it.
    """
    if _Signals.deferred:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


os.register_at_fork(after_in_child=_spare_workers)


def _handle(number: int, _frame: FrameType | None) -> None:
    if os.getpid() != _Signals.main_process:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    elif _Signals.deferred and not _Signals.received:
        _Signals.received = True
        if is_main():
            print("hftransfer: SIGTERM, the step is saved first", file=sys.stderr, flush=True)
    else:
        raise Terminated
