"""The runs of a comparison on the Hub: a model each, and a collection that has them side by side, the best first."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hftransfer.choosing.compare import FILE, Comparison, Row
from hftransfer.choosing.grid import score_of
from hftransfer.core.errors import HubError, RecipeError, without_secrets
from hftransfer.core.paths import is_file
from hftransfer.core.progress import Progress
from hftransfer.core.results import RunResult
from hftransfer.hub.collection import MAX_DESCRIPTION, MAX_NOTE, Item, publish_collection
from hftransfer.hub.push import Wanted, push
from hftransfer.hub.upload import Target, check_target
from hftransfer.reporting.redaction import cut_folders
from hftransfer.reporting.tables import confidence, interval, number
from hftransfer.runner.folders import finished_run

# Of a name on the Hub, without the user.
_LONGEST_NAME = 96
_UNSAFE = re.compile(r"[^A-Za-z0-9_.]+|\.{2,}")
_LONGEST_LABEL = 200


@dataclass(frozen=True)
class Published:
    """What has been pushed of a comparison."""

    collection: str
    """The address of the collection."""
    models: dict[str, str]
    """user/name -> the address of the commit, the best combination first."""


@dataclass(frozen=True)
class _Run:
    """A finished run of a combination."""

    row: Row
    seed: int
    folder: Path
    result: RunResult


def is_comparison(folder: Path) -> bool:
    """Whether a directory is that of a comparison, and not of a run."""
    return is_file(folder / FILE) and not is_file(folder / "result.json")


def publish(folder: Path, title: str, wanted: Wanted) -> Published:
    """Push the runs of a finished comparison, and make a collection of them, or go on with both.

    What is there already is neither sent nor made a second time: a run that has not changed gets no new commit.

    Args:
        folder: of the comparison.
        title: of the collection; one of the same owner and title is filled up.
        wanted: what of each run is pushed; `repo` is the beginning of the names.

    Raises:
        HubError: no repository is named, or as `hub.push.push` and `publish_collection`.
        RecipeError: the comparison is not finished, or a run of it is missing.
    """
    comparison, runs = _read(folder)
    if not title.strip():
        raise RecipeError("--collection: the title is empty")
    if wanted.space is not None or wanted.predictions is not None:
        raise HubError("--collection: --space and --predictions are for one run; push the one that you choose")
    if wanted.repo is None:
        raise HubError("--collection: --repo user/name is missing; the names of all models begin with it")
    named = {repo_of(wanted.repo, run.row.values, run.seed): run for run in runs}
    for repo, run in named.items():
        check_target(Target(repo, private=wanted.private, force=wanted.force), run.result.id)
    pushed = {}
    with Progress(named, desc="pushing", unit="run") as progress:
        for repo, run in named.items():
            pushed[repo] = push(run.folder, replace(wanted, repo=repo))["model"]
            progress.update()
    address = publish_collection(
        title,
        wanted.repo.partition("/")[0],
        [Item(repo, note(comparison, run.row, run.seed, run.result)) for repo, run in named.items()],
        description=_description(comparison, runs[0].result),
        private=wanted.private or any(it.private for it in pushed.values()),
    )
    return Published(address, {repo: it.address for repo, it in pushed.items()})


def _read(folder: Path) -> tuple[Comparison, list[_Run]]:
    """A comparison and its runs, those of the best combination first."""
    if not is_file(folder / FILE):
        raise RecipeError(
            f"--collection: '{folder}' holds no finished comparison ({FILE}); the `hftransfer compare` that began it "
            "finishes it"
        )
    comparison = Comparison.load(folder / FILE)
    recorded = [comparison.runs.get(row.label, []) for row in comparison.rows]
    if not recorded or any(len(names) != len(comparison.seeds) for names in recorded):
        raise RecipeError(f"'{folder / FILE}' is damaged; the same `hftransfer compare` writes it again")
    runs = []
    for row, names in zip(comparison.rows, recorded, strict=True):
        for seed, name in zip(comparison.seeds, names, strict=True):
            # The comparison may have been moved since.
            place = folder / "runs" / Path(name).name
            result = finished_run(place)
            score_of(result, comparison.metric)
            runs.append(_Run(row, seed, place, result))
    return comparison, runs


def repo_of(base: str, values: Mapping[str, str], seed: int) -> str:
    """The repository of a run: the values after `base`, and a hash where they cannot be read back from the name."""
    texts = [_public(value) for value in values.values()]
    parts = [_UNSAFE.sub("-", text).strip("-.") for text in texts]
    name, end = "-".join(filter(None, parts)), f"seed{seed}"
    digest = hashlib.sha256(repr(list(values.items())).encode()).hexdigest()[:8]
    room = _LONGEST_NAME - len(base.partition("/")[2]) - len(f"--{end}")
    is_clear = parts == list(values.values()) and (len(parts) == 1 or not any("-" in part for part in parts))
    if not is_clear or len(name) > room:
        readable = name[: max(room - len(digest) - 1, 0)].rstrip("-.")
        name = f"{readable}-{digest}" if readable else digest
    return f"{base}-{name}-{end}"


def note(comparison: Comparison, row: Row, seed: int, result: RunResult) -> str:
    """What stands at a run in the collection: its values, its score with the interval, what its combination is."""
    label = _public(row.label)
    label = label if len(label) <= _LONGEST_LABEL else f"{label[:_LONGEST_LABEL]}..."
    score = result.scores["test"]["tuned"][comparison.metric]
    best = comparison.rows[0]
    outcome = "the best combination" if row is best else "tied with the best" if row.tied else "worse than the best"
    mean = f"mean of {len(row.scores)} seeds {number(row.mean)}, " if len(row.scores) > 1 else ""
    scored = f"{comparison.metric} {interval(score)} ({confidence(result)} interval, {score.count:,} test rows)"
    return f"{label}, seed {seed}: {scored}; {mean}{outcome}"[:MAX_NOTE]


def _public(value: str) -> str:
    """A value without what nobody else should see: folders of this machine, tokens, passwords."""
    return without_secrets(cut_folders(value))


def _description(comparison: Comparison, result: RunResult) -> str:
    text = (
        f"Runs of hftransfer compare, the best first: {result.task}, {comparison.metric} on {comparison.test_rows:,} "
        "test rows"
    )
    return text[:MAX_DESCRIPTION]
