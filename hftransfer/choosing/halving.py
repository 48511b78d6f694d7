"""Successive halving of checkpoints: all are fine-tuned for a few steps, the better half for more, and so on.

Jamieson and Talwalkar 2016, https://arxiv.org/abs/1502.07943. Every training begins at the checkpoint, with a schedule
of its own, so that its score is that of a whole training of so many steps. Validation rows choose; test rows are not
read by any model.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hftransfer.choosing.candidates import Candidate
from hftransfer.choosing.frozen import RankingRows
from hftransfer.choosing.measures import differences, is_separable, score_outputs
from hftransfer.choosing.parts import training_alone
from hftransfer.choosing.ranking import FineTuned
from hftransfer.core.console import report
from hftransfer.core.errors import ModelError
from hftransfer.core.files import Arrays, arrays_once, hash_of, write_text
from hftransfer.core.run_folder import RunFolder
from hftransfer.core.yaml_writer import dump_yaml
from hftransfer.data.encode import encode
from hftransfer.metrics import lower_is_better
from hftransfer.recipe.schema import Recipe
from hftransfer.runner.context import RunContext
from hftransfer.runner.plan import Plan, check
from hftransfer.runner.specs import with_defaults
from hftransfer.runner.stages import train_baseline
from hftransfer.training.arguments import DEFAULTS, rows_of_step, uses_cpu

_VARIANT = "tuned"
# Fewer steps than these say nothing of a checkpoint.
_LEAST_STEPS = 10
# Rounds are planned for this share of the time that is left, since other work slows a machine.
_SHARE = 0.8
# A training step costs about three forward passes of its batch; a training, some seconds more to begin and to score.
_PASSES, _OVERHEAD = 3, 10.0


@dataclass
class Halving:
    """The successive fine-tuning of some checkpoints, within a time."""

    recipe: Recipe
    rows: RankingRows
    survivors: Sequence[Candidate]
    """Of the ranking, the best first."""
    folder: Path
    """Of the cached outputs, and of unfinished trainings."""
    minutes: float
    """For all that is done from `start` on."""
    start: float
    """By `time.monotonic`."""
    milliseconds: dict[str, float]
    """Name -> of the features of one row, by which trainings are planned until steps are timed."""
    warnings: list[str] = field(default_factory=list)
    _seconds: dict[str, float] = field(default_factory=dict)
    """Name -> of a step, by its last training."""

    def run(self) -> list[FineTuned]:
        """All trainings, round by round, within a round the best one first.

        How many steps a round has is settled when it begins, and the same for a repeated call.
        """
        self.folder.mkdir(exist_ok=True)
        found: list[FineTuned] = []
        left, total, batch = list(self.survivors), *self._recipe_steps()
        rounds = 1 if total == 0 else max(1, math.ceil(math.log2(len(left))))
        file = self.folder / f"plan-{self._key()}.json"
        planned: list[int | None] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
        for number in range(1, rounds + 1):
            if len(planned) < number:
                planned.append(self._affordable_steps(left, rounds - number, total, batch))
                write_text(file, json.dumps(planned))
            steps = planned[number - 1]
            if steps is None:
                self.warnings.append(f"--minutes: the time was over after round {number - 1} of {rounds}")
                break
            entries = self.fine_tune(left, steps, number, rounds)
            found += entries
            by_name = {candidate.name: candidate for candidate in left}
            left = [by_name[entry.name] for entry in entries][: max(2, math.ceil(len(left) / 2))]
            if len(left) < 2:
                break
        return found

    def _key(self) -> str:
        contents = [it.content for it in self.survivors]
        return hash_of(self.recipe.model_dump(mode="json"), contents, self.rows.key, self.minutes)

    def _seconds_left(self) -> float:
        return self.start + 60 * self.minutes - time.monotonic()

    def _recipe_steps(self) -> tuple[int, int]:
        """The steps of the recipe's own training, 0 where the strategy takes none, and the rows of a step."""
        plan = self._plan(self.survivors[0], 0)
        strategy, arguments = plan.tuned.strategy.steps()[-1]
        training = DEFAULTS | plan.tuned.training | arguments
        batch = rows_of_step(training)
        if not strategy.uses_trainer(plan.task):
            return 0, batch
        # The recipe of the plan has none of its own.
        steps = self.recipe.training.get("max_steps", 0)
        if steps <= 0:
            steps = math.ceil(training["num_train_epochs"] * math.ceil(len(plan.rows.splits["train"]) / batch))
        return int(steps), batch

    def _affordable_steps(self, left: list[Candidate], rounds_after: int, total: int, batch: int) -> int | None:
        """The steps of a round's trainings, at most half of the next one's; None where the time is over.

        The last round has the recipe's own number of steps where the time allows it.
        """
        seconds = _SHARE * self._seconds_left() / (rounds_after + 1)
        guesses = {name: _PASSES * batch * it / 1000 for name, it in self.milliseconds.items()}
        a_step = sum(self._seconds.get(it.name, guesses[it.name]) for it in left)
        untimed = sum(it.name not in self._seconds for it in left)
        affordable = int((seconds - _OVERHEAD * untimed) / max(a_step, 1e-6))
        if total == 0:
            return 0 if seconds > 0 else None
        least = min(_LEAST_STEPS, total)
        steps = min(max(least, total // 2**rounds_after), affordable)
        return steps if steps >= least else None

    def fine_tune(self, left: Sequence[Candidate], steps: int, number: int = 1, rounds: int = 1) -> list[FineTuned]:
        """The trainings of one round, the best first.

        Raises:
            ModelError: none of the checkpoints could be trained.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        outputs, seconds = {}, {}
        for place, candidate in enumerate(left, 1):
            self._announce(f"round {number} of {rounds}, {place} of {len(left)}: {candidate.name}, {steps} steps")
            try:
                arrays = self._outputs(candidate, steps)
            except ModelError as error:
                self.warnings.append(f"{candidate.name} was left out of the fine-tuning: {error}")
                continue
            outputs[candidate.name], seconds[candidate.name] = arrays["outputs"], float(arrays["seconds"])
            self._seconds[candidate.name] = seconds[candidate.name] / max(steps, 1)
        if not outputs:
            raise ModelError(f"no checkpoint could be fine-tuned: {self.warnings[-1]}")
        evaluation, references = self.recipe.evaluation, self.rows.validation
        values = score_outputs(self.rows, references, outputs, evaluation.confidence, evaluation.resamples)
        sign = -1 if lower_is_better(self.rows.headline) else 1
        scores, gaps = differences(values, sign, evaluation.confidence, len(references))
        return [
            FineTuned(
                name=name,
                round=number,
                steps=steps,
                score=scores[name],
                difference=gaps[name],
                separable=is_separable(gaps[name]),
                seconds=seconds[name],
            )
            for name in sorted(scores, key=lambda name: -sign * scores[name].value)
        ]

    def _announce(self, text: str) -> None:
        left = max(0.0, self._seconds_left()) / 60
        report(f"fine-tuning, {text}; {left:.1f} minutes left")

    def _outputs(self, candidate: Candidate, steps: int) -> Arrays:
        """The `outputs` of a trained model for the validation rows, and the `seconds` that it took; cached."""
        recipe = self._recipe(candidate, steps)
        name = hash_of(recipe.model_dump(mode="json"), candidate.content, self.rows.key)[:32]
        file = self.folder / f"{name}.npz"
        return arrays_once(file, partial(self._train, candidate, steps, self.folder / name), alone=True)

    def _train(self, candidate: Candidate, steps: int, folder: Path) -> Arrays:
        from accelerate import PartialState

        start = time.monotonic()
        plan = self._plan(candidate, steps)
        run_folder = RunFolder(folder, PartialState(cpu=uses_cpu(plan.recipe.training)))
        with run_folder.open(dump_yaml(with_defaults(plan.recipe)), overwrite=False):
            splits = {name: plan.rows.splits[name] for name in ("train", "validation")}
            encoded = encode(plan.task, splits, run_folder.work_folder / "encoded", num_proc=plan.recipe.data.num_proc)
            context = RunContext(plan, encoded, run_folder)
            train_baseline(context, plan.tuned)
            outputs = context.outputs["validation"][_VARIANT][plan.task.output_names[0]]
        shutil.rmtree(run_folder.folder, ignore_errors=True)
        return {"outputs": outputs, "seconds": np.asarray(time.monotonic() - start)}

    def _plan(self, candidate: Candidate, steps: int) -> Plan:
        return check(self._recipe(candidate, steps), decode=False)

    def _recipe(self, candidate: Candidate, steps: int) -> Recipe:
        """The recipe from this checkpoint, for so many steps, without what follows the training; 0: its own epochs."""
        recipe, model = self.recipe, self.recipe.model
        fields: dict[str, Any] = {"revision": candidate.checkpoint.revision}
        if candidate.name != model.id:
            fields |= {"id": candidate.name, "config": None, "processor": None, "trust_remote_code": False}
        model = model.model_copy(update=fields)
        return training_alone(recipe, {"max_steps": steps} if steps else {}).model_copy(update={"model": model})
