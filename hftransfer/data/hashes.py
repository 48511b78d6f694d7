"""The content of rows as hashes of 16 bytes each, one after another in one Arrow buffer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from pyarrow import FixedSizeBinaryArray

Hashes: TypeAlias = "FixedSizeBinaryArray"
"""A hash a row."""

SIZE = 16
"""Bytes of a hash. Of 10^12 rows with different contents, two have one hash with a probability of 10^-15."""

FINGERPRINT_VERSION = 2
"""Raised with each change of what a feature makes of a cell, or of how the cells of a row are hashed."""


def digest(contents: Iterable[bytes]) -> bytes:
    """The hash of a row's contents."""
    whole = hashlib.sha256()
    for content in contents:
        whole.update(content)
    return whole.digest()[:SIZE]


def as_hashes(buffer: bytes | bytearray) -> Hashes:
    """A buffer of hashes as an array."""
    import pyarrow

    data = pyarrow.py_buffer(buffer)
    hashes: Hashes = pyarrow.Array.from_buffers(pyarrow.binary(SIZE), data.size // SIZE, [None, data])
    return hashes


def count_distinct(hashes: Hashes) -> int:
    """How many different hashes there are; sorted, since a table of them would take ten times their bytes."""
    import numpy

    halves = numpy.frombuffer(hashes.buffers()[1], numpy.uint64).reshape(-1, 2)[hashes.offset :][: len(hashes)]
    ordered = halves[numpy.lexsort(halves.T)]
    return int((ordered[1:] != ordered[:-1]).any(axis=1).sum()) + (len(ordered) > 0)


def contained(hashes: Hashes, others: list[Hashes]) -> np.ndarray:
    """For each hash whether it is among the others."""
    import pyarrow
    import pyarrow.compute

    known = pyarrow.chunked_array(others, type=pyarrow.binary(SIZE))
    found: np.ndarray = pyarrow.compute.is_in(hashes, value_set=known).to_numpy(zero_copy_only=False)
    return found


def fingerprint(parts: Iterable[tuple[str, Hashes]]) -> str:
    """SHA-256 over names and hashes."""
    whole = hashlib.sha256()
    for name, hashes in parts:
        whole.update(f"{name} {len(hashes)}\n".encode())
        start = hashes.offset * SIZE
        whole.update(memoryview(hashes.buffers()[1])[start : start + len(hashes) * SIZE])
    return whole.hexdigest()
