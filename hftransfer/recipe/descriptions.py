"""A plug-in as `hftransfer list NAME` shows it: its fields, the roles of a task, the recipes that use it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from hftransfer.core import plugins
from hftransfer.core.plugins import Record, Section
from hftransfer.core.prefixes import SAMPLE
from hftransfer.recipe import catalog
from hftransfer.recipe.yaml_reader import read_yaml

# Where a recipe names a plug-in of each kind: dotted keys without the numbers of lists.
_PLACES = {
    "tasks": re.compile(r"task(\.name)?"),
    "strategies": re.compile(r"(strategy|compress)(\.name)?|evaluation\.baselines"),
    "sources": re.compile(r"(.*\.)?source(\.name)?"),
    "samples": re.compile(r"(.*\.)?source\.id"),
    "exporters": re.compile(r"export\.format"),
    "metrics": re.compile(r"evaluation\.metrics"),
}


class FieldDescription(Record):
    """A key of a plug-in's section."""

    name: str
    type: str
    default: Any = None
    required: bool
    description: str


class PluginDescription(Record):
    """What a plug-in is and takes."""

    kind: str
    name: str
    summary: str
    """The first line of its file."""
    description: str
    """Its class's docstring."""
    file: str
    facts: dict[str, str]
    """What its class declares: roles and metrics of a task, training defaults of a strategy, licence of a sample."""
    fields: list[FieldDescription]
    recipes: list[str]
    """Packaged recipes that use it, the shortest first."""


def describe(kind: str, name: str) -> PluginDescription:
    """Read a plug-in, whose module alone is imported."""
    cls = plugins.load(kind, name)
    return PluginDescription(
        kind=kind,
        name=name,
        summary=plugins.summary(kind, name),
        description=inspect.cleandoc(cls.__doc__ or ""),
        file=str(plugins.path(kind, name)),
        facts={key: text for key, text in _facts(cls).items() if text},
        fields=[_field(key, field) for key, field in cls.model_fields.items()],
        recipes=_recipes_with(kind, name),
    )


def type_name(annotation: object) -> str:
    """A type as Python writes it, the values of a Literal as they are: `'sum' | 'mean' | None`."""
    parts = get_args(annotation)
    if get_origin(annotation) is Literal:
        return " | ".join(map(repr, parts))
    if parts and str(get_origin(annotation)) in ("typing.Union", "<class 'types.UnionType'>"):
        return " | ".join(map(type_name, parts))
    if annotation is type(None):
        return "None"
    return inspect.formatannotation(annotation).replace("typing.", "")


def _field(name: str, field: FieldInfo) -> FieldDescription:
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    return FieldDescription(
        name=name,
        type=type_name(field.annotation),
        default=default.model_dump() if isinstance(default, Section) else default,
        required=field.is_required(),
        description=" ".join((field.description or "").split()),
    )


def _facts(cls: Any) -> dict[str, str]:
    """What classes of some kinds declare."""
    inputs, target = getattr(cls, "inputs", {}), getattr(cls, "target", None)
    roles = {**inputs, **(dict([target]) if target else {})}
    direction = {True: "lower", False: "higher", None: ""}[getattr(cls, "lower_is_better", None)]
    return {
        "roles of columns": ", ".join(
            f"{role} ({feature.name}{', optional' if feature.optional else ''})" for role, feature in roles.items()
        ),
        "metrics": ", ".join(getattr(cls, "metrics", [])),
        "Auto class": getattr(cls, "auto_model", ""),
        "not with": "; ".join(f"{name}: {reason}" for name, reason in getattr(cls, "refuses", {}).items()),
        "defaults of training": ", ".join(f"{key}: {value}" for key, value in getattr(cls, "training", {}).items()),
        "better": direction,
        "licence": getattr(cls, "license", ""),
        "provenance": getattr(cls, "provenance", ""),
        "known flaws": " ".join(getattr(cls, "flaws", ())),
        "needs": ", ".join(f"{package} (extra {extra})" for package, extra in cls.requires.items()),
    }


def _recipes_with(kind: str, name: str) -> list[str]:
    found = []
    for recipe, path in catalog.packaged_recipes().items():
        text = path.read_text(encoding="utf-8")
        # YAML is read only where the name occurs.
        if name in text and any(_names(kind, name, *entry) for entry in _entries(read_yaml(text, recipe)[0])):
            found.append((len(text), recipe))
    return [recipe for _, recipe in sorted(found)]


def _names(kind: str, name: str, place: str, value: object) -> bool:
    if kind == "samples" and value == f"{SAMPLE}{name}":
        return True
    return value == name and _PLACES[kind].fullmatch(place) is not None


def _entries(node: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Dotted key and value of everything that a recipe sets."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _entries(value, f"{place}.{key}" if place else str(key))
    elif isinstance(node, list):
        for value in node:
            yield from _entries(value, place)
    else:
        yield place, node
