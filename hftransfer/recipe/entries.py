"""The keys that a recipe file writes in sections whose keys are known, and by what each is replaced in this version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from hftransfer.core import synonyms
from hftransfer.core.errors import RecipeError
from hftransfer.recipe.changes import Change, changes_of
from hftransfer.recipe.plugin_fields import plugin_kind
from hftransfer.recipe.schema import Recipe
from hftransfer.recipe.sections import allowed_keys, section_below, section_name
from hftransfer.recipe.training_arguments import training_keys
from hftransfer.recipe.yaml_reader import is_merge, scalar_value

_TRAINING = "training"


class Successor(NamedTuple):
    """What stands for an entry in this version."""

    key: str | None
    """None: the entry goes."""
    value: object | None
    """None: the value stays."""
    reason: str


class Entry(NamedTuple):
    """A key with its value, as the file has them."""

    key: yaml.ScalarNode
    value: yaml.Node
    mapping: yaml.MappingNode
    place: str
    """Dotted; what stands above it is called as in this version."""
    successor: Successor | None

    @property
    def name(self) -> str:
        """The key as it is written."""
        return str(self.key.value)


class _Section(NamedTuple):
    """A mapping whose keys are known."""

    name: str
    """As `recipe.changes` has it."""
    place: str
    allowed: frozenset[str]
    cls: Any
    """None for the section `training`."""


def visits(node: yaml.Node) -> Counter[int]:
    """How often each node, by its `id`, stands in the recipe: more than once where aliases repeat it."""
    counts: Counter[int] = Counter()
    waiting = [node]
    while waiting:
        current = waiting.pop()
        counts[id(current)] += 1
        if isinstance(current, yaml.MappingNode):
            waiting += [part for entry in current.value for part in entry]
        elif isinstance(current, yaml.SequenceNode):
            waiting += current.value
    return counts


def entries(root: yaml.Node, raw: object) -> Iterator[Entry]:
    """Every key of a file that stands in a section whose keys are known.

    Args:
        root: the file.
        raw: the recipe, with what it extends: it has the names of the plug-ins.
    """
    yield from _walk(root, Recipe, "", raw)


def _walk(node: yaml.Node, cls: Any, place: str, raw: object) -> Iterator[Entry]:
    if isinstance(node, yaml.SequenceNode):
        values = raw if isinstance(raw, list) else []
        for number, (item, value) in enumerate(zip(node.value, values, strict=False)):
            below = f"{place}.{number}"
            yield from _walk(item, _class_below(cls, number, below, value), below, value)
    elif isinstance(node, yaml.MappingNode) and (section := _section(cls, place)):
        yield from _mapping(node, section, raw if isinstance(raw, dict) else {})


def _mapping(node: yaml.MappingNode, section: _Section, raw: dict[str, object]) -> Iterator[Entry]:
    written = {str(key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)}
    for key, value in node.value:
        if is_merge(key):
            for base in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                yield from _mapping(base, section, raw)
            continue
        if not isinstance(key, yaml.ScalarNode):
            continue
        successor = _successor(section, key.value, value, written)
        name = successor.key if successor and successor.key else key.value
        written.add(name)
        dotted, below = (f"{section.place}.{it}" if section.place else it for it in (key.value, name))
        yield Entry(key, value, node, dotted, successor)
        yield from _walk(value, _class_below(section.cls, name, below, raw.get(key.value)), below, raw.get(key.value))


def _section(cls: Any, place: str) -> _Section | None:
    if place == _TRAINING:
        return _Section(_TRAINING, place, frozenset(training_keys()), None)
    if not hasattr(cls, "model_fields"):
        return None
    return _Section(section_name(cls), place, frozenset(allowed_keys(cls)), cls)


def _class_below(cls: Any, key: int | str, dotted: str, value: object) -> Any:
    """As `section_below`; None where nothing describes what stands there."""
    if plugin_kind(dotted) is None and key not in getattr(cls, "model_fields", {}):
        return None
    try:
        return section_below(cls, key, dotted, value)
    except RecipeError:
        return None


def _successor(section: _Section, key: str, value: yaml.Node, written: set[str]) -> Successor | None:
    for change in changes_of(section.name, key):
        if successor := _changed(change, section, value, written):
            return successor
    if key in section.allowed:
        return None
    right = _right_word(key, section) - written
    return Successor(right.pop(), None, "another word for it") if len(right) == 1 else None


def _changed(change: Change, section: _Section, value: yaml.Node, written: set[str]) -> Successor | None:
    """What a change makes of an entry; None where the installed version has the old key, or lacks the new one."""
    if change.key in section.allowed and change.new_key != change.key:
        return None
    if change.new_key is None:
        return Successor(None, None, f"{change.reason} (since {change.since})")
    if change.new_key not in section.allowed or change.new_key in written - {change.key}:
        return None
    old = scalar_value(value) if isinstance(value, yaml.ScalarNode) else value
    try:
        new = change.value(old)
    except (LookupError, TypeError):
        return None
    if change.new_key == change.key and new == old:
        return None
    return Successor(change.new_key, None if new is old else new, f"since {change.since}")


def _right_word(word: str, section: _Section) -> set[str]:
    """The keys of a section that a word stands for elsewhere."""
    found = set()
    for right in synonyms.KEYS.get(word.lower().replace("-", "_"), ()):
        place, _, last = right.rpartition(".")
        if last in section.allowed and place in ("", section.place):
            found.add(last)
    return found
