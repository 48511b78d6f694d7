"""Hyper-parameters by search: trials scored on validation rows, seeds for the two best, test rows for the winner."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.choosing import grid
from hftransfer.choosing.grid import Base, Combination
from hftransfer.choosing.search_space import SearchSpace, search_space
from hftransfer.core.errors import MissingExtraError, RecipeError
from hftransfer.core.plugins import Record
from hftransfer.core.results import RunResult
from hftransfer.core.saved_record import SavedRecord
from hftransfer.metrics import lower_is_better
from hftransfer.reporting.tables import Table, amount, number
from hftransfer.runner.plan import check

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

# What a trial does not need: it is scored on validation rows alone.
_TRIAL = ("export=null", "evaluation.baselines=[]")
_FINALISTS = 2
# The run of the winner has baselines and an export besides.
_WHOLE_RUN = 1.5
_STUDY = "study.log"
_SECONDS, _SPACE = "seconds", "space"


@dataclass(frozen=True)
class Budget:
    """When the search ends; at least one of the two is given."""

    minutes: float | None
    """Of all runs together, those before an interruption among them."""
    trials: int | None


class Trial(Record):
    """One combination."""

    values: dict[str, str]
    """Key of the recipe -> value."""
    score: float
    """The headline metric on validation."""
    seconds: float


class Tuning(SavedRecord):
    """What `hftransfer tune` has found, as `tune.json`."""

    metric: str
    space: list[str]
    trials: list[Trial]
    """In their order."""
    finalists: dict[str, list[float]]
    """Values -> scores on validation by seed."""
    best: dict[str, str]
    """Key of the recipe -> value of the winner."""
    run: str
    """Directory of the winner's run, with the recipe's baselines and export: the one that ships."""
    minutes: float


def tune(base: Base, overrides: Sequence[str], budget: Budget, seeds: int, out: Path) -> Tuning:
    """Search learning rate, epochs, batch size and rank, and whatever an override gives several values.

    Optuna's TPE proposes (Bergstra et al. 2011); the first trials are the recipe as it is, with each of the values of
    lists. The study is kept in `out/study.log` and each trial's run in `out/runs`, so that an interrupted search goes
    on where it was. What trials score on test rows is not read: the winner is run once more, whole.

    Args:
        base: the recipe.
        overrides: fields to change; a list is several values, one of which is chosen.
        budget: of the search and all that follows it.
        seeds: runs of each of the two best trials, which decide between them; 1: the best trial wins.
        out: directory of the study, the runs and `tune.json`.

    Raises:
        HFTransferError: Optuna is not installed, the folder holds another search, or a run fails.
    """
    if importlib.util.find_spec("optuna") is None:
        raise MissingExtraError("tune needs the package optuna: pip install 'hftransfer-recipes[tune]'")
    search = _Search(search_space(base, overrides), budget, seeds, out)
    search.run()
    finalists = search.finalists()
    sign = -1 if lower_is_better(search.metric) else 1
    best = max(finalists, key=lambda place: sign * float(np.mean(finalists[place])))
    values = search.values(search.study.trials[best])
    winner = grid.run_combination(base, Combination(values, (*search.space.common, *_overrides(values))), out / "best")
    record = Tuning(
        metric=winner.headline,
        space=[str(dimension) for dimension in search.space.dimensions],
        trials=[
            Trial(values=search.values(trial), score=trial.value or 0.0, seconds=trial.user_attrs[_SECONDS])
            for trial in search.finished()
        ],
        finalists={_label(search.values(search.study.trials[place])): scores for place, scores in finalists.items()},
        best=values,
        run=str(out / "best"),
        minutes=(search.seconds + sum(winner.seconds.values())) / 60,
    )
    record.save(out / "tune.json")
    return record


class _Search:
    """A study of Optuna whose trials are runs."""

    def __init__(self, space: SearchSpace, budget: Budget, seeds: int, out: Path) -> None:
        recipe = space.base.read(space.common)
        self.space, self.budget, self.seeds, self.out = space, budget, seeds, out
        self.metric, self.seed = check(recipe, sample=True).metrics[0], recipe.seed
        self.study = self._open()

    @property
    def seconds(self) -> float:
        """Of all runs so far."""
        return float(self.study.user_attrs[_SECONDS])

    def _open(self) -> Study:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.out.mkdir(parents=True, exist_ok=True)
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(self.out / _STUDY))),
            study_name="tune",
            direction="minimize" if lower_is_better(self.metric) else "maximize",
            sampler=optuna.samplers.TPESampler(seed=self.seed),
            load_if_exists=True,
        )
        space = [*self.space.common, *map(str, self.space.dimensions)]
        if study.user_attrs.get(_SPACE, space) != space:
            raise RecipeError(f"'{self.out}' holds a search of another recipe or space; choose another --out")
        study.set_user_attr(_SPACE, space)
        study.set_user_attr(_SECONDS, study.user_attrs.get(_SECONDS, 0.0))
        for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
            # Interrupted: its run goes on as that of a new trial with the same values.
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params)
        if not study.trials:
            for parameters in self.space.defaults():
                study.enqueue_trial(parameters)
        return study

    def finished(self) -> list[FrozenTrial]:
        """The trials with a score, in their order."""
        from optuna.trial import TrialState

        return self.study.get_trials(states=[TrialState.COMPLETE])

    def values(self, trial: FrozenTrial) -> dict[str, str]:
        """Key of the recipe -> value of a trial."""
        return self.space.values(trial.params)

    def run(self) -> None:
        """Run trials until the budget is spent."""
        while self._has_time():
            trial = self.study.ask()
            values = self.space.values(self.space.suggest(trial))
            score, seconds = self._score(values, self.seed)
            trial.set_user_attr(_SECONDS, seconds)
            self.study.tell(trial, score)

    def _has_time(self) -> bool:
        """Whether another trial fits, with the runs that follow the search."""
        done = self.finished()
        if not done:
            return True
        if self.budget.trials is not None and len(done) >= self.budget.trials:
            return False
        if self.budget.minutes is None:
            return True
        trial = float(np.mean([one.user_attrs[_SECONDS] for one in done]))
        following = _FINALISTS * (self.seeds - 1) + _WHOLE_RUN
        return self.seconds + (1 + following) * trial <= 60 * self.budget.minutes

    def finalists(self) -> dict[int, list[float]]:
        """Number of each of the best trials -> its scores on validation by seed."""
        sign = -1 if lower_is_better(self.metric) else 1
        ordered = sorted(self.finished(), key=lambda trial: -sign * (trial.value or 0.0))
        different: dict[str, FrozenTrial] = {}
        for trial in ordered:
            different.setdefault(_label(self.values(trial)), trial)
        best = list(different.values())[: _FINALISTS if self.seeds > 1 else 1]
        return {
            trial.number: [
                trial.value or 0.0,
                *(self._score(self.values(trial), self.seed + more)[0] for more in range(1, self.seeds)),
            ]
            for trial in best
        }

    def _score(self, values: dict[str, str], seed: int) -> tuple[float, float]:
        """The headline metric on validation, and the seconds that the run took."""
        combination = Combination(values, (*self.space.common, *_overrides(values), *_TRIAL, f"seed={seed}"))
        folder = combination.folder(self.out, seed)
        was_finished = (folder / "result.json").is_file()
        result = grid.run_combination(self.space.base, combination, folder)
        seconds = sum(result.seconds.values())
        if not was_finished:
            self.study.set_user_attr(_SECONDS, self.seconds + seconds)
        return _validation(result), seconds


def _validation(result: RunResult) -> float:
    return result.scores["validation"]["tuned"][result.headline].value


def _overrides(values: dict[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in values.items()]


def _label(values: dict[str, str]) -> str:
    return ", ".join(_overrides(values))


def table(found: Tuning) -> Table:
    """The trials in their order."""
    keys = list(dict.fromkeys(key for trial in found.trials for key in trial.values))
    rows = [
        (str(place), *(trial.values.get(key, "") for key in keys), number(trial.score), amount(trial.seconds))
        for place, trial in enumerate(found.trials)
    ]
    return Table("Trials", ("trial", *keys, f"{found.metric} on validation", "s"), rows)
