"""What lies on the Hub, told at once, network or not; and a finished run put there in one commit."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hftransfer.core.errors import HubError
from hftransfer.core.results import RunResult

_SECONDS = 10
# What a repository may hold without being somebody's work.
_EMPTY = {".gitattributes", "README.md"}
# What a push writes: the rest of a repository (a licence, a handler) somebody has added.
_OURS = re.compile(r"(onnx|openvino|report)/.+|[^/]+\.(safetensors|json|jinja|model)|(vocab|merges)\.txt|recipe\.yaml")


def resolve(repo: str, revision: str | None = None, repo_type: str = "model") -> str:
    """The commit that a branch or tag of a repository stands at; from the local cache when the Hub is out of reach.

    One request without retries comes first, since `from_pretrained` goes on trying for about a minute.

    Raises:
        HubError: no such repository or revision, no right to read it, or no network and nothing cached.
    """
    return _known(repo, revision, repo_type)[0]


def files(repo: str, revision: str | None = None) -> list[str]:
    """The files of a model at a revision, likewise.

    Raises:
        HubError: as `resolve`.
    """
    return _known(repo, revision, "model")[1]


def _known(repo: str, revision: str | None, repo_type: str) -> tuple[str, list[str]]:
    """Commit and files of a repository."""
    from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_url

    if not constants.HF_HUB_OFFLINE:
        try:
            with _refusals(repo_type, repo, revision):
                found = HfApi().repo_info(repo, revision=revision, repo_type=repo_type, timeout=_SECONDS)
                names = [file.rfilename for file in found.siblings or []]
                if found.gated and names:
                    # A gated repository tells its files to everybody, and hands them out to those who were let in.
                    get_hf_file_metadata(hf_hub_url(repo, names[-1], repo_type=repo_type, revision=found.sha))
                return str(found.sha), names
        except _unreachable():
            pass
    return _cached(repo, revision, repo_type)


@contextmanager
def _refusals(repo_type: str, repo: str, revision: str | None = None) -> Iterator[None]:
    """What the Hub answers, in a sentence."""
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
        said = {
            401: "the Hub does not know the token (hf auth login, or HF_TOKEN)",
            403: f"the token may not do this with {repo_type} '{repo}': it needs the right to write there",
            429: "the Hub asks for fewer requests: wait some minutes and give the same command again",
        }
        if status in said:
            raise HubError(said[status]) from None
        broken = isinstance(status, int) and status >= 500
        last = str(error).strip().splitlines()[-1]
        raise HubError(
            f"the Hub answers {status} for {repo_type} '{repo}'"
            + (": give the same command again later" if broken else f": {last}")
        ) from None


def _unreachable() -> tuple[type[Exception], ...]:
    """What a dead network raises in whichever HTTP library the installed Hub client uses (requests: an OSError)."""
    loaded = [sys.modules[name] for name in ("httpx", "httpx2") if name in sys.modules]
    return (OSError, *(module.TransportError for module in loaded))


def _cached(repo: str, revision: str | None, repo_type: str) -> tuple[str, list[str]]:
    """Commit and files of a repository in the local cache; where no revision is asked for, the newest one there."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = [r for r in scan_cache_dir().repos if r.repo_id == repo and r.repo_type == repo_type]
    except CacheNotFound:
        repos = []
    for found in sorted((it for r in repos for it in r.revisions), key=lambda it: -it.last_modified):
        if revision in (None, found.commit_hash, *found.refs):
            names = [file.file_path.relative_to(found.snapshot_path).as_posix() for file in found.files]
            return str(found.commit_hash), names
    raise HubError(f"{repo_type} '{repo}' is not in the local cache, and the Hub cannot be reached")


