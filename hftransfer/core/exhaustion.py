"""A full disk and memory that does not suffice, which every library reports in its own way: explained in a sentence."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hftransfer.core.errors import DiskFullError, HFTransferError, MemoryShortError

_CODES = {errno.ENOSPC, errno.EDQUOT}
# What libraries of other languages make of these codes.
_TEXTS = ("No space left on device", "Disk quota exceeded", "os error 28", "os error 122")
# Of PyTorch on accelerators and on the CPU, and of ONNX Runtime; NumPy and Arrow raise a MemoryError.
_MEMORY_TEXTS = ("out of memory", "can't allocate memory", "Failed to allocate memory", "bad allocation")
_ACCELERATORS = ("CUDA", "HIP", "MPS", "XPU", "NPU")
_LESS_MEMORY = (
    "these take less, in this order: a smaller training.per_device_train_batch_size with more "
    "training.gradient_accumulation_steps, a smaller evaluation.batch_size, training.bf16, "
    "training.gradient_checkpointing, strategy lora, shorter texts or smaller images"
)
_PROBE_BYTES = 2**16


class _Explained:
    """A context manager, since an `except` clause would have to name the errors of all libraries."""

    def __init__(self, out: Path | None) -> None:
        self.out = out

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, HFTransferError):
            return
        if (short := _short_memory(error)) is not None:
            raise MemoryShortError(f"out of memory on {short}; {_LESS_MEMORY}") from None
        place = _full_place(error, self.out)
        if place is not None:
            remedy = "; free some, then the same command with --resume continues" if self.out is not None else ""
            raise DiskFullError(f"no space left on the disk of '{place}'{remedy}") from None


def exhaustion_explained(out: Path | None = None) -> _Explained:
    """Within the block, errors because of a full disk become a DiskFullError, and of memory a MemoryShortError.

    `out` is the folder of a run.
    """
    return _Explained(out)


def _short_memory(error: BaseException) -> str | None:
    """Which memory does not suffice, if that is why something failed."""
    for cause in _causes(error):
        text = str(cause)
        if isinstance(cause, MemoryError) or (
            isinstance(cause, RuntimeError) and any(it in text for it in _MEMORY_TEXTS)
        ):
            return "the accelerator" if any(it in text for it in _ACCELERATORS) else "this machine"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it was raised from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _full_place(error: BaseException, out: Path | None) -> Path | str | None:
    """Where the disk is full, if that is why something failed."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in _CODES:
            return cause.filename or out or "the files"
        if any(text in str(cause) for text in _TEXTS):
            return out or "the files"
    # PyTorch says no more than that its writer failed.
    return out if out is not None and _is_full(out) else None


def _is_full(out: Path) -> bool:
    """Whether nothing can be written next to a run."""
    place = next(parent for parent in out.absolute().parents if parent.is_dir())
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(_PROBE_BYTES))
    except OSError as error:
        return error.errno in _CODES
    return False
