"""Where checkpoint and data of a run come from: commits of the Hub, and the facts of samples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hftransfer.core import plugins
from hftransfer.core.prefixes import SAMPLE
from hftransfer.core.results import RunResult, SampleFacts
from hftransfer.models.checkpoint import find_checkpoint


def hub_revisions(recipe: dict[str, Any]) -> dict[str, str]:
    """Hub id -> commit, of checkpoint, processor and data."""
    model, source = recipe["model"], recipe["data"]["source"]
    revisions = {part["id"]: part["revision"] for part in (model, source) if part.get("id") and part.get("revision")}
    if model["processor"] and (commit := find_checkpoint(model["processor"]).revision):
        revisions[model["processor"]] = commit
    return revisions


def sample_facts(recipe: dict[str, Any]) -> dict[str, SampleFacts]:
    """Name -> facts of every sample that the recipe names, and of those of the run that its model comes from."""
    names = sorted(set(_sample_names(recipe)))
    previous = Path(recipe["model"]["id"] or "").expanduser() / "result.json"
    inherited = RunResult.load(previous).samples if previous.is_file() else {}
    return inherited | {name: plugins.load("samples", name)().facts() for name in names}


def _sample_names(value: Any) -> Iterator[str]:
    """Names of samples: the ids of sources, and checkpoints as `sample:NAME`, anywhere in the recipe."""
    if isinstance(value, str) and value.startswith(SAMPLE):
        yield value.removeprefix(SAMPLE)
    elif isinstance(value, list):
        for entry in value:
            yield from _sample_names(entry)
    elif isinstance(value, dict):
        if value.get("name") == "sample" and "id" in value:
            yield value["id"]
        for entry in value.values():
            yield from _sample_names(entry)
