"""What of a finished run goes to the Hub, and under which names."""

from __future__ import annotations

import json
from pathlib import Path

from hftransfer.core.checkpoint_files import check_complete, check_unchanged
from hftransfer.core.errors import HubError
from hftransfer.core.results import RunResult
from hftransfer.core.variants import Variant
from hftransfer.hub.upload import upload
from hftransfer.reporting import model_card, redaction, report
from hftransfer.reporting.usage import hub_file_name

# What Optimum reads from the folder of an exported model besides the graph.
_CONFIG_FILES = ("config.json", "generation_config.json")


def push(folder: Path, repo: str | None, *, private: bool = False, adapter: bool = False, force: bool = False) -> str:
    """Push a finished run.

    Args:
        folder: The run's folder.
        repo: user/name; None: that of the recipe's `hub` section, which may ask for `private` and `adapter` too.
        private: Whether a new repository is visible to its owner alone.
        adapter: Push the adapter alone, for the checkpoint that it was trained on.
        force: Replace what another run, or somebody, has put there.

    Returns:
        The address of the commit.

    Raises:
        HubError: no repository is named, the run has no adapter to push alone, or as `upload`.
        ModelError: a file of the model is missing or damaged.
    """
    result = RunResult.load(folder / "result.json")
    remedy = "copy the run's folder again, or run the recipe again with --overwrite"
    check_complete(folder / "model", remedy)
    check_unchanged(folder, result.weights, remedy)
    settings = result.recipe.get("hub") or {}
    repo = repo or settings.get("repo")
    if repo is None:
        raise HubError(f"there is no repository to push '{folder}' to: --repo user/name, or hub.repo in the recipe")
    files = contents(folder, result, repo, adapter=adapter or settings.get("adapter", False))
    return upload(repo, files, result.id, private=private or settings.get("private", False), force=force)


def contents(folder: Path, result: RunResult, repo: str, *, adapter: bool) -> dict[str, Path | bytes]:
    """Path in the repository -> file or bytes; paths of this machine are removed from recipe, result and card.

    Raises:
        HubError: the adapter alone was asked for, and there is none, or no checkpoint of the Hub to put it on.
    """
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