def hub_cards(revisions: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Hub id -> `private`, and `license` and `language` (codes) as far as the cards of models and data sets tell them.

    Nothing where the Hub cannot be asked.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    silent: tuple[type[Exception], ...] = (HfHubHTTPError, *_unreachable())
    found: dict[str, dict[str, Any]] = {}
    for repo, revision in revisions.items():
        for kind in () if constants.HF_HUB_OFFLINE else ("model", "dataset"):
            try:
                info = HfApi().repo_info(repo, revision=revision, repo_type=kind, timeout=_SECONDS)
            except silent:
                continue
            told = vars(info.card_data) if info.card_data else {}
            license, language = told.get("license"), told.get("language") or []
            codes = [language] if isinstance(language, str) else [str(code) for code in language]
            told = {"license": license if isinstance(license, str) else None, "language": codes}
            found[repo] = told | {"private": bool(info.private)}
    return found


def recipe(repo: str, revision: str | None = None) -> str:
    """The text of the recipe that a pushed run has left.

    Raises:
        HubError: the repository holds none, or as `resolve`.
    """
    return _file(repo, "recipe.yaml", revision)


def record(repo: str, revision: str | None = None) -> RunResult:
    """The result of a pushed run.

    Raises:
        HubError: the repository holds none, or as `resolve`.
    """
    try:
        return RunResult.model_validate_json(_file(repo, "result.json", revision))
    except ValueError:
        raise HubError(f"result.json of '{repo}' is no record of a run, or that of another version") from None


def _file(repo: str, name: str, revision: str | None) -> str:
    from huggingface_hub import hf_hub_download

    commit, names = _known(repo, revision, "model")
    if name not in names:
        raise HubError(f"model '{repo}' was not pushed by hftransfer (it has no {name})")
    try:
        with _refusals("model", repo, revision):
            return Path(hf_hub_download(repo, name, revision=commit)).read_text(encoding="utf-8")
    except _unreachable():
        raise HubError(f"the Hub cannot be reached, and {name} of '{repo}' is not cached") from None


def may_write(repo: str) -> None:
    """Make sure, before any work, that the token may write into a repository's namespace.

    Raises:
        HubError: there is no network or token, it only reads, or the namespace is somebody else's.
    """
    from huggingface_hub import constants, get_token

    owner = repo.partition("/")[0]
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", repo):
        raise HubError(f"'{repo}' is no Hub id: one is written user/name, in letters, digits, '-', '_' and '.'")
    if constants.HF_HUB_OFFLINE:
        raise HubError("HF_HUB_OFFLINE is set, so nothing can be pushed to the Hub")
    if get_token() is None:
        raise HubError("to push to the Hub needs a token with the right to write: hf auth login, or HF_TOKEN")
    me = _myself(repo)
    spaces = [me["name"], *(org["name"] for org in me.get("orgs", []))]
    if owner not in spaces:
        raise HubError(f"you are '{me['name']}' on the Hub and cannot write to '{owner}'; yours: {', '.join(spaces)}")
    if me.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise HubError("the token may only read: to push needs one with the right to write")


def _myself(repo: str) -> dict[str, Any]:
    """Whose the token is."""
    from huggingface_hub import HfApi

    try:
        with _refusals("model", repo):
            return dict(HfApi().whoami())
    except _unreachable() as error:
        # Whether a token is unknown or the network is dead, the client of 0.36 raises errors of one family.
        if "Invalid user token" in str(error):
            raise HubError("the Hub does not know the token (hf auth login, or HF_TOKEN)") from None
        raise HubError("the Hub cannot be reached, so nothing can be pushed") from None


def push(repo: str, contents: dict[str, Path | bytes], run: str, *, private: bool, force: bool) -> str:
    """Put the files of a run into a repository by one commit; none is made where nothing has changed.

    A push that was cut is finished by the same call: what has arrived is not sent again.

    Args:
        repo: user/name; made if it is not there.
        contents: path in the repository -> a local file, or bytes.
        run: the run's id, by which the repository is known to be its own.
        private: a new repository is seen by its owner alone; a public one is refused.
        force: replace what another run, or somebody, has put there.

    Returns:
        The address of the commit.

    Raises:
        HubError: the Hub cannot be reached or refuses; the repository is another run's.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    may_write(repo)
    api = HfApi()
    try:
        with _refusals("model", repo):
            api.create_repo(repo, private=private or None, exist_ok=True)
            if private and not api.repo_info(repo).private:
                raise HubError(f"'{repo}' exists and is public, so what is pushed there would be, too")
            there = set(api.list_repo_files(repo))
            if not force:
                _refuse_another(repo, there, run)
            # What an earlier push of the run has left; who forces it replaces whatever is there.
            old = sorted(it for it in there - contents.keys() - _EMPTY if force or _OURS.fullmatch(it))
            added = [CommitOperationAdd(path, content) for path, content in sorted(contents.items())]
            removed = [CommitOperationDelete(path) for path in old]
            made = api.create_commit(
                repo, [*added, *removed], commit_message="Model, card, recipe and result by hftransfer"
            )
            return str(made.commit_url)
    except _unreachable():
        raise HubError(
            f"the connection to the Hub was cut while '{repo}' was pushed; `hftransfer push` sends what is missing"
        ) from None


def _refuse_another(repo: str, there: set[str], run: str) -> None:
    if not there - _EMPTY:
        return
    theirs = owner(_file(repo, "result.json", None)) if "result.json" in there else None
    if theirs != run:
        what = "another run's" if theirs else "not from hftransfer"
        raise HubError(f"'{repo}' exists and is {what}; --force replaces it, --repo chooses another place")


def owner(record: str) -> str | None:
    """The id of the run that has written a record; None where no run has."""
    try:
        told = json.loads(record)
    except ValueError:
        return None
    return told.get("id") if isinstance(told, dict) else None


def unpickled(names: list[str], place: str) -> str | None:
    """Why the weights among a checkpoint's files are not read; None where they are safetensors."""
    kinds = (".safetensors", ".bin", ".pt", ".ckpt", ".h5")
    endings = {ending for name in names for ending in kinds if name.endswith(ending)}
    if ".safetensors" in endings:
        return None
    if endings:
        return (
            f"the weights of '{place}' are pickled ({', '.join(sorted(endings))}), which runs code when it is read; "
            "take a revision with model.safetensors (often refs/pr/1), or convert them: "
            "https://huggingface.co/spaces/safetensors/convert"
        )
    return f"'{place}' holds no weights (model.safetensors)"
