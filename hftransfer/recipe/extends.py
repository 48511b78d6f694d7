"""`extends: other.yaml`: a recipe that says only what it changes in another one."""

from __future__ import annotations

from pathlib import Path

from hftransfer.core.errors import RecipeError
from hftransfer.core.paths import is_file
from hftransfer.recipe import catalog
from hftransfer.recipe.plugin_fields import plugin_kind
from hftransfer.recipe.training_arguments import Fields
from hftransfer.recipe.yaml_reader import read_recipe_mapping, read_text

KEY = "extends"
DESCRIPTION = (
    "Another recipe, which this one changes: a file next to this one, or the name of a packaged recipe. Sections are "
    "merged key by key; a plug-in with another name takes the place of the other and its fields; null takes a section "
    "away. The other recipe extends none."
)


def with_base(raw: Fields, places: dict[str, str], folder: Path | None) -> tuple[Fields, dict[str, str]]:
    """A recipe with what it takes over from the one that it extends, and where each key is written.

    Args:
        raw: what the file holds.
        places: dotted key -> where it is written.
        folder: of the file; None for a text that is in none, which may extend packaged recipes alone.

    Raises:
        RecipeError: there is no such recipe, or it extends another one.
    """
    if KEY not in raw:
        return raw, places
    name, place = raw[KEY], places[KEY]
    if not isinstance(name, str):
        raise RecipeError(f"{place}: '{KEY}' should be the file or the name of one recipe, got {name!r:.60}")
    file = Path(name) if folder is None else folder / name
    base_file = file if folder is not None and is_file(file) else catalog.find_packaged(name)
    if base_file is None:
        raise RecipeError(f"{place}: {KEY}: there is no recipe '{file}'; {catalog.nearest_packaged(name)}")
    base, base_places = read_recipe_mapping(read_text(base_file), str(base_file))
    if KEY in base:
        raise RecipeError(f"{place}: '{base_file}' itself extends '{base[KEY]}'; one level is allowed: extend that one")
    own = {key: value for key, value in raw.items() if key != KEY}
    return merged(base, own, ""), base_places | places


def merged(base: object, change: object, place: str) -> Fields:
    """A mapping with the changes of another; `place` is the dotted key of both."""
    is_plugin = plugin_kind(place) is not None
    if is_plugin:
        base, change = ({"name": it} if isinstance(it, str) else it for it in (base, change))
    if not isinstance(base, dict) or not isinstance(change, dict):
        return change  # type: ignore[return-value]
    if is_plugin and change.get("name", base.get("name")) != base.get("name"):
        return change
    deeper = {key: f"{place}.{key}" if place else str(key) for key in change}
    return base | {key: merged(base.get(key), value, deeper[key]) for key, value in change.items()}
