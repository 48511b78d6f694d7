"""What of a finished run goes to the Hub, and under which names: a model, a Space, a data set of predictions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hftransfer.core.checkpoint_files import check_complete, check_unchanged
from hftransfer.core.errors import HubError
from hftransfer.core.results import RunResult
from hftransfer.core.variants import Variant
from hftransfer.hub.client import is_open
from hftransfer.hub.space import check_space, space_files
from hftransfer.hub.upload import MARK, Kind, Pushed, RepoFiles, Target, check_target, upload
from hftransfer.reporting import model_card, redaction, report
from hftransfer.reporting.usage import hub_file_name

# What Optimum reads from the folder of an exported model besides the graph.
_CONFIG_FILES = ("config.json", "generation_config.json")
_SUFFIXES: dict[Kind, str] = {"space": "-demo", "dataset": "-predictions"}

MakePredictions = Callable[[str, str], RepoFiles]
"""Repositories of the model and of the data set -> the files of the latter."""


@dataclass(frozen=True)
class Wanted:
    """What of a run is pushed, and where; the recipe's `hub` section may ask for `private` and `adapter` too."""

    repo: str | None = None
    """user/name; None: that of the recipe's `hub` section."""
    private: bool = False
    """Whether a new repository is visible to its owner alone."""
    adapter: bool = False
    """Push the adapter alone, for the checkpoint that it was trained on."""
    force: bool = False
    """Replace what another run, or somebody, has put there."""
    space: str | None = None
    """user/name of a Space that answers with the model, `""` for the model's with `-demo` after it; None: no Space."""
    predictions: str | None = None
    """user/name of a data set of predictions, `""` for the model's with `-predictions` after it; None: no data set."""


def push(folder: Path, wanted: Wanted, predictions: MakePredictions | None = None) -> dict[str, Pushed]:
    """Push a finished run: the model, and what else is wanted.

    Args:
        folder: The run's folder.
        wanted: What is pushed.
        predictions: What makes the files of predictions, where they are wanted.

    Returns:
        `model`, and `space` and `dataset` where they are wanted: their commits.

    Raises:
        HubError: no repository is named, the run has no adapter to push alone, or as `upload`.
        ModelError: a file of the model is missing or damaged.
    """
    result = RunResult.load(folder / "result.json")
    remedy = "copy the run's folder again, or run the recipe again with --overwrite"
    check_complete(folder / "model", remedy)
    check_unchanged(folder, result.weights, remedy)
    settings = result.recipe.get("hub") or {}
    repo, private = wanted.repo or settings.get("repo"), wanted.private or settings.get("private", False)
    if repo is None:
        raise HubError(f"there is no repository to push '{folder}' to: --repo user/name, or hub.repo in the recipe")
    adapter = wanted.adapter or settings.get("adapter", False)
    if wanted.space is not None:
        check_space(result)
        if adapter:
            raise HubError("--space: a demo needs the whole model; push it without --adapter (hub.adapter)")
    model = Target(repo, private=private, force=wanted.force)
    files = contents(folder, result, repo, adapter=adapter)
    others = _others(model, wanted, result.id)
    made = predictions(repo, others["dataset"].repo) if predictions and "dataset" in others else {}
    pushed = {"model": upload(model, files, result.id)}
    mark = {MARK: (json.dumps({"id": result.id, "model": repo}, indent=1) + "\n").encode()}
    for kind, target in others.items():
        more = space_files(result, repo, pushed["model"]) if kind == "space" else made
        pushed[kind] = upload(target, {**more, **mark}, result.id)
    return pushed


def _others(model: Target, wanted: Wanted, run_id: str) -> dict[str, Target]:
    """The repositories beside the model's, each of which the run may write: `space`, `dataset`.

    Raises:
        HubError: as `check_target`.
    """
    named: dict[Kind, str | None] = {"space": wanted.space, "dataset": wanted.predictions}
    repos = {kind: repo or model.repo + _SUFFIXES[kind] for kind, repo in named.items() if repo is not None}
    if not repos:
        return {}
    # Who may not read the model may neither ask it nor read its predictions.
    private = check_target(model, run_id)
    found: dict[str, Target] = {
        kind: replace(model, repo=repo, kind=kind, private=private) for kind, repo in repos.items()
    }
    for target in found.values():
        check_target(target, run_id)
    return found


def contents(folder: Path, result: RunResult, repo: str, *, adapter: bool) -> dict[str, Path | bytes]:
    """Path in the repository -> file or bytes; paths of this machine are removed from recipe, result and card.

    Raises:
        HubError: the adapter alone was asked for, and there is none, or no checkpoint of the Hub to put it on.
    """
    result = redaction.published(result, public_rows=rows_are_public(result))
    files: dict[str, Path | bytes] = {}
    if adapter:
        files |= _adapter(folder, result)
    else:
        files |= _files(folder / "model")
        for variant in result.exports.keys() - result.rejected().keys():
            files |= _exported(folder / variant, Variant.parse(variant), result.exports[variant].files)
    files["README.md"] = model_card.card(result, repo=repo, adapter=adapter).encode()
    files["recipe.yaml"] = redaction.recipe_yaml(result).encode()
    files["result.json"] = redaction.public_record(result).encode()
    return files | {f"report/{name}.png": figure for name, figure in report.figures(result).items()}


def rows_are_public(result: RunResult) -> bool:
    """Whether everybody may read the rows, now as when the run ended."""
    source = result.recipe["data"]["source"]
    return redaction.has_public_rows(result) and (source["name"] != "hub" or is_open(source["id"], "dataset"))


def _files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _exported(folder: Path, variant: Variant, names: list[str]) -> dict[str, Path]:
    """The files of an exported variant, in the folder of its runtime."""
    graphs = {f"{variant.runtime}/{hub_file_name(variant, name)}": folder / name for name in names}
    return graphs | {f"{variant.runtime}/{name}": folder / name for name in _CONFIG_FILES if (folder / name).is_file()}


def _adapter(folder: Path, result: RunResult) -> dict[str, Path | bytes]:
    """The adapter with the commit of its checkpoint, and what of the model is no weights: processor and config."""
    base = result.recipe["model"]["id"]
    if not (folder / "adapter").is_dir():
        raise HubError(f"strategy '{result.recipe['strategy']['name']}' leaves no adapter to push alone (hub.adapter)")
    if base not in result.revisions:
        raise HubError(f"an adapter alone needs its checkpoint on the Hub, and '{base}' is none: push the merged model")
    if result.recipe["model"]["config"] or result.recipe["task"].get("vocabulary") == "new":
        raise HubError(f"an adapter alone does not fit '{base}', which the recipe changes: push the merged model")
    config = json.loads((folder / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base, "revision": result.revisions[base]}
    adapter: dict[str, Path | bytes] = dict(_files(folder / "adapter"))
    adapter["adapter_config.json"] = (json.dumps(config, indent=2, sort_keys=True) + "\n").encode()
    return {name: path for name, path in _files(folder / "model").items() if ".safetensors" not in name} | adapter
