"""Files into a repository of the Hub, in one commit, and whether the token may write there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hftransfer.core.errors import HubError
from hftransfer.hub.client import hub_errors, network_errors, read_file

RepoFiles = Mapping[str, Path | bytes]
"""Path in the repository -> a local file, or the content."""

# What a repository may hold that nobody has put work into.
_INITIAL_FILES = {".gitattributes", "README.md"}
# What a push writes. Everything else in a repository (a licence, a handler) somebody has added.
_PUSHED = re.compile(
    r"(onnx|openvino|report)/.+|[^/]+\.(safetensors|json|jinja|model)|(vocab|merges)\.txt|recipe\.yaml"
    r"|predictions/.+\.parquet"
)
MARK = "hftransfer.json"
"""The file by which a Space or a data set is known to be a run's."""
Kind = Literal["model", "space", "dataset"]
_RECORDS: dict[Kind, str] = {"model": "result.json", "space": MARK, "dataset": MARK}
_OPTIONS: dict[Kind, str] = {"model": "--repo", "space": "--space", "dataset": "--predictions"}
_TITLES: dict[Kind, str] = {
    "model": "Model, card, recipe and result by hftransfer",
    "space": "Demo by hftransfer",
    "dataset": "Predictions by hftransfer",
}


@dataclass(frozen=True)
class Target:
    """A repository to push to."""

    repo: str
    """user/name; created if it does not exist."""
    kind: Kind = "model"
    private: bool = False
    """A new repository is visible to its owner alone; an existing public one is refused."""
    force: bool = False
    """Replace what another run, or somebody, has put there."""


@dataclass(frozen=True)
class Pushed:
    """What a push has left."""

    address: str
    """Of the commit."""
    commit: str
    private: bool
    """Whether the repository is visible to its owner alone."""


def check_write_access(repo: str) -> None:
    """Make sure, before any work, that the token may write into a repository's namespace.

    Raises:
        HubError: there is no network or token, it only reads, or the namespace is somebody else's.
    """
    from huggingface_hub import constants, get_token

    namespace = repo.partition("/")[0]
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", repo):
        raise HubError(f"'{repo}' is no Hub id: one is written user/name, in letters, digits, '-', '_' and '.'")
    if constants.HF_HUB_OFFLINE:
        raise HubError("HF_HUB_OFFLINE is set, so nothing can be pushed to the Hub")
    if get_token() is None:
        raise HubError("pushing to the Hub needs a token with the right to write: hf auth login, or HF_TOKEN")
    user = _whoami(repo)
    namespaces = [user["name"], *(organization["name"] for organization in user.get("orgs", []))]
    if namespace not in namespaces:
        raise HubError(
            f"you are '{user['name']}' on the Hub and cannot write to '{namespace}'; yours: {', '.join(namespaces)}"
        )
    if user.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise HubError("the token may only read: pushing needs one with the right to write")


def _whoami(repo: str) -> dict[str, Any]:
    """The owner of the token, as the Hub describes them."""
    from huggingface_hub import HfApi

    try:
        with hub_errors("model", repo):
            return dict(HfApi().whoami())
    except network_errors() as error:
        # huggingface_hub 0.36 raises errors of one family for an unknown token and for a dead network.
        if "Invalid user token" in str(error):
            raise HubError("the Hub does not know the token (hf auth login, or HF_TOKEN)") from None
        raise HubError("the Hub cannot be reached, so nothing can be pushed") from None


def check_target(target: Target, run_id: str) -> bool:
    """Make sure, before any work, that a run may be pushed to a repository, which need not exist yet.

    Returns:
        Whether the repository is visible to its owner alone, or will be.

    Raises:
        HubError: as `check_write_access` and `upload`.
    """
    from huggingface_hub import HfApi

    check_write_access(target.repo)
    try:
        with hub_errors(target.kind, target.repo):
            exists = HfApi().repo_exists(target.repo, repo_type=target.kind)
            return _check_existing(target, run_id)[1] if exists else target.private
    except network_errors():
        raise HubError("the Hub cannot be reached, so nothing can be pushed") from None


def upload(target: Target, files: RepoFiles, run_id: str) -> Pushed:
    """Put the files of a run into a repository by one commit; none is made where nothing has changed.

    A push that was interrupted is finished by the same call: what has arrived is not sent again.

    Args:
        target: The repository.
        files: What it holds afterwards; files of an earlier push of the run are deleted.
        run_id: By it the repository is known to be the run's.

    Raises:
        HubError: the Hub cannot be reached or refuses; the repository is another run's.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    repo, kind = target.repo, target.kind
    check_write_access(repo)
    api, sdk = HfApi(), "gradio" if kind == "space" else None
    try:
        with hub_errors(kind, repo):
            api.create_repo(repo, private=target.private or None, repo_type=kind, space_sdk=sdk, exist_ok=True)
            present, private = _check_existing(target, run_id)
            removable = present - files.keys() - _INITIAL_FILES
            removed = sorted(path for path in removable if target.force or _PUSHED.fullmatch(path))
            commit = api.create_commit(
                repo,
                [
                    *(CommitOperationAdd(path, content) for path, content in sorted(files.items())),
                    *(CommitOperationDelete(path) for path in removed),
                ],
                commit_message=_TITLES[kind],
                repo_type=kind,
            )
            return Pushed(str(commit.commit_url), commit.oid, private)
    except network_errors():
        raise HubError(
            f"the connection to the Hub was cut while '{repo}' was pushed; `hftransfer push` sends what is missing"
        ) from None
    except ValueError as error:
        # `create_commit` lets the Hub check the metadata of README.md; other answers are of `hub_errors`.
        reason = " ".join(str(error).split())
        raise HubError(f"the Hub refuses the card of '{repo}' (hub.license, hub.language): {reason}") from None


def _check_existing(target: Target, run_id: str) -> tuple[set[str], bool]:
    """The files of a repository that exists, and whether it is private.

    Raises:
        HubError: it is public and should not be, or another run's.
    """
    from huggingface_hub import HfApi

    repo, kind = target.repo, target.kind
    info: Any = HfApi().repo_info(repo, repo_type=kind)
    if target.private and not info.private:
        raise HubError(f"'{repo}' exists and is public, so what is pushed there would be, too")
    present = {file.rfilename for file in info.siblings or []}
    if target.force or not present - _INITIAL_FILES:
        return present, bool(info.private)
    record = _RECORDS[kind]
    previous = run_id_of(read_file(repo, record, repo_type=kind)) if record in present else None
    if previous != run_id:
        whose = "another run's" if previous else "not from hftransfer"
        raise HubError(f"'{repo}' exists and is {whose}; --force replaces it, {_OPTIONS[kind]} chooses another place")
    return present, bool(info.private)


def run_id_of(record: str) -> str | None:
    """The run's id in the text of a record; None where no run has written it."""
    try:
        fields = json.loads(record)
    except ValueError:
        return None
    return fields.get("id") if isinstance(fields, dict) else None
