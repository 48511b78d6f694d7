"""Packed files among those of a source: refused where they would fill memory and disk once they are unpacked."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from hftransfer.core.errors import DataError
from hftransfer.sources._listing import is_hidden

# Tables and texts are packed to a tenth; a file of zeros to a thousandth.
_MAX_RATIO = 100
_ALWAYS_ALLOWED = 100_000_000
_PART = 1 << 20


def _open_with_arrow(compression: str, path: Path | str) -> io.BufferedReader:
    import pyarrow

    return io.BufferedReader(pyarrow.input_stream(str(path), compression=compression))


_OPENERS: dict[bytes, Callable[[Path | str], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"\x28\xb5\x2f\xfd": partial(_open_with_arrow, "zstd"),
    b"\x04\x22\x4d\x18": partial(_open_with_arrow, "lz4"),
}
"""The first bytes of a file -> what unpacks it. Of a zip file its list of contents is enough."""


def most_unpacked(size: int) -> int:
    """Bytes that a packed file of a size may become."""
    return max(_ALWAYS_ALLOWED, _MAX_RATIO * size)


def check_unpacked(path: Path) -> None:
    """Refuse a packed file that becomes more than a hundred times as large.

    Raises:
        DataError: it does, or its end is missing.
    """
    status = path.stat()
    _check_unpacked(path, status.st_size, status.st_mtime_ns)


@cache
def _check_unpacked(path: Path, size: int, _modified: int) -> None:
    limit = most_unpacked(size)
    try:
        if _unpacked(path, limit) > limit:
            raise DataError(
                f"'{path}' has {size:,} bytes and more than {limit:,} once it is unpacked; if that is right, unpack it "
                "and name the unpacked file"
            )
    except (EOFError, OSError, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise DataError(f"'{path}' cannot be unpacked to its end: {error}") from None


def find_opener(path: Path) -> Any:
    """What unpacks a file, by its first bytes; None for one that is not packed, and for a zip file."""
    start = _start(path)
    return next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)


def is_zip(path: Path) -> bool:
    """Whether a file begins as a zip file does."""
    return _start(path).startswith(b"PK\x03\x04")


def zip_entries(path: Path) -> list[str]:
    """The files in a zip file, without folders and what macOS adds; none of a damaged one."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return []
    return [name for name in names if not name.endswith("/") and not any(map(is_hidden, name.split("/")))]


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(6)


def _unpacked(path: Path, limit: int) -> int:
    """The bytes that a file has once it is unpacked, counted until they exceed the limit; 0 if it is not packed."""
    opener = find_opener(path)
    if opener is None:
        if not is_zip(path):
            return 0
        with zipfile.ZipFile(path) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    count = 0
    with opener(path) as stream:
        while count <= limit and (part := stream.read(_PART)):
            count += len(part)
    return count
