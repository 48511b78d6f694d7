"""Errors of pydantic as sentences: where in the file, what was expected, what was written, which keys are allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hftransfer.core import plugins, synonyms
from hftransfer.core.errors import shortened
from hftransfer.core.plugins import Section
from hftransfer.recipe.changes import renamed
from hftransfer.recipe.sections import allowed_keys, section_below, section_name
from hftransfer.recipe.training_arguments import training_keys

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def sentences(errors: Sequence[ErrorDetails], raw: object, places: Mapping[str, str], section: type[Section]) -> str:
    """A line for each wrong place; a place that several types of value would fit has one line that names them all.

    `raw` is what the file holds, to be read as `section`; `places` map dotted keys to where they are written.
    """
    lines: dict[tuple[str, str], list[str]] = {}
    for error in errors:
        keys, value = _written(error, raw)
        dotted, place = ".".join(keys), _place(keys, places)
        expected = _expected(error, raw, section)
        match error["type"]:
            case "extra_forbidden":
                around = _section(error["loc"][:-1], raw, section)
                words = {**synonyms.KEYS, **renamed(section_name(around))}
                hint = plugins.nearest(keys[-1], allowed_keys(around), words)
                if len(keys) == 1 and keys[0] in training_keys():
                    hint = f"did you mean 'training.{keys[0]}'?"
                lines[f"{place}: unknown key '{dotted}'; {hint}", ""] = []
            case "missing":
                lines[f"{place}: '{dotted}' is missing; a recipe needs it", ""] = []
            case "invalid_key":
                lines[f"{place}: the key '{dotted}' should be a word", ""] = []
            case "value_error" | "training":
                lines[f"{place}: {dotted + ': ' if dotted else ''}{expected}", ""] = []
            case _:
                lines.setdefault((f"{place}: '{dotted}' should be ", f", got {shortened(value)}"), []).append(expected)
    return "\n".join(start + " or ".join(dict.fromkeys(words)) + end for (start, end), words in lines.items())


def _expected(error: ErrorDetails, raw: object, section: type[Section]) -> str:
    """What pydantic expected, in the words of a sentence."""
    if error["type"] == "model_type":
        return f"a mapping of {', '.join(allowed_keys(_section(error['loc'], raw, section)))}"
    text = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return text.replace("a valid integer", "a whole number").replace("a valid ", "a ")


def _section(location: Sequence[int | str], raw: object, section: type[Section]) -> type[Section]:
    """The class of the section at a location."""
    for depth, key in enumerate(location):
        raw = _entries(raw).get(key)
        section = section_below(section, key, ".".join(map(str, location[: depth + 1])), raw)
    return section


def _written(error: ErrorDetails, raw: object) -> tuple[list[str], object]:
    """The keys that lead to an error, and the value that is written there.

    A location of pydantic goes on with the types that it tried; those are no keys.
    """
    if error["type"] in ("missing", "extra_forbidden"):
        return [str(key) for key in error["loc"]], None
    keys: list[str] = []
    for key in error["loc"]:
        entries = _entries(raw)
        if key not in entries:
            break
        keys.append(str(key))
        raw = entries[key]
    return keys, raw


def _entries(raw: object) -> dict[int | str, object]:
    """The entries of a mapping or a list by key or number; none of other values."""
    if isinstance(raw, list):
        return dict(enumerate(raw))
    return raw if isinstance(raw, dict) else {}


def _place(keys: list[str], places: Mapping[str, str]) -> str:
    """Where the last of the keys is written, or else the section around it."""
    dotted = (".".join(keys[:count]) for count in range(len(keys), -1, -1))
    return next(places[prefix] for prefix in dotted if prefix in places)
