"""Rows that are encoded in several processes, as `datasets` starts them: how many pay, and what they must not do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hftransfer.core.machine import release_pages, usable_cores

if TYPE_CHECKING:
    from datasets import Dataset

# Rows that are encoded at once; photos take megabytes each once they are decoded.
_BATCH, _BATCH_OF_FILES = 64, 16
# Images or recordings for which another process pays: a second of work, and it starts in a fraction of one.
_ROWS_PER_PROCESS = 256
# Rows after which the memory of those that were read is given back.
_RELEASED = 128


@dataclass(frozen=True)
class Releasing:
    """A function of batches of rows that gives back the memory of the files that they were read from."""

    function: Callable[[dict[str, Any]], dict[str, Any]]
    files: list[str]

    def __call__(self, batch: dict[str, Any], numbers: list[int]) -> dict[str, Any]:
        """What the function makes of the rows of these numbers."""
        if numbers[0] % _RELEASED == 0:
            release_pages(self.files)
        return self.function(batch)


def batch_size(rows: Dataset) -> int:
    """How many rows a process encodes at once."""
    return _BATCH_OF_FILES if _hold_files(rows) else _BATCH


def _hold_files(rows: Dataset) -> bool:
    """Whether the rows hold images or recordings."""
    from datasets import Audio, Image

    return any(isinstance(feature, Image | Audio) for feature in rows.features.values())


def processes(rows: Dataset, wanted: int | None) -> int | None:
    """How many processes encode rows; None for this one alone.

    As many as are wanted. Where nothing is wanted: as many as there are cores for images and recordings, where a
    process can be forked. Elsewhere it would import everything again, and a script without a main guard start over.
    """
    from multiprocess import get_all_start_methods, get_start_method

    count = wanted or 1
    forks = (get_start_method(allow_none=True) or get_all_start_methods()[0]) == "fork"
    if wanted is None and forks and _hold_files(rows):
        count = min(usable_cores(), len(rows) // _ROWS_PER_PROCESS)
    count = min(count, len(rows))
    return count if count > 1 else None


def use_one_thread() -> None:
    """To be called in a forked process: it lacks the threads that PyTorch counts on, and would wait for them."""
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)


def decode_images(rows: Dataset, description: str, num_proc: int | None) -> None:
    """Decode all images of rows that are encoded when they are read, by which those are found that are not whole.

    Raises:
        OSError, SyntaxError, ValueError: one is not.
    """
    from datasets import Image

    names = [name for name, feature in rows.features.items() if isinstance(feature, Image)]
    if names:
        images = rows.select_columns(names)
        images.map(
            _read, batched=True, batch_size=_BATCH_OF_FILES, num_proc=processes(images, num_proc), desc=description
        )


def _read(batch: dict[str, list[Any]]) -> None:
    """Decode the columns of a batch, which happens where they are asked for."""
    for name in list(batch):
        _ = batch[name]
