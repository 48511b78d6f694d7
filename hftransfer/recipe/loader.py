"""From a YAML file and `a.b=c` overrides to a Recipe, with file, line and dotted place in every error."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.core.plugins import Plugin
from hftransfer.recipe import catalog
from hftransfer.recipe.schema import Export, Recipe

_KINDS = {"task": "tasks", "strategy": "strategies", "data.source": "sources", "evaluation.source_task.source": "sources"}
_STEP = re.compile(r"compress\.\d+")


class _Yaml12(yaml.SafeLoader):
    """YAML 1.2 scalars: `no` and `on` stay words, `2e-5` is a number."""


_Yaml12.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if not tag.endswith((":bool", ":float", ":timestamp"))]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Yaml12.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:[Tt]rue|TRUE|[Ff]alse|FALSE)$"), list("tTfF"))
_Yaml12.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, and apply overrides such as `strategy.r=16`.

    `path` is a YAML file or the name of a packaged recipe (`quickstart`).

    Raises:
        RecipeError: the file cannot be read, or says something that is not allowed; one sentence for each place.
    """
    path = _recipe_file(Path(path))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"the recipe file '{path}' cannot be read as UTF-8 text: {error}") from None
    return parse_recipe(text, str(path), overrides)


def _recipe_file(path: Path) -> Path:
    """An existing file, or that of the packaged recipe with this name."""
    if path.is_file():
        return path
    if packaged := catalog.find_packaged(path.as_posix()):
        return packaged
    if path.is_dir():
        raise RecipeError(f"'{path}' is a directory; a recipe is a file")
    if path.suffix not in (".yaml", ".yml"):
        raise RecipeError(f"there is no recipe '{path}'; {catalog.nearest_packaged(path.as_posix())}")
    here = [str(p) for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
    alternatives = f"; {plugins.nearest(path, here)}" if here else ""
    raise RecipeError(f"there is no recipe file '{path}'{alternatives}")


def parse_recipe(text: str, origin: str = "recipe", overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe from its text; `origin` is the name that errors give it."""
    try:
        tree = yaml.compose(text, Loader=_Yaml12)
        lines: dict[str, int] = {}
        _note_lines(tree, "", lines, origin)
        raw = yaml.load(text, Loader=_Yaml12)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise RecipeError(f"{origin}:{line}: this is not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{origin}: this is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise RecipeError(f"{origin}: a recipe is a mapping with task, model and data")
    places = {key: f"{origin}:{line}" for key, line in lines.items()} | {"": origin}
    for override in overrides:
        raw = _override(raw, override)
        place = override.partition("=")[0]
        places = {key: it for key, it in places.items() if not key.startswith(f"{place}.")} | {place: "command line"}
    return _recipe(raw, places)


def from_record(recipe: dict[str, Any]) -> Recipe:
    """The recipe of a finished run, to do something with it that is neither training nor a push.

    Raises:
        RecipeError: another version wrote it, and this one knows some of it no more.
    """
    return _recipe(recipe | {"hub": None, "training": {}}, {"": "result.json"})


def _recipe(raw: dict[str, Any], places: dict[str, str]) -> Recipe:
    """The recipe that a mapping describes; `places` say where its keys are written."""
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(_sentences(error.errors(), raw, places)) from None


def parse_export(fields: Sequence[str], before: dict[str, Any] | None = None) -> Export:
    """The section `export` out of `key=value`; format and promise stay those of `before`, unless others are given.

    Raises:
        RecipeError: as `load_recipe`.
    """
    promise = ("format", "max_drop", "metric", "calibration")
    raw: dict[str, Any] = {"export": {key: before[key] for key in promise if key in before} if before else {}}
    for field in fields:
        raw = _override(raw, f"export.{field}")
    try:
        return Export.model_validate(raw["export"])
    except ValidationError as error:
        found = [ErrorDetails(**{**e, "loc": ("export", *e["loc"])}) for e in error.errors()]
        raise RecipeError(_sentences(found, raw, {"": "command line"})) from None


def _note_lines(node: yaml.Node | None, place: str, lines: dict[str, int], origin: str) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        dotted = f"{place}.{key.value}" if place else str(key.value)
        if dotted in lines:
            raise RecipeError(f"{origin}:{key.start_mark.line + 1}: '{dotted}' is written twice")
        lines[dotted] = key.start_mark.line + 1
        _note_lines(value, dotted, lines, origin)


def _override(raw: dict[str, Any], override: str) -> dict[str, Any]:
    dotted, equals, text = override.partition("=")
    if not equals or not dotted:
        raise RecipeError(f"an override is written key=value, for example strategy.r=16; got '{override}'")
    try:
        value = yaml.load(text, Loader=_Yaml12)
    except yaml.YAMLError:
        raise RecipeError(f"the value of the override '{override}' is not YAML") from None
    return _replaced(raw, dotted.split("."), "", value)


def _replaced(node: Any, keys: list[str], place: str, value: Any) -> dict[str, Any]:
    """A copy of a mapping with one value replaced.

    A plug-in that is written by its name alone becomes a mapping; another name drops the fields of the old one.
    """
    if isinstance(node, str) and place in _KINDS:
        node = {"name": node}
    if node is not None and not isinstance(node, dict):
        raise RecipeError(f"the override of '{place}.{keys[0]}' does not fit: '{place}' is {node!r}, not a mapping")
    key, rest = keys[0], keys[1:]
    below = f"{place}.{key}" if place else key
    old = dict(node or {})
    if key == "name" and place in _KINDS and old.get("name") != value:
        return {"name": value}
    return old | {key: _replaced(old.get(key), rest, below, value) if rest else value}


def _section(place: tuple[int | str, ...], raw: dict[str, Any]) -> list[str]:
    """The keys that are allowed at a place."""
    model: Any = Recipe
    value: Any = raw
    for depth, key in enumerate(place):
        if isinstance(value, list):
            value = dict(enumerate(value))
        value = value.get(key) if isinstance(value, dict) else None
        dotted = ".".join(str(k) for k in place[: depth + 1])
        if kind := "strategies" if _STEP.fullmatch(dotted) else _KINDS.get(dotted):
            name = value.get("name") if isinstance(value, dict) else value
            model = plugins.load(kind, str(name))
            continue
        annotation = model.model_fields[str(key)].annotation
        model = next((a for a in getattr(annotation, "__args__", ()) if hasattr(a, "model_fields")), annotation)
    fields = list(model.model_fields)
    return ["name", *fields] if issubclass(model, Plugin) else fields


def _sentences(errors: Sequence[ErrorDetails], raw: dict[str, Any], places: dict[str, str]) -> str:
    """A sentence for each place with something wrong, one alone where several kinds of value could stand."""
    found: dict[tuple[str, str], list[str]] = {}
    for error in errors:
        keys, value = _written(error, raw)
        dotted, place = ".".join(keys), _place(keys, places)
        text = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        text = text.replace("a valid integer", "a whole number").replace("a valid ", "a ")
        if error["type"] == "extra_forbidden":
            near = plugins.nearest(keys[-1], _section(error["loc"][:-1], raw))
            found[f"{place}: unknown key '{dotted}'; {near}", ""] = []
        elif error["type"] == "missing":
            found[f"{place}: '{dotted}' is missing; a recipe needs it", ""] = []
        elif error["type"] == "invalid_key":
            found[f"{place}: the key '{dotted}' should be a word", ""] = []
        elif error["type"] in ("value_error", "training"):
            found[f"{place}: {dotted + ': ' if dotted else ''}{text}", ""] = []
        else:
            if error["type"] == "model_type":
                text = f"a mapping of {', '.join(_section(error['loc'], raw))}"
            found.setdefault((f"{place}: '{dotted}' should be ", f", got {value!r}"), []).append(text)
    return "\n".join(start + " or ".join(dict.fromkeys(texts)) + end for (start, end), texts in found.items())


def _written(error: ErrorDetails, raw: Any) -> tuple[list[str], Any]:
    """The keys that lead to an error, behind which pydantic names kinds of values, and what a recipe has there."""
    if error["type"] in ("missing", "extra_forbidden"):
        return [str(key) for key in error["loc"]], None
    keys: list[str] = []
    for key in error["loc"]:
        inside = dict(enumerate(raw)) if isinstance(raw, list) else raw
        if not isinstance(inside, dict) or key not in inside:
            break
        keys, raw = [*keys, str(key)], inside[key]
    return keys, raw


def _place(keys: list[str], places: dict[str, str]) -> str:
    """Where the last of the keys is written, or what holds it."""
    return next(places[dotted] for n in range(len(keys), -1, -1) if (dotted := ".".join(keys[:n])) in places)
