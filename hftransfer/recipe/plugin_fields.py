"""Recipe keys whose value is a plug-in: read from its name and fields, and written as them."""

import re
from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, SerializationInfo, WithJsonSchema

from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.core.plugins import Plugin
from hftransfer.recipe.training_arguments import Fields

_PLACES = {
    "tasks": re.compile(r"task"),
    "strategies": re.compile(r"strategy|compress\.\d+"),
    "sources": re.compile(r"(data|data\.items|evaluation\.source_task|evaluation\.source_task\.items)\.source"),
}
_PLUGIN_KIND = "x-plugin"


def plugin_kind(place: str) -> str | None:
    """The kind of the plug-in at a dotted place of a recipe (`data.source` -> sources); None for other places."""
    return next((kind for kind, pattern in _PLACES.items() if pattern.fullmatch(place)), None)


def _build(kind: str, value: object) -> Plugin:
    """A plug-in from `name` or from `{name: ..., field: ...}`."""
    if isinstance(value, Plugin):
        return value
    fields = {"name": value} if isinstance(value, str) else dict(value) if isinstance(value, dict) else {}
    name = fields.pop("name", None)
    if not isinstance(name, str):
        raise ValueError(f"expected a name, or a mapping with 'name'; {plugins.nearest(name, plugins.names(kind))}")
    try:
        plugin: Plugin = plugins.load(kind, name).model_validate(fields)
    except RecipeError as error:
        raise ValueError(str(error)) from None
    return plugin


def _dump(plugin: Plugin, info: SerializationInfo) -> Fields:
    return {"name": plugin.name, **plugin.model_dump(exclude_unset=bool(info.exclude_unset))}


def _annotations(kind: str) -> tuple[BeforeValidator, PlainSerializer, WithJsonSchema]:
    """How pydantic reads, writes and documents a plug-in of a kind."""
    placeholder = WithJsonSchema({_PLUGIN_KIND: kind})
    return BeforeValidator(partial(_build, kind)), PlainSerializer(_dump), placeholder


# Typed Any, since the base classes of plug-ins stand on higher floors than the recipe.
TaskField = Annotated[Any, *_annotations("tasks")]
StrategyField = Annotated[Any, *_annotations("strategies")]
SourceField = Annotated[Any, *_annotations("sources")]


def with_plugins(node: Any) -> Any:
    """A JSON schema in which every plug-in's placeholder is replaced by the plug-ins of its kind."""
    if isinstance(node, list):
        return [with_plugins(item) for item in node]
    if not isinstance(node, dict):
        return node
    if _PLUGIN_KIND not in node:
        return {key: with_plugins(value) for key, value in node.items()}
    description = {key: value for key, value in node.items() if key != _PLUGIN_KIND}
    return description | _plugin_schemas(node[_PLUGIN_KIND])


def _plugin_schemas(kind: str) -> Fields:
    """The JSON schema of a plug-in's section: its name, or one variant for each file of the kind."""
    variants = []
    for name in plugins.names(kind):
        schema = plugins.load(kind, name).model_json_schema()
        schema["properties"] = {"name": {"const": name}, **schema.get("properties", {})}
        schema["required"] = ["name", *schema.get("required", [])]
        variants.append(schema)
    return {"anyOf": [{"enum": plugins.names(kind)}, *variants]}
