"""Whether the files of a checkpoint are whole, by their form: JSON objects, the headers of safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from hftransfer.core.errors import ModelError
from hftransfer.core.files import sha256

_INDEX = "model.safetensors.index.json"
# Files that hold an object; of others, a checkpoint may bring any.
_OBJECTS = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "adapter_config.json",
    _INDEX,
    "vocab.json",
    "tokenizer.json",
)
# Larger ones, those of vocabularies, are read where something has failed: they take a part of a second.
_LARGE = 2**20


def check_files(folder: Path, remedy: str = "copy the checkpoint again", *, every: bool = False) -> None:
    """Refuse a folder with a file that is damaged, or with an index that leads out of the folder.

    Large JSON files are read where `every` one is asked for. Files that are not there are not missed.

    Raises:
        ModelError: names the file and the remedy.
    """
    for file in (folder / name for name in _OBJECTS):
        if file.is_file() and (every or file.stat().st_size < _LARGE):
            fields = read_object(file, remedy)
            if file.name == _INDEX:
                _check_index(file, fields, remedy)
            if file.name == "tokenizer.json" and not isinstance(fields.get("model"), dict):
                raise ModelError(f"'{file}' is damaged, it holds no model of a tokenizer: {remedy}")
    for file in sorted(folder.glob("*.safetensors")):
        if reason := _fault(file):
            raise ModelError(f"'{file}' is damaged, {reason}: {remedy}")


def check_complete(folder: Path, remedy: str) -> None:
    """Refuse a folder in which the config or the weights of a model are missing, or a file is damaged.

    Raises:
        ModelError: names the file and the remedy.
    """
    for names in (("config.json",), ("model.safetensors", _INDEX)):
        if not any((folder / name).is_file() for name in names):
            raise ModelError(f"'{folder / names[0]}' is missing: {remedy}")
    check_files(folder, remedy)


def check_unchanged(folder: Path, hashes: Mapping[str, str], remedy: str) -> None:
    """Refuse files of weights that are not those which were written; the form of a file says nothing of its numbers.

    Raises:
        ModelError: names the file and the remedy.
    """
    for file, expected in ((folder / name, digest) for name, digest in hashes.items()):
        if file.is_file() and sha256(file) != expected:
            raise ModelError(f"'{file}' holds other weights than the run has scored: {remedy}")


def read_object(file: Path, remedy: str) -> dict[str, Any]:
    """The JSON object of a file.

    Raises:
        ModelError: names the file and the remedy.
    """
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"'{file}' is damaged, it is no JSON ({error}): {remedy}") from None
    if not isinstance(fields, dict):
        raise ModelError(f"'{file}' is damaged, it holds no JSON object: {remedy}")
    return fields


def _check_index(file: Path, fields: dict[str, Any], remedy: str) -> None:
    names = fields.get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise ModelError(f"'{file}' is damaged, it does not say which file holds which weights: {remedy}")
    for name in sorted(set(names.values())):
        place = PurePosixPath(name.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts:
            raise ModelError(f"'{file}' names '{name}', which is outside of the checkpoint's folder: it is not read")
        if not (file.parent / name).is_file():
            raise ModelError(f"'{file.parent / name}' is missing, a part of the weights: {remedy}")


def _fault(file: Path) -> str | None:
    """What is wrong with a safetensors file (https://github.com/huggingface/safetensors#format), without its data."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 + length:
            return f"its {size} bytes end within the header"
        try:
            header = json.loads(stream.read(length))
            ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
            expected = 8 + length + max(ends, default=0)
        except (ValueError, LookupError, AttributeError, TypeError):
            return "its header is none of safetensors"
    return None if size == expected else f"it has {size} bytes and should have {expected}"
