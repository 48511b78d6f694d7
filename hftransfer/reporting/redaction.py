"""A record as others may read it: without local paths, and without rows that are not public."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import yaml

from hftransfer.core.prefixes import SAMPLE
from hftransfer.core.results import JsonObject, RunResult
from hftransfer.core.yaml_writer import dump_yaml

if TYPE_CHECKING:
    from pydantic import JsonValue

_PATH = re.compile(r"file:|~[\w.-]*[\\/]|[A-Za-z]:[\\/]|[\\/]")
# A path in quotation marks, which may have blanks in it.
_QUOTED_PATH = re.compile(r"(['\"])((?:[A-Za-z]:|~[\w.-]*)?[\\/][^'\"\n]*)\1")
# Folders of another path within a sentence; addresses and closing tags are no paths.
_FOLDERS = re.compile(r"(?<![\w:/.<])(?:[A-Za-z]:|~[\w.-]*)?[\\/][^\s'\"]*[\\/]")

# What a warning quotes of a row.
_IN_PARENTHESES = re.compile(r" \('[^']*'\)")


def checkpoint_name(result: RunResult) -> str:
    """The checkpoint: its Hub id, its sample, or the last component of a local path."""
    model = result.recipe["model"]
    return _checkpoint_id(model["id"], result) if model["id"] else f"new {model['config']['model_type']}"


def recipe_yaml(result: RunResult) -> str:
    """The recipe with all defaults; local checkpoints and absolute paths are cut to their last component."""
    recipe = result.model_dump(mode="json", include={"recipe"})["recipe"]
    model = recipe["model"]
    ids = {key: _checkpoint_id(model[key], result) for key in ("id", "processor") if model.get(key)}
    redacted = without_folders(recipe | {"model": model | ids})
    return dump_yaml(redacted)


def public_record(result: RunResult) -> str:
    """The record as JSON, without what `published` removes, and without local paths in the recipe."""
    record = published(result).model_dump(mode="json", by_alias=True)
    record["recipe"] = yaml.safe_load(recipe_yaml(result))
    return json.dumps(record, indent=1) + "\n"


def published(result: RunResult, *, public_rows: bool = True) -> RunResult:
    """The record without folders in its sentences; unless everybody may read the rows, without their content.

    Args:
        result: The record.
        public_rows: Whether the rows are public now; that they were when the run ended, the record says.
    """
    shown: JsonObject = {
        "warnings": [cut_folders(line) for line in result.warnings],
        "search": {
            name: trial.model_copy(update={"reason": trial.reason and cut_folders(trial.reason)})
            for name, trial in result.search.items()
        },
        "exports": {
            name: facts.model_copy(update={"rejected": facts.rejected and cut_folders(facts.rejected)})
            for name, facts in result.exports.items()
        },
    }
    if not (public_rows and has_public_rows(result)):
        shown |= {"worst": [], "examples": []}
        shown["groups"] = {f"group {number}": it for number, it in enumerate(result.groups.values(), 1)}
        shown["warnings"] = [_IN_PARENTHESES.sub("", line) for line in shown["warnings"]]
    return result.model_copy(update=shown)


def has_public_rows(result: RunResult) -> bool:
    """Whether everybody may read the rows: they come from a sample, or from a data set that the Hub shows to all."""
    source = result.recipe["data"]["source"]
    facts = result.hub_cards.get(source.get("id"), {})
    return source["name"] == "sample" or (facts.get("private") is False and facts.get("gated") is False)


def without_folders(section: JsonObject) -> JsonObject:
    """A section of a recipe with every path in it cut to its last component."""
    return {key: _cut_paths(value) for key, value in section.items()}


def cut_folders(sentence: str) -> str:
    """A sentence with every path in it cut to its last component."""
    quoted = _QUOTED_PATH.sub(lambda found: f"{found[1]}{_last_component(found[2])}{found[1]}", sentence)
    return _FOLDERS.sub("", quoted)


def _cut_paths(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _cut_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cut_paths(item) for item in value]
    return _last_component(value) if isinstance(value, str) and _PATH.match(value) else value


def _checkpoint_id(text: str, result: RunResult) -> str:
    return text if text in result.revisions or text.startswith(SAMPLE) else _last_component(text)


def _last_component(path: str) -> str:
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1] or path
