"""Hyper-parameters by search: trials scored on validation rows, seeds for the two best, test rows for the winner."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.choosing.grid import Base
from hftransfer.choosing.search import Options, Search, label_of
from hftransfer.choosing.search_space import search_space
from hftransfer.choosing.study import FAILED, PRUNED, SECONDS
from hftransfer.core.errors import MissingExtraError
from hftransfer.core.plugins import Record
from hftransfer.core.saved_record import SavedRecord
from hftransfer.metrics import lower_is_better
from hftransfer.reporting.tables import Table, amount, number

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


class TrialRecord(Record):
    """One combination."""

    values: dict[str, str]
    """Key of the recipe -> value."""
    score: float | None
    """The headline metric on validation: at the end, of a pruned trial when it was given up; None where it failed."""
    seconds: float
    """Wall time of its run."""
    pruned_at: int | None = None
    """Percent of its training after which it was given up."""
    failed: str | None = None
    """Why its run has failed."""


class Tuning(SavedRecord):
    """What `hftransfer tune` has found, as `tune.json`."""

    metric: str
    space: list[str]
    trials: list[TrialRecord]
    """In their order."""
    finalists: dict[str, list[float]]
    """Values -> scores on validation by seed."""
    best: dict[str, str]
    """Key of the recipe -> value of the winner."""
    run: str
    """Directory of the winner's run, with the recipe's baselines and export: the one that ships."""
    minutes: float
    """Wall time of all of it."""


def tune(base: Base, overrides: Sequence[str], options: Options, out: Path) -> Tuning:
    """Search learning rate, epochs, batch size and rank, and whatever an override gives several values.

    The first trials are the recipe as it is, with each of the values of lists. The study is kept in `out/study.log`
    and the scores of each trial in `out/runs`, so that an interrupted search goes on where it was. No model of a trial
    reads test rows: the winner is run once more, whole.

    Args:
        base: the recipe.
        overrides: fields to change; a list is several values, one of which is chosen.
        options: when the search ends, and how it is run.
        out: directory of the study, the runs and `tune.json`.

    Raises:
        HFTransferError: Optuna is not installed, the folder holds another search, or a run fails.
    """
    if importlib.util.find_spec("optuna") is None:
        raise MissingExtraError("tune needs the package optuna: pip install 'hftransfer-recipes[tune]'")
    search = Search(search_space(base, overrides), options, out)
    try:
        search.run()
        finalists = search.finalists()
        sign = -1 if lower_is_better(search.metric) else 1
        best = search.values_of(max(finalists, key=lambda place: sign * float(np.mean(finalists[place]))))
        winner = search.winner(best)
    finally:
        search.clock.save()
    record = Tuning(
        metric=winner.headline,
        space=[str(dimension) for dimension in search.space.dimensions],
        trials=[_record(trial, search.values(trial)) for trial in search.ended()],
        finalists={label_of(search.values_of(place)): scores for place, scores in finalists.items()},
        best=best,
        run=str(out / "best"),
        minutes=search.clock.seconds / 60,
    )
    record.save(out / "tune.json")
    return record


def _record(trial: FrozenTrial, values: dict[str, str]) -> TrialRecord:
    attributes = trial.user_attrs
    return TrialRecord(
        values=values,
        score=trial.value,
        seconds=attributes[SECONDS],
        pruned_at=attributes.get(PRUNED) if trial.state.name == "PRUNED" else None,
        failed=attributes.get(FAILED),
    )


def table(found: Tuning) -> Table:
    """The trials in their order."""
    keys = list(dict.fromkeys(key for trial in found.trials for key in trial.values))
    rows = [
        (str(place), *(trial.values.get(key, "") for key in keys), _score(trial), amount(trial.seconds))
        for place, trial in enumerate(found.trials)
    ]
    ended = {
        "pruned": sum(trial.pruned_at is not None for trial in found.trials),
        "failed": sum(trial.failed is not None for trial in found.trials),
    }
    early = ", ".join(f"{count} {how}" for how, count in ended.items() if count)
    title = f"{len(found.trials)} trials, {early}" if early else "Trials"
    return Table(title, ("trial", *keys, f"{found.metric} on validation", "s"), rows)


def _score(trial: TrialRecord) -> str:
    if trial.score is None:
        return "failed"
    when = f", pruned at {trial.pruned_at} %" if trial.pruned_at is not None else ""
    return number(trial.score) + when
