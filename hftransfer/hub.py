"""What lies on the Hub: an id's commit, told at once, network or not."""

from hftransfer.errors import HubError

_SECONDS = 10


def resolve(repo: str, revision: str | None = None, repo_type: str = "model") -> str:
    """The commit that a branch or tag of a repository stands at; from the local cache when the Hub is out of reach.

    One request without retries comes first, since `from_pretrained` goes on trying for about a minute.

    Raises:
        HubError: no such repository or revision, no right to read it, or no network and nothing cached.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if not constants.HF_HUB_OFFLINE:
        try:
            found = HfApi().repo_info(repo, revision=revision, repo_type=repo_type, timeout=_SECONDS)
            return str(found.sha)
        except HFValidationError as error:
            raise HubError(f"'{repo}' is no Hub id: {error}") from None
        except HfHubHTTPError as error:
            raise HubError(f"the Hub refuses {repo_type} '{repo}': {str(error).strip().splitlines()[-1]}") from None
        except _unreachable():
            pass
    return _cached(repo, revision or "main", repo_type)


def _unreachable() -> tuple[type[Exception], ...]:
    """What a dead network raises in whichever HTTP library the installed Hub client uses (requests: an OSError)."""
    import huggingface_hub.errors as errors

    module = getattr(errors, "httpx", None) or getattr(errors, "httpx2", None)
    return (OSError, module.TransportError) if module else (OSError,)


def _cached(repo: str, revision: str, repo_type: str) -> str:
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = [r for r in scan_cache_dir().repos if r.repo_id == repo and r.repo_type == repo_type]
    except CacheNotFound:
        repos = []
    for cached in repos:
        for found in cached.revisions:
            if found.commit_hash == revision or revision in found.refs:
                return str(found.commit_hash)
    raise HubError(f"{repo_type} '{repo}' is not in the local cache, and the Hub cannot be reached")
