"""Reading a recipe: a YAML file and overrides such as `strategy.r=16`; errors name file, line and dotted key."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.core.paths import is_file, is_folder
from hftransfer.recipe import catalog
from hftransfer.recipe.extends import with_base
from hftransfer.recipe.messages import sentences
from hftransfer.recipe.plugin_fields import plugin_kind
from hftransfer.recipe.schema import Export, Recipe
from hftransfer.recipe.training_arguments import Fields
from hftransfer.recipe.yaml_reader import read_recipe_mapping, read_text, read_yaml

# What stands for the seed in a text of a recipe.
_SEED = "{seed}"
# Keys of `export` that a new export takes over from the earlier one of the run.
_TAKEN_OVER = ("format", "max_drop", "metric", "calibration")


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, and apply overrides such as `strategy.r=16`.

    `path` is a YAML file or the name of a packaged recipe (`quickstart`).

    Raises:
        RecipeError: the file cannot be read, or is not a valid recipe; one line for each mistake.
    """
    path = recipe_file(Path(path))
    return parse_recipe(read_text(path), str(path), overrides, path.parent)


def recipe_file(path: Path) -> Path:
    """An existing file, or that of the packaged recipe with this name.

    Raises:
        RecipeError: there is neither.
    """
    if is_file(path):
        return path
    if packaged := catalog.find_packaged(path.as_posix()):
        return packaged
    if is_folder(path):
        raise RecipeError(f"'{path}' is a directory; a recipe is a file")
    if path.suffix not in (".yaml", ".yml"):
        raise RecipeError(f"there is no recipe '{path}'; {catalog.nearest_packaged(path.as_posix())}")
    files = [str(file) for file in path.parent.glob("*.yaml")] if is_folder(path.parent) else []
    hint = f"; {plugins.nearest(path, files)}" if files else ""
    raise RecipeError(f"there is no recipe file '{path}'{hint}")


def parse_recipe(
    text: str, origin: str = "recipe", overrides: Sequence[str] = (), folder: Path | None = None
) -> Recipe:
    """Read a recipe from its text, which errors call `origin`; it may extend another one if it is a file in `folder`.

    Raises:
        RecipeError: as `load_recipe`.
    """
    raw, places = with_base(*read_recipe_mapping(text, origin), folder)
    for override in overrides:
        raw = _with_override(raw, override)
        overridden = override.partition("=")[0]
        places = {key: place for key, place in places.items() if not key.startswith(f"{overridden}.")}
        places[overridden] = "command line"
    return _validated(_with_seed(raw, raw.get("seed", 0)), places)


def from_record(recipe: Fields, *, training: bool = False) -> Recipe:
    """The recipe of a finished run, to use its model: without `hub` and, unless it is asked for, without `training`.

    Raises:
        RecipeError: another version of hftransfer wrote it, with keys that this version does not have.
    """
    without: Fields = {"hub": None} if training else {"hub": None, "training": {}}
    return _validated(recipe | without, {"": "result.json"})


def _validated(raw: Fields, places: dict[str, str]) -> Recipe:
    """A mapping as a recipe; `places` map dotted keys to where they are written."""
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(sentences(error.errors(), raw, places, Recipe)) from None


def parse_export(fields: Sequence[str], previous: Fields | None = None) -> Export:
    """The section `export` from `key=value` fields; format and gate are those of `previous` where none are given.

    Raises:
        RecipeError: as `load_recipe`.
    """
    raw: Fields = {"export": {key: value for key, value in (previous or {}).items() if key in _TAKEN_OVER}}
    for field in fields:
        raw = _with_override(raw, f"export.{field}")
    try:
        return Export.model_validate(raw["export"])
    except ValidationError as error:
        errors = [ErrorDetails(**{**details, "loc": ("export", *details["loc"])}) for details in error.errors()]
        raise RecipeError(sentences(errors, raw, {"": "command line"}, Recipe)) from None


def _with_seed(node: object, seed: object) -> Any:
    """What YAML holds, the seed in place of `{seed}` in its texts."""
    if isinstance(node, dict):
        return {key: _with_seed(value, seed) for key, value in node.items()}
    if isinstance(node, list):
        return [_with_seed(value, seed) for value in node]
    return node.replace(_SEED, str(seed)) if isinstance(node, str) else node


def _with_override(raw: Fields, override: str) -> Fields:
    """The recipe with one value replaced, from `a.b=value`, the value in YAML.

    Raises:
        RecipeError: the override is not written so, or its place is within a value that is no mapping.
    """
    dotted, equals, text = override.partition("=")
    if not equals or not dotted:
        raise RecipeError(f"an override is written key=value, for example strategy.r=16; got '{override}'")
    value, _ = read_yaml(text, f"override {dotted}")
    return _replaced(raw, dotted.split("."), "", value)


def _replaced(node: object, keys: list[str], place: str, value: object) -> Fields:
    """A copy of a mapping with one value replaced.

    A plug-in that is written by its name alone becomes a mapping; a new name drops the fields of the old plug-in.
    """
    is_plugin = plugin_kind(place) is not None
    if isinstance(node, str) and is_plugin:
        node = {"name": node}
    if node is not None and not isinstance(node, dict):
        raise RecipeError(f"the override of '{place}.{keys[0]}' does not fit: '{place}' is {node!r}, not a mapping")
    key, deeper = keys[0], keys[1:]
    below = f"{place}.{key}" if place else key
    previous = dict(node or {})
    if key == "name" and is_plugin and previous.get("name") != value:
        return {"name": value}
    return previous | {key: _replaced(previous.get(key), deeper, below, value) if deeper else value}
