"""Files into a repository of the Hub, in one commit, and whether the token may write there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hftransfer.core.errors import HubError
from hftransfer.hub.client import hub_errors, network_errors, read_file

RepoFiles = Mapping[str, Path | bytes]
"""Path in the repository -> a local file, or the content."""

# What a repository may hold that nobody has put work into.
_INITIAL_FILES = {".gitattributes", "README.md"}
# What a push writes. Everything else in a repository (a licence, a handler) somebody has added.
_PUSHED = re.compile(
    r"(onnx|openvino|report)/.+|[^/]+\.(safetensors|json|jinja|model)|(vocab|merges)\.txt|recipe\.yaml"
)


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


def upload(repo: str, files: RepoFiles, run_id: str, *, private: bool, force: bool) -> str:
    """Put the files of a run into a repository by one commit; none is made where nothing has changed.

    A push that was interrupted is finished by the same call: what has arrived is not sent again.

    Args:
        repo: user/name; created if it does not exist.
        files: What the repository holds afterwards; files of an earlier push of the run are deleted.
        run_id: By it the repository is known to be the run's.
        private: A new repository is visible to its owner alone; an existing public one is refused.
        force: Replace what another run, or somebody, has put there.

    Returns:
        The address of the commit.

    Raises:
        HubError: the Hub cannot be reached or refuses; the repository is another run's.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    check_write_access(repo)
    api = HfApi()
    try:
        with hub_errors("model", repo):
            api.create_repo(repo, private=private or None, exist_ok=True)
            if private and not api.repo_info(repo).private:
                raise HubError(f"'{repo}' exists and is public, so what is pushed there would be, too")
            present = set(api.list_repo_files(repo))
            if not force:
                _refuse_another_run(repo, present, run_id)
            removable = present - files.keys() - _INITIAL_FILES
            removed = sorted(path for path in removable if force or _PUSHED.fullmatch(path))
            commit = api.create_commit(
                repo,
                [
                    *(CommitOperationAdd(path, content) for path, content in sorted(files.items())),
                    *(CommitOperationDelete(path) for path in removed),
                ],
                commit_message="Model, card, recipe and result by hftransfer",
            )
            return str(commit.commit_url)
    except network_errors():
        raise HubError(
            f"the connection to the Hub was cut while '{repo}' was pushed; `hftransfer push` sends what is missing"
        ) from None


def _refuse_another_run(repo: str, present: set[str], run_id: str) -> None:
    if not present - _INITIAL_FILES:
        return
    previous = run_id_of(read_file(repo, "result.json")) if "result.json" in present else None
    if previous != run_id:
        whose = "another run's" if previous else "not from hftransfer"
        raise HubError(f"'{repo}' exists and is {whose}; --force replaces it, --repo chooses another place")


def run_id_of(record: str) -> str | None:
    """The run's id in the text of a `result.json`; None where no run has written it."""
    try:
        fields = json.loads(record)
    except ValueError:
        return None
    return fields.get("id") if isinstance(fields, dict) else None
