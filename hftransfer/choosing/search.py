"""A search of Optuna whose trials are runs: proposed by TPE, ended early by successive halving, kept in a journal."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.choosing import grid
from hftransfer.choosing.grid import Combination
from hftransfer.choosing.parallel import ParallelRuns, run_together
from hftransfer.choosing.search_space import SearchSpace
from hftransfer.choosing.study import FAILED, FIRST, PRUNED, SECONDS, Clock, interrupted, next_trial, open_study
from hftransfer.choosing.trial_run import TrialRun, score_and_seconds
from hftransfer.core.console import report
from hftransfer.core.errors import HFTransferError, RecipeError
from hftransfer.core.results import RunResult
from hftransfer.core.run_folder import discard_unfinished
from hftransfer.metrics import lower_is_better
from hftransfer.reporting.tables import amount, number
from hftransfer.runner.plan import check
from hftransfer.runner.trial_scores import environment, final_score, read_scores, scores_file

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

    from hftransfer.choosing.run_process import RunProcess

# What a trial does not need: it is scored on validation rows alone.
_TRIAL = ("export=null", "evaluation.baselines=[]")
_FINALISTS = 2
# Attribute of the study: the values of the run in `best`.
_WINNER = "winner"
# The run of the winner reads the test rows besides, and has baselines and an export.
_WHOLE_RUN = 2.2
# Proposals in a row that have been run already, after which there is nothing new to try.
_REPEATS = 30
# Trials in a row that fail, after which the reason is not their values.
_FAILURES = 3


@dataclass(frozen=True)
class Options:
    """How long a search goes on, and how; minutes or trials are given."""

    minutes: float | None
    """Of the search and all that follows it, those before an interruption among them."""
    trials: int | None
    seeds: int = 3
    """Runs of each of the two best trials, which decide between them; 1: the best trial wins."""
    jobs: int = 1
    """Runs at the same time."""
    prune: bool = True
    """Whether trials that are worse than others at the same stage of their training end there."""


class Search:
    """The trials, and the runs that follow them."""

    def __init__(self, space: SearchSpace, options: Options, out: Path) -> None:
        """Open the study in `out`, or begin it.

        Raises:
            HFTransferError: the recipe cannot be run, or the folder holds another search.
        """
        recipe = space.base.read(space.common)
        self.space, self.options, self.out = space, options, out
        # Test rows are read by the winner alone: whether they can be is known before the first trial.
        plan = check(recipe)
        if "validation" not in plan.task.scored_splits:
            raise RecipeError(f"tune chooses by validation rows, which task '{plan.task.name}' does not score")
        self.metric, self.seed = plan.metrics[0], recipe.seed
        for seed in range(self.seed + 1, self.seed + options.seeds):
            grid.check_seed(space.base, space.common, self.seed, seed)
        self.study = open_study(space, out, lower_is_better(self.metric))
        self.clock = Clock(self.study)
        self._started = {label_of(self.values(trial)) for trial in self.ended()}
        self._repeats = self._failures = 0

    def ended(self) -> list[FrozenTrial]:
        """The trials that were run, to their end or not, in their order."""
        from optuna.trial import TrialState

        states = (TrialState.COMPLETE, TrialState.PRUNED)
        return [it for it in self.study.get_trials() if it.state in states or FAILED in it.user_attrs]

    def complete(self) -> list[FrozenTrial]:
        """The trials that were trained to their end."""
        from optuna.trial import TrialState

        return self.study.get_trials(states=[TrialState.COMPLETE])

    def values(self, trial: FrozenTrial) -> dict[str, str]:
        """Key of the recipe -> value of a trial."""
        return self.space.values(trial.params)

    def values_of(self, number: int) -> dict[str, str]:
        """Key of the recipe -> value of the trial of this number."""
        return self.values(self.study.get_trials()[number])

    def run(self) -> None:
        """Run trials until the budget is spent, interrupted ones first.

        Raises:
            HFTransferError: the recipe as it is cannot be run, or several trials in a row fail.
        """
        waiting = interrupted(self.study, self.out)
        running: dict[RunProcess, TrialRun] = {}
        with ParallelRuns(self.options.jobs) as runs:
            while True:
                while runs.has_room and self._goes_on(len(running)):
                    trial = waiting.pop(0) if waiting else next_trial(self.study, self.seed, self.options.jobs)
                    self._start(trial, runs, running)
                if not running:
                    return
                for process in runs.wait(partial(self._look, running)):
                    self._end(running.pop(process), process)

    def _goes_on(self, running: int) -> bool:
        """Whether another trial fits into the budget, with the runs that follow the search."""
        done, ended = self.complete(), len(self.ended())
        if self._repeats >= _REPEATS:
            return False
        if self.options.trials is not None and ended + running >= self.options.trials:
            return False
        if self.options.minutes is None or not done:
            return True
        trial = float(np.mean([one.user_attrs[SECONDS] for one in done]))
        rounds = -(-_FINALISTS * (self.options.seeds - 1) // self.options.jobs)
        return self.clock.seconds + (1 + rounds + _WHOLE_RUN) * trial <= 60 * self.options.minutes

    def _start(self, trial: Trial, runs: ParallelRuns, running: dict[RunProcess, TrialRun]) -> None:
        """Start the run of a trial, or end the trial where there is nothing to run."""
        from optuna.trial import TrialState

        values = self.space.values(self.space.suggest(trial))
        if label_of(values) in self._started:
            self._repeats += 1
            self.study.tell(trial, state=TrialState.FAIL)
            return
        self._repeats = 0
        self._started.add(label_of(values))
        combination = self._combination(values, self.seed)
        reported = set(self.study.get_trials()[trial.number].intermediate_values)
        one = TrialRun(trial, values, combination.folder(self.out, self.seed), reported=reported)
        one.pruned_at = trial.user_attrs.get(PRUNED)
        if one.pruned_at is not None or final_score(one.scores_file):
            self._end(one)
            return
        running[runs.start(combination, one.folder, environment(one.folder, on_its_way=self.options.prune))] = one

    def _look(self, running: dict[RunProcess, TrialRun]) -> None:
        """Stop the runs of trials that are given up."""
        for process, one in running.items():
            if one.pruned_at is None and self._is_pruned(one):
                process.terminate()
        self.clock.save(seldom=True)

    def _is_pruned(self, one: TrialRun) -> bool:
        """Whether the study gives a trial up by the scores that it has so far.

        The first trial, the recipe as it is, is never given up; others are compared with it.
        """
        if not self.options.prune:
            return False
        for progress, score in read_scores(one.scores_file):
            if progress not in one.reported:
                one.reported.add(progress)
                one.trial.report(score, progress)
            # Of a score that was reported before an interruption, it is not certain that the pruner was asked.
            if one.trial.should_prune() and FIRST not in one.trial.user_attrs:
                one.pruned_at = progress
                one.trial.set_user_attr(PRUNED, progress)
                return True
        return False

    def _end(self, one: TrialRun, process: RunProcess | None = None) -> None:
        """Tell the study how a trial has ended; a run that was finished before it could be stopped counts."""
        from optuna.trial import TrialState

        seconds, state, value = time.monotonic() - one.start, TrialState.COMPLETE, None
        if one.pruned_at is not None and final_score(one.scores_file) is None:
            state, how = TrialState.PRUNED, f"pruned at {one.pruned_at} % of its training"
        else:
            try:
                value, spent = self._final_score(one, process)
            except HFTransferError as error:
                self._fail(one, error)
                return
            # Those before an interruption among them.
            seconds = max(seconds, spent)
            how = f"{self.metric} {number(value)} on validation"
        discard_unfinished(one.folder)
        one.trial.set_user_attr(SECONDS, seconds)
        self.study.tell(one.trial, value, state)
        self._failures = 0
        self.clock.save()
        report(f"trial {one.trial.number}: {label_of(one.values)}: {how}, {amount(seconds)} s")

    def _final_score(self, one: TrialRun, process: RunProcess | None) -> tuple[float, float]:
        """Score and seconds of a trial that is done.

        Raises:
            HFTransferError: its run has failed.
        """
        if process is not None:
            if final_score(one.scores_file) is None:
                process.check()
            # The scores of a training that ended between two looks: later trials are compared with them.
            self._is_pruned(one)
        return score_and_seconds(one.folder)

    def _fail(self, one: TrialRun, error: HFTransferError) -> None:
        """Go on without a trial, unless it is the first; the next search runs that one again."""
        from optuna.trial import TrialState

        if FIRST in one.trial.user_attrs:
            raise error
        discard_unfinished(one.folder)
        self._failures += 1
        one.trial.set_user_attr(FAILED, str(error))
        one.trial.set_user_attr(SECONDS, time.monotonic() - one.start)
        self.study.tell(one.trial, state=TrialState.FAIL)
        if self._failures >= _FAILURES:
            raise error
        report(f"trial {one.trial.number}: {label_of(one.values)}: failed: {error}")

    def finalists(self) -> dict[int, list[float]]:
        """Number of each of the best trials -> its scores on validation by seed."""
        sign = -1 if lower_is_better(self.metric) else 1
        ordered = sorted(self.complete(), key=lambda trial: -sign * (trial.value or 0.0))
        different: dict[str, FrozenTrial] = {}
        for trial in ordered:
            different.setdefault(label_of(self.values(trial)), trial)
        best = list(different.values())[: _FINALISTS if self.options.seeds > 1 else 1]
        seeds = range(self.seed + 1, self.seed + self.options.seeds)
        runs = {(it.number, seed): self._seeded(self.values(it), seed) for it in best for seed in seeds}
        todo = [
            (*run, environment(run[1], on_its_way=False))
            for run in runs.values()
            if final_score(scores_file(run[1])) is None
        ]
        run_together(todo, self.options.jobs)
        self.clock.save()
        read = {key: score_and_seconds(folder)[0] for key, (_, folder) in runs.items()}
        for _, folder in runs.values():
            discard_unfinished(folder)
        return {it.number: [it.value or 0.0, *(read[it.number, seed] for seed in seeds)] for it in best}

    def _seeded(self, values: dict[str, str], seed: int) -> tuple[Combination, Path]:
        combination = self._combination(values, seed)
        return combination, combination.folder(self.out, seed)

    def _combination(self, values: dict[str, str], seed: int) -> Combination:
        return Combination(self.space.base, values, (*self.space.common, *_overrides(values), *_TRIAL, f"seed={seed}"))

    def winner(self, values: dict[str, str]) -> RunResult:
        """The run of the best values, whole, in `best`; an earlier search's winner gives way, as `best-1` and so on."""
        combination = Combination(self.space.base, values, (*self.space.common, *_overrides(values)))
        before = self.study.user_attrs.get(_WINNER, label_of(values))
        if before != label_of(values) and (self.out / "best").is_dir():
            places = (self.out / f"best-{number}" for number in itertools.count(1))
            (self.out / "best").rename(next(place for place in places if not place.exists()))
        self.study.set_user_attr(_WINNER, label_of(values))
        try:
            return grid.run_combination(combination, self.out / "best")
        finally:
            self.clock.save()


def _overrides(values: dict[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in values.items()]


def label_of(values: dict[str, str]) -> str:
    """The values, as messages and records name them."""
    return ", ".join(_overrides(values))
