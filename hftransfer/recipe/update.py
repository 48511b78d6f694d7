"""`hftransfer update`: a recipe of an earlier version in the words of this one, with its comments and its layout.

The text is edited where PyYAML says that a key or a value stands; nothing is written anew.
"""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from hftransfer.core import prefixes
from hftransfer.core.addresses import is_address
from hftransfer.core.errors import RecipeError, without_secrets
from hftransfer.core.files import replace_bytes
from hftransfer.core.paths import is_file
from hftransfer.core.plugins import Record
from hftransfer.recipe.entries import Entry, entries, visits
from hftransfer.recipe.extends import with_base
from hftransfer.recipe.loader import parse_recipe, recipe_file
from hftransfer.recipe.yaml_reader import compose, read_recipe_mapping, read_text

_QUOTES = ("'", '"')
_RECORD = "recipe.yaml"


class RecipeChange(Record):
    """A key that is written otherwise now."""

    line: int
    """Of the text before the changes."""
    text: str


class RecipeUpdate(Record):
    """What `hftransfer update` has found in a file."""

    file: Path
    changes: list[RecipeChange]
    diff: str
    """Unified, of the text before and after; empty where nothing changes."""
    problem: str | None
    """Why the text after the changes is no recipe, as `check` says it, with its lines; None where it is one."""
    written: bool
    """Whether the file has the changes."""


class _Edit(NamedTuple):
    """A part of the text that becomes another one."""

    start: int
    end: int
    text: str


def update(recipe: str | Path, *, write: bool = False) -> RecipeUpdate:
    """Bring a recipe of an earlier version up to date: keys and values that were renamed, and those that have gone.

    Comments, layout and everything else stay as they are. A key that `core.synonyms` knows as another word for one of
    its section becomes that one, too.

    Args:
        recipe: a YAML file, or the directory of a run, for its `recipe.yaml`.
        write: replace the file, if something changes; otherwise nothing is written.

    Raises:
        RecipeError: there is no such file, it is no YAML that a recipe may be, or it cannot be written.
    """
    file = _file(str(recipe))
    before = _text(file)
    after, changes = _updated(before, file)
    written = write and after != before
    if written and not os.access(file.resolve().parent, os.W_OK):
        raise RecipeError(f"update: '{file}' cannot be replaced: nothing can be written into its directory")
    problem = None
    try:
        parse_recipe(after, str(file), folder=file.parent)
    except RecipeError as error:
        problem = str(error)
    if written:
        replace_bytes(file, after.encode())
    return RecipeUpdate(file=file, changes=changes, diff=_diff(before, after, file), problem=problem, written=written)


def _file(name: str) -> Path:
    if is_address(name) or name.startswith(prefixes.HUB):
        raise RecipeError(f"update: '{name}' is no file of this machine; download it first")
    record = Path(name) / _RECORD
    return record if is_file(record) else recipe_file(Path(name))


def _text(file: Path) -> str:
    """The text as it is: Python would read every end of a line as a line feed."""
    read_text(file)
    return file.read_bytes().decode()


def _updated(text: str, file: Path) -> tuple[str, list[RecipeChange]]:
    """The text with all changes that can be made, and these."""
    raw, _ = with_base(*read_recipe_mapping(text, str(file)), file.parent)
    root = compose(text)
    # What stands at an anchor is changed where that is right wherever an alias repeats it.
    counts = visits(root)
    wanted: Counter[tuple[int, tuple[_Edit, ...]]] = Counter()
    found: dict[tuple[int, tuple[_Edit, ...]], RecipeChange] = {}
    for entry in entries(root, raw):
        edits = _edits(text, entry, counts)
        if edits:
            identity = (id(entry.key), edits)
            wanted[identity] += 1
            found.setdefault(identity, RecipeChange(line=entry.key.start_mark.line + 1, text=_sentence(entry)))
    made = [identity for identity, count in wanted.items() if count == counts[identity[0]]]
    for edit in sorted((edit for _, edits in made for edit in edits), reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text, sorted((found[identity] for identity in made), key=lambda change: change.line)


def _edits(text: str, entry: Entry, counts: Mapping[int, int]) -> tuple[_Edit, ...]:
    """How the text changes for an entry; not at all where it is written in a way that this cannot edit."""
    successor = entry.successor
    if successor is None:
        return ()
    edits: list[_Edit | None] = []
    if successor.key != entry.name:
        edits.append(_replacement(text, entry.key, successor.key) if successor.key else _removal(text, entry))
    if successor.value is not None:
        edits.append(_replacement(text, entry.value, successor.value))
    if successor.key is None or successor.value is not None:
        # An alias would lose, or change, what another key has as its value.
        edits += [None] * (counts[id(entry.value)] != counts[id(entry.key)])
    return tuple(edit for edit in edits if edit) if None not in edits else ()


def _replacement(text: str, node: yaml.Node, new: object) -> _Edit | None:
    """A scalar in another word, in the quotes that it has; None where it stands over several lines, or has a tag."""
    start, end = node.start_mark.index, node.end_mark.index
    for quote in ("", *_QUOTES):
        if text[start:end] == f"{quote}{node.value}{quote}":
            return _Edit(start, end, f"{quote}{new}{quote}" if isinstance(new, str) else str(new))
    return None


def _removal(text: str, entry: Entry) -> _Edit | None:
    """An entry that goes, with the comment on its line; None where it is all of a section, or shares its line."""
    start, end = entry.key.start_mark.index, entry.value.end_mark.index
    keys = [key for key, _ in entry.mapping.value]
    if not isinstance(entry.value, yaml.ScalarNode) or len(keys) == 1:
        return None
    if entry.mapping.flow_style:
        first = entry.key is keys[0]
        comma = (end, keys[1].start_mark.index) if first else (text.rfind(",", 0, start), start)
        edit = _Edit(min(start, comma[0]), max(end, comma[1]), "")
        return edit if text[slice(*comma)].strip() == "," else None
    line = _Edit(text.rfind("\n", 0, start) + 1, text.find("\n", end) + 1 or len(text), "")
    rest = text[end : line.end].strip()
    alone = not text[line.start : start].strip() and "\n" not in text[start:end] and rest[:1] in ("", "#")
    return line if alone else None


def _sentence(entry: Entry) -> str:
    successor, section = entry.successor, entry.place.rpartition(".")[0]
    assert successor is not None
    before, why = entry.place, successor.reason
    if successor.key is None:
        return f"'{before}' goes: {why}"
    after = f"{section}.{successor.key}" if section else successor.key
    if successor.value is not None:
        before, after = f"{before}: {entry.value.value}", f"{after}: {successor.value}"
    return f"'{before}' becomes '{after}': {why}"


def _diff(before: str, after: str, file: Path) -> str:
    old, new = (text.replace("\r\n", "\n").removesuffix("\n").split("\n") for text in (before, after))
    return without_secrets("\n".join(difflib.unified_diff(old, new, str(file), f"{file} (updated)", lineterm="")))
