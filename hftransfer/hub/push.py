"""What of a finished run goes to the Hub, and under which names."""

import json
from pathlib import Path

from hftransfer.core.errors import HubError
from hftransfer.core.results import RunResult
from hftransfer.core.variants import Variant
from hftransfer.hub import client
from hftransfer.reporting import model_card, redaction, report
from hftransfer.reporting.usage import hub_file_name

_BESIDE = ("config.json", "generation_config.json")


def push(folder: Path, repo: str | None, *, private: bool = False, adapter: bool = False, force: bool = False) -> str:
    """Push a finished run; returns the address of the commit.

    What is left out comes from the recipe's `hub` section.

    Raises:
        HubError: no repository is named, the run has no adapter to push alone, or as `client.push`.
    """
    result = RunResult.load(folder / "result.json")
    told = result.recipe.get("hub") or {}
    repo = repo or told.get("repo")
    if repo is None:
        raise HubError(f"where to push '{folder}' is not said: --repo user/name, or client.repo in the recipe")
    made = contents(folder, result, repo, adapter=adapter or told.get("adapter", False))
    return client.push(repo, made, result.id, private=private or told.get("private", False), force=force)


def contents(folder: Path, result: RunResult, repo: str, *, adapter: bool) -> dict[str, Path | bytes]:
    """Path in the repository -> file or bytes. Nothing in them tells of this machine's folders.

    Raises:
        HubError: the adapter alone was asked for, and there is none, or no checkpoint of the Hub to put it on.
    """
    made: dict[str, Path | bytes] = {}
    if adapter:
        made |= _adapter(folder, result)
    else:
        made |= _files(folder / "model")
        for variant in result.exports.keys() - result.rejected().keys():
            made |= _exported(folder, variant, result.exports[variant].files)
    made["README.md"] = model_card.card(result, repo=repo, adapter=adapter).encode()
    made["recipe.yaml"] = redaction.recipe_yaml(result).encode()
    made["result.json"] = redaction.public_record(result).encode()
    made |= {f"report/{name}.png": picture for name, picture in report.figures(result).items()}
    return made


def _files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _exported(folder: Path, variant: str, files: list[str]) -> dict[str, Path]:
    place, runtime = folder / variant, Variant.parse(variant).runtime
    made = {f"{runtime}/{hub_file_name(Variant.parse(variant), name)}": place / name for name in files}
    return made | {f"{runtime}/{name}": place / name for name in _BESIDE if (place / name).is_file()}


def _adapter(folder: Path, result: RunResult) -> dict[str, Path | bytes]:
    base = result.recipe["model"]["id"]
    if not (folder / "adapter").is_dir():
        raise HubError(
            f"strategy '{result.recipe['strategy']['name']}' leaves no adapter to push alone (client.adapter)"
        )
    if base not in result.revisions:
        raise HubError(f"an adapter alone needs its checkpoint on the Hub, and '{base}' is none: push the merged model")
    if result.recipe["model"]["config"] or result.recipe["task"].get("vocabulary") == "new":
        raise HubError(f"an adapter alone does not fit '{base}', which the recipe changes: push the merged model")
    made: dict[str, Path | bytes] = dict(_files(folder / "adapter"))
    config = json.loads((folder / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base, "revision": result.revisions[base]}
    made["adapter_config.json"] = (json.dumps(config, indent=2, sort_keys=True) + "\n").encode()
    # The merged weights and their index stay behind.
    return {name: path for name, path in _files(folder / "model").items() if ".safetensors" not in name} | made
