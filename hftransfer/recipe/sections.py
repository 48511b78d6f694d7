"""Which class describes a place of a recipe, and by which name `recipe.changes` knows it."""

from __future__ import annotations

from typing import Any

from hftransfer.core import plugins
from hftransfer.core.plugins import Plugin, Section
from hftransfer.recipe.plugin_fields import plugin_kind


def section_below(section: Any, key: int | str, dotted: str, value: object) -> Any:
    """The class of a key's value, or its annotation where that is no section.

    Args:
        section: the class, or the annotation, that has the key.
        key: of the recipe.
        dotted: where it stands.
        value: what is written there: a plug-in is known by its name.

    Raises:
        RecipeError: there is no plug-in of this name.
    """
    if kind := plugin_kind(dotted):
        name = value.get("name") if isinstance(value, dict) else value
        return plugins.load(kind, str(name))
    annotation = section.model_fields[str(key)].annotation
    # `Export | None` -> `Export`.
    members = [member for member in getattr(annotation, "__args__", ()) if hasattr(member, "model_fields")]
    return members[0] if members else annotation


def allowed_keys(section: type[Section]) -> list[str]:
    """The keys of a section, with the name of a plug-in."""
    fields = list(section.model_fields)
    return ["name", *fields] if issubclass(section, Plugin) else fields


def section_name(section: type[Section]) -> str:
    """`evaluation`, or `strategies/prune`."""
    if issubclass(section, Plugin):
        kind, stem = section.__module__.split(".")[-2:]
        return f"{kind}/{plugins.plugin_name(kind, stem)}"
    return section.__name__.lower()
