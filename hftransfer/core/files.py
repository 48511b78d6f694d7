"""The files of a run: each appears under its name when it is complete, and is known by its hash to be undamaged."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hftransfer.core import ranks

Arrays = dict[str, np.ndarray]
T = TypeVar("T")


def hash_of(*parts: object) -> str:
    """SHA-256 of some values as JSON, hexadecimal; what JSON lacks counts as Python writes it."""
    return hashlib.sha256(json.dumps(parts, default=str, sort_keys=True).encode()).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a text file; it appears under its name when it is complete."""
    partial = _partial(path)
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file; it appears under its name when it is complete."""
    partial = _partial(path)
    partial.write_bytes(content)
    partial.replace(path)


def replace_bytes(path: Path, content: bytes) -> None:
    """Write a file that exists: it has its old content or its new one, and its rights; a link stays a link."""
    file = path.resolve()
    partial = _partial(file)
    try:
        partial.write_bytes(content)
        shutil.copymode(file, partial)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write an .npz file without pickles; it appears under its name when it is complete."""
    _write_arrays(_partial(path), arrays)
    _partial(path).replace(path)


def write_sealed(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file and, before it has its name, its hash next to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    write(partial)
    write_text(_hash_file(path), sha256(partial))
    partial.replace(path)


def is_whole(path: Path) -> bool:
    """Whether a sealed file is there, and is what was written; a damaged one is reported, to be computed again."""
    if not path.is_file():
        return False
    seal = _hash_file(path)
    if seal.is_file() and seal.read_bytes() == sha256(path).encode():
        return True
    ranks.warn(f"{path} is damaged and computed again")
    return False


def arrays_once(path: Path, compute: Callable[[], Arrays], *, alone: bool = False) -> Arrays:
    """The arrays of a file, computed unless it is there; all processes call this, the main one writes.

    With `alone` the main process computes, else all do, who may share the work.
    """
    _write_once(path, compute, _write_arrays, alone)
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def record_once(path: Path, compute: Callable[[], Any], *, alone: bool = False) -> Any:
    """As `arrays_once`, for a JSON value."""
    _write_once(path, compute, _write_json, alone)
    # Measurements differ between processes; all continue with those of the main one.
    return ranks.from_main(lambda: json.loads(path.read_text(encoding="utf-8")))


def _write_once(path: Path, compute: Callable[[], T], write: Callable[[Path, T], object], alone: bool) -> None:
    """Write a sealed file unless it is there, and whole."""

    def make() -> None:
        value = compute()
        if ranks.is_main():
            write_sealed(path, lambda partial: write(partial, value))

    if not ranks.from_main(lambda: is_whole(path)):
        if alone:
            ranks.from_main(make)
        else:
            make()
        ranks.wait()


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def _write_arrays(path: Path, arrays: Arrays) -> None:
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def flatten_outputs(outputs: Mapping[str, Arrays]) -> Arrays:
    """Outputs by split, or by variant, as one file holds them: `split.name` -> array."""
    return {f"{key}.{name}": array for key, arrays in outputs.items() for name, array in arrays.items()}


def nest_outputs(arrays: Mapping[str, np.ndarray]) -> dict[str, Arrays]:
    """The inverse of `flatten_outputs`."""
    outputs: dict[str, Arrays] = {}
    for key, array in arrays.items():
        first, _, name = key.rpartition(".")
        outputs.setdefault(first, {})[name] = array
    return outputs


def atomic_directory(path: Path, write: Callable[[Path], object]) -> None:
    """Write a directory unless it exists; it appears under its name when it is complete."""
    if path.is_dir():
        return
    partial = _partial(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write(partial)
    partial.rename(path)


def sha256(file: Path) -> str:
    """The hash of a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def seal(folder: Path, mark: Path, files: list[Path] | None = None) -> None:
    """Write the hashes of files in a folder, of all unless some are named, into a file, which may lie in it."""
    if files is None:
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path != mark)
    write_text(mark, json.dumps({path.relative_to(folder).as_posix(): sha256(path) for path in files}))


def damaged_file(folder: Path, mark: Path) -> str | None:
    """The first file of a sealed folder that is missing or has another content, else None."""
    try:
        hashes = dict(json.loads(mark.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        return mark.name
    for name, expected in hashes.items():
        path = folder / name
        if not path.is_file() or sha256(path) != expected:
            return str(name)
    return None


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def _hash_file(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
