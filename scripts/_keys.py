"""Every key of a recipe, its default and its meaning, from the classes themselves; `scripts/docs` writes the page."""

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from hftransfer.core import plugins
from hftransfer.core.plugins import Section
from hftransfer.recipe.schema import Data, Evaluation, Export, Hub, Model, Recipe, Splits

PAGE = Path(__file__).parent.parent / "docs" / "recipe.md"
_SECTIONS = {
    "model": Model,
    "data": Data,
    "data.splits": Splits,
    "evaluation": Evaluation,
    "export": Export,
    "hub": Hub,
}
_KINDS = {"task": "tasks", "strategy": "strategies", "data.source": "sources"}
_HEAD = """# What a recipe may say

A recipe is one YAML file; any key of it can be given behind a command too, `data.shots=8`. What is left out has the
default that stands here, and a run writes all of them into its own `recipe.yaml`. `hftransfer list --schema` says the
same to an editor. This page is written by `scripts/docs`.
"""


def page() -> str:
    """The whole of docs/recipe.md."""
    parts = [f"## The recipe\n\n{_table(Recipe)}"]
    parts += [f"## `{place}:`\n\n{cls.__doc__}\n\n{_table(cls)}" for place, cls in _SECTIONS.items()]
    for place, kind in _KINDS.items():
        parts.append(f"## `{place}:`\n\nA name alone, or `{{name: ..., key: ...}}` with keys of its own.")
        parts += [_plugin(kind, name) for name in plugins.names(kind)]
    return "\n\n".join([_HEAD.rstrip(), *parts]) + "\n"


def _plugin(kind: str, name: str) -> str:
    cls = plugins.load(kind, name)
    trained = ", ".join(f"{key}: {value}" for key, value in getattr(cls, "training", {}).items())
    lines = [f"### {name}", plugins.summary(kind, name)]
    if kind == "tasks":
        roles = (f"`{role}`" + (" (optional)" if role in cls.optional else "") for role in cls.columns)
        lines.append(f"Roles of columns: {', '.join(roles)}.")
    if trained:
        lines.append(f"`training:` unless the recipe says otherwise: {trained}.")
    return "\n\n".join([*lines, *([_table(cls)] if cls.model_fields else [])])


def _table(cls: type[Section]) -> str:
    rows = [("key", "default", "what it is"), ("---",) * 3]
    for name, field in cls.model_fields.items():
        default = "needed" if field.is_required() else _default(field)
        rows.append(
            (f"`{name}`", default, f"{' '.join((field.description or '').split())}{_choices(field.annotation)}")
        )
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    return (
        ""
        if value is None or isinstance(value, Section)
        else f"`{str(value).lower() if value is True or value is False else value}`"
    )


def _choices(annotation: Any) -> str:
    """The words that are allowed, where they are few."""
    found = [annotation, *get_args(annotation)]
    words = [word for part in found if get_origin(part) is Literal for word in get_args(part)]
    return f" One of {', '.join(f'`{word}`' for word in words)}." if words else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
