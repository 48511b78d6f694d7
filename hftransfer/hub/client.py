"""Look-ups on the Hub: commits, files, cards, and pushed runs.

Each answers at once, from the cache where the network is down.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hftransfer.core.errors import HubError
from hftransfer.core.results import RunResult

TIMEOUT = 10
"""Seconds that a request may take."""

CardFacts = dict[str, Any]
"""`private` and `gated` (bool), `license` (str or None) and `language` (codes) of a repository."""


def resolve_revision(repo: str, revision: str | None = None, repo_type: str = "model") -> str:
    """The commit of a branch or tag of a repository; from the local cache when the Hub cannot be reached.

    One request without retries comes first, since `from_pretrained` goes on trying for about a minute.

    Raises:
        HubError: no such repository or revision, no right to read it, or no network and nothing cached.
    """
    return _commit_and_files(repo, revision, repo_type)[0]


def list_files(repo: str, revision: str | None = None) -> list[str]:
    """The paths of a model's files at a revision; from the local cache when the Hub cannot be reached.

    Raises:
        HubError: as `resolve_revision`.
    """
    return _commit_and_files(repo, revision, "model")[1]


def _commit_and_files(repo: str, revision: str | None, repo_type: str) -> tuple[str, list[str]]:
    from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_url

    if not constants.HF_HUB_OFFLINE:
        try:
            with hub_errors(repo_type, repo, revision):
                info: Any = HfApi().repo_info(repo, revision=revision, repo_type=repo_type, timeout=TIMEOUT)
                names = [file.rfilename for file in info.siblings or []]
                if info.gated and names:
                    # A gated repository lists its files for everybody, and lets only some read them.
                    get_hf_file_metadata(hf_hub_url(repo, names[-1], repo_type=repo_type, revision=info.sha))
                return str(info.sha), names
        except network_errors():
            pass
    return _cached_commit_and_files(repo, revision, repo_type)


def _cached_commit_and_files(repo: str, revision: str | None, repo_type: str) -> tuple[str, list[str]]:
    """The same from the local cache; where no revision is named, the newest one there."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = [cached for cached in scan_cache_dir().repos if (cached.repo_id, cached.repo_type) == (repo, repo_type)]
    except CacheNotFound:
        repos = []
    revisions = [cached for repo_cache in repos for cached in repo_cache.revisions]
    for cached in sorted(revisions, key=lambda cached: -cached.last_modified):
        if revision in (None, cached.commit_hash, *cached.refs):
            names = [file.file_path.relative_to(cached.snapshot_path).as_posix() for file in cached.files]
            return str(cached.commit_hash), names
    raise HubError(f"{repo_type} '{repo}' is not in the local cache, and the Hub cannot be reached")


@contextmanager
def hub_errors(repo_type: str, repo: str, revision: str | None = None) -> Iterator[None]:
    """Turn what the Hub answers to a request about a repository into a sentence.

    Raises:
        HubError: any refusal. A dead network raises as the HTTP library does (`network_errors`).
    """
    from huggingface_hub import errors

    try:
        yield
    except errors.HFValidationError as error:
        raise HubError(f"'{repo}' is no Hub id: {error}") from None
    except errors.GatedRepoError:
        raise HubError(
            f"{repo_type} '{repo}' is gated: ask for access on its page, and log in (hf auth login, or HF_TOKEN)"
        ) from None
    except errors.RevisionNotFoundError:
        raise HubError(f"{repo_type} '{repo}' has no revision '{revision}'") from None
    except errors.RepositoryNotFoundError:
        raise HubError(
            f"the Hub has no {repo_type} '{repo}', or it is private and no token that may read it is given "
            "(hf auth login, or HF_TOKEN)"
        ) from None
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        raise HubError(status_message(status, f"{repo_type} '{repo}'", str(error))) from None


def status_message(status: int | None, subject: str, details: str) -> str:
    """What an HTTP status other than 404 means for the user."""
    messages = {
        401: "the Hub does not know the token (hf auth login, or HF_TOKEN)",
        403: f"the token may not do this with {subject}: it needs the right to write there",
        429: "the Hub asks for fewer requests: wait some minutes and give the same command again",
    }
    if status in messages:
        return messages[status]
    server_error = isinstance(status, int) and status >= 500
    advice = "give the same command again later" if server_error else details.strip().splitlines()[-1]
    return f"the Hub answers {status} for {subject}: {advice}"


def network_errors() -> tuple[type[Exception], ...]:
    """What a dead network raises in the HTTP library of huggingface_hub: in 0.36 an OSError (requests), later httpx."""
    loaded = [sys.modules[name] for name in ("httpx", "httpx2") if name in sys.modules]
    return (OSError, *(module.TransportError for module in loaded))


def hub_cards(revisions: Mapping[str, str]) -> dict[str, CardFacts]:
    """Hub id -> what its card says, for models and data sets at the given commits.

    Those that the Hub does not answer for are left out.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    unanswered: tuple[type[Exception], ...] = (HfHubHTTPError, *network_errors())
    cards: dict[str, CardFacts] = {}
    for repo, revision in revisions.items():
        for repo_type in () if constants.HF_HUB_OFFLINE else ("model", "dataset"):
            try:
                info: Any = HfApi().repo_info(repo, revision=revision, repo_type=repo_type, timeout=TIMEOUT)
            except unanswered:
                continue
            card = vars(info.card_data) if info.card_data else {}
            license, language = card.get("license"), card.get("language") or []
            cards[repo] = {
                "license": license if isinstance(license, str) else None,
                "language": [language] if isinstance(language, str) else [str(code) for code in language],
                "private": bool(info.private),
                "gated": bool(info.gated),
            }
    return cards


def is_open(repo: str, repo_type: str) -> bool:
    """Whether everybody may read a repository now; not, where the Hub does not answer."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    unanswered: tuple[type[Exception], ...] = (HfHubHTTPError, *network_errors())
    try:
        info: Any = HfApi().repo_info(repo, repo_type=repo_type, timeout=TIMEOUT)
    except unanswered:
        return False
    return not info.private and not info.gated


def read_recipe(repo: str, revision: str | None = None) -> str:
    """The text of a pushed run's recipe.

    Raises:
        HubError: the repository holds none, or as `resolve_revision`.
    """
    return read_file(repo, "recipe.yaml", revision)


def read_result(repo: str, revision: str | None = None) -> RunResult:
    """The result of a pushed run.

    Raises:
        HubError: the repository holds none, or as `resolve_revision`.
    """
    try:
        return RunResult.model_validate_json(read_file(repo, "result.json", revision))
    except ValueError:
        raise HubError(f"result.json of '{repo}' is no record of a run, or that of another version") from None


def read_file(repo: str, name: str, revision: str | None = None, repo_type: str = "model") -> str:
    """The text of a file in a pushed run's repository.

    Raises:
        HubError: the repository holds none, or as `resolve_revision`.
    """
    from huggingface_hub import hf_hub_download

    commit, names = _commit_and_files(repo, revision, repo_type)
    if name not in names:
        raise HubError(f"{repo_type} '{repo}' was not pushed by hftransfer (it has no {name})")
    try:
        with hub_errors(repo_type, repo, revision):
            path = hf_hub_download(repo, name, revision=commit, repo_type=repo_type)
            return Path(path).read_text(encoding="utf-8")
    except network_errors():
        raise HubError(f"the Hub cannot be reached, and {name} of '{repo}' is not cached") from None
