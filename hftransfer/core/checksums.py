"""Whether the files of a folder are still those that were written: a list of their SHA-256, kept next to them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def sha256(file: Path) -> str:
    """Of a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def seal(folder: Path, mark: Path) -> None:
    """Write the hashes of all files in a folder into a file, which may lie in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != mark)
    partial = mark.with_name(mark.name + ".partial")
    partial.write_text(json.dumps({path.relative_to(folder).as_posix(): sha256(path) for path in files}))
    partial.replace(mark)


def damaged_file(folder: Path, mark: Path) -> str | None:
    """The first file of a sealed folder that is missing or has another content, else None."""
    try:
        hashes = dict(json.loads(mark.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return mark.name
    for name, expected in hashes.items():
        path = folder / name
        if not path.is_file() or sha256(path) != expected:
            return str(name)
    return None
