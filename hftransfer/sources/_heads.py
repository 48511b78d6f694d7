"""The first lines of large text files in files of their own: enough for a check, which would read gigabytes for it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from hftransfer.sources._archives import find_opener, is_zip

# Files with more bytes are cut to so many.
_LARGE, _HEAD = 100_000_000, 32_000_000


def head_of(file: str, encoding: str) -> str:
    """A file with the first 32 MB of lines of a large one; the file itself where it is not large, or packed."""
    import datasets

    path = Path(file)
    status = path.stat()
    # In other encodings a line does not end with the byte of a line feed.
    is_bytewise = not any(width in encoding for width in ("16", "32"))
    if status.st_size <= _LARGE or not is_bytewise or find_opener(path) or is_zip(path):
        return file
    key = hashlib.sha256(repr((str(path.absolute()), status.st_size, status.st_mtime_ns)).encode()).hexdigest()[:16]
    head = Path(datasets.config.HF_DATASETS_CACHE) / "hftransfer" / "heads" / key / path.name
    if not head.is_file():
        with path.open("rb") as stream:
            content = stream.read(_HEAD)
        if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\n" not in content:
            return file
        head.parent.mkdir(parents=True, exist_ok=True)
        partial = head.with_name(f"{os.getpid()}.partial")
        partial.write_bytes(content[: content.rindex(b"\n") + 1])
        partial.replace(head)
    return str(head)
