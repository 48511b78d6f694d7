"""Folders that samples make once: checked by their hashes at every use, made by one process while others wait."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from hftransfer.core import ranks
from hftransfer.core.console import is_quiet
from hftransfer.core.errors import SampleError
from hftransfer.core.files import damaged_file, seal

_HASHES = "hftransfer-sha256.json"


def cached_folder(name: str, write: Callable[[Path], object]) -> Path:
    """A folder below `hftransfer` in the cache of `datasets`, made by `write` unless it is there undamaged.

    It appears under its name when it is complete. `name` ends in what `write` depends on, such as a version.
    """
    from datasets import config
    from filelock import FileLock

    folder = Path(config.HF_DATASETS_CACHE) / "hftransfer" / name
    if _is_whole(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not _is_whole(folder):
            partial = folder.with_name(f"{folder.name}.partial")
            for rest in (partial, folder):
                shutil.rmtree(rest, ignore_errors=True)
            partial.mkdir()
            try:
                write(partial)
                seal(partial, partial / _HASHES)
                partial.rename(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return folder


def _is_whole(folder: Path) -> bool:
    """Whether the folder is there with the files that were written; damage is reported."""
    if not folder.is_dir():
        return False
    hashes = folder / _HASHES
    damaged = damaged_file(folder, hashes) if hashes.is_file() else hashes.name
    if damaged is not None:
        ranks.warn(f"{folder / damaged} is damaged: the folder is made again")
    return damaged is None


def refuse_offline(needs: str) -> None:
    """Refuse to fetch anything where the user forbids it (HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE).

    Raises:
        SampleError: they do; the sentence begins with `needs`.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise SampleError(f"{needs}: the cache does not hold it, and HF_HUB_OFFLINE forbids to fetch it")


def announce(text: str) -> None:
    """Print what is about to be fetched, and how large it is."""
    if ranks.is_main() and not is_quiet():
        print(text, file=sys.stderr, flush=True)


def megabytes(size: int) -> str:
    """A number of bytes for a message."""
    return f"{max(1, round(size / 1e6)):,} MB"
