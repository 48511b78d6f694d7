"""The study of a search: Optuna's journal in its folder, what it proposes next, and the time that it has taken."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.choosing.search_space import SearchSpace
from hftransfer.core.errors import RecipeError
from hftransfer.core.files import hash_of
from hftransfer.runner.trial_scores import RUNGS

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import JournalStorage
    from optuna.trial import Trial

FIRST = "first"
"""Attribute of the first trial, the recipe as it is."""
PRUNED = "pruned"
"""Attribute of a trial that is given up: percent of its training."""
FAILED = "failed"
"""Attribute of a trial whose run has failed: why."""
SECONDS = "seconds"
"""Attribute of a trial and of the study."""
_SPACE = "space"
# Of what trials leave: scores, and no runs.
_FORMAT = "scores of trials"
_JOURNAL, _NAME = "study.log", "tune"
_SECONDS_BETWEEN_SAVES = 30
# The better half goes on: of a training in each of whose stages half of the trials end, a third is paid for.
_REDUCTION = RUNGS[1] // RUNGS[0]


def open_study(space: SearchSpace, out: Path, minimize: bool) -> Study:
    """The study of a folder; a new one begins with the recipe as it is.

    Pruning is by asynchronous successive halving (ASHA, Li et al. 2020, https://arxiv.org/abs/1810.05934): at each rung
    a trial goes on if its score is in the better half of all that have reached it so far.

    Raises:
        RecipeError: the folder holds the search of another space.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    out.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=_storage(out),
        study_name=_NAME,
        direction="minimize" if minimize else "maximize",
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=RUNGS[0], reduction_factor=_REDUCTION),
        load_if_exists=True,
    )
    recipe = space.base.read(space.common).model_dump(mode="json")
    described = [_FORMAT, hash_of(recipe), *space.common, *map(str, space.dimensions)]
    if study.user_attrs.get(_SPACE, described) != described:
        raise RecipeError(f"'{out}' holds a search of another recipe or space; choose another --out")
    study.set_user_attr(_SPACE, described)
    if not study.trials:
        # Of a search whose study was removed.
        for scores in out.glob("runs/*.scores"):
            scores.unlink()
        for number, parameters in enumerate(space.defaults()):
            study.enqueue_trial(parameters, user_attrs={} if number else {FIRST: True})
    return study


def _storage(out: Path) -> JournalStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(out / _JOURNAL)))


def interrupted(study: Study, out: Path) -> list[Trial]:
    """The trials that ran when the search was interrupted; they go on with their values and scores."""
    from optuna.trial import Trial, TrialState

    storage = _storage(out)
    number = storage.get_study_id_from_name(_NAME)
    running = study.get_trials(states=[TrialState.RUNNING])
    return [Trial(study, storage.get_trial_id_from_study_id_trial_number(number, it.number)) for it in running]


def next_trial(study: Study, seed: int, jobs: int) -> Trial:
    """A trial with values by TPE (Bergstra et al. 2011).

    Its random numbers depend on the seed and its number alone, so that a search that was interrupted proposes the same.
    With several jobs, those that run count as bad (the constant liar, Ginsbourger et al. 2010), so that they differ.
    """
    from optuna.samplers import TPESampler

    study.sampler = TPESampler(seed=(seed + len(study.get_trials())) % 2**32, constant_liar=jobs > 1)
    return study.ask()


class Clock:
    """The wall time of a search, over all processes that continued it."""

    def __init__(self, study: Study) -> None:
        """Go on from what the study has."""
        self._study, self._start = study, time.monotonic()
        self._before = self._saved = float(study.user_attrs.get(SECONDS, 0.0))

    @property
    def seconds(self) -> float:
        """So far."""
        return self._before + time.monotonic() - self._start

    def save(self, *, seldom: bool = False) -> None:
        """Write it into the study; `seldom`: unless that was done a moment ago."""
        if not seldom or self.seconds - self._saved >= _SECONDS_BETWEEN_SAVES:
            self._saved = self.seconds
            self._study.set_user_attr(SECONDS, self._saved)
