"""What a name that a user writes is on the disk. `Path.is_file` raises for a name that no file can have (255 bytes)."""

import os
from pathlib import Path


def is_file(path: str | Path) -> bool:
    """Whether there is a regular file: a device or a pipe would be read for ever."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder."""
    return os.path.isdir(path)  # noqa: PTH112
