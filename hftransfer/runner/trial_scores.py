"""Scores of the tuned model on validation rows, while it is trained and when it is done, for the trials of a search.

A search names a file in the environment of a run. At the first evaluation after each of `RUNGS` the training appends a
line with its headline metric on validation rows; it goes on as without: the same weights, the same random numbers. A
last line has the score of the trained model, with which the run of a trial ends: no model reads its test rows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftransfer.core import ranks
from hftransfer.data.encode import EncodedSplits
from hftransfer.evaluation.scoring import Answers, answers
from hftransfer.runner.context import RunContext
from hftransfer.runner.fitting import fit_inputs
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from torch import nn
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

_VARIABLE, _ON_ITS_WAY = "HFTRANSFER_TRIAL_SCORES", "HFTRANSFER_TRIAL_RUNGS"
RUNGS = (25, 50)
"""Percent of the training's steps after which it is scored."""
_DONE = 100
_SPLIT = "validation"


def interim_callbacks(
    context: RunContext, model: nn.Module, encoded: EncodedSplits, training: str
) -> list[TrainerCallback]:
    """What scores the last training of the tuned model where a search asks for it; `encoded` are its rows.

    Nothing does where the rows are those of several tasks.
    """
    named = trial_file()
    if named is None or _ON_ITS_WAY not in os.environ or training != "tuned" or context.plan.auxiliary:
        return []
    file: Path = named
    from transformers import TrainerCallback

    class InterimScores(TrainerCallback):
        """Scores the model after an evaluation that is the first after a rung."""

        scored = max((progress for progress, _ in read_scores(file)), default=0)

        def on_evaluate(
            self, _args: TrainingArguments, state: TrainerState, _control: TrainerControl, **_kwargs: Any
        ) -> None:
            """Append a line, unless the training is over: its own score follows then."""
            progress = 100 * state.global_step // state.max_steps
            if progress < _DONE and any(self.scored < rung <= progress for rung in RUNGS):
                value = _score(context, model, encoded)
                self.scored = progress
                _append(file, {"progress": progress, "score": value})

    return [InterimScores()]


def scores_file(folder: Path) -> Path:
    """Where the run of a trial in this folder writes its scores."""
    return folder.with_name(f"{folder.name}.scores")


def environment(folder: Path, *, on_its_way: bool) -> dict[str, str]:
    """The variables that make the run in a folder that of a trial, which is scored on its way too if that is asked."""
    return {_VARIABLE: str(scores_file(folder).absolute())} | ({_ON_ITS_WAY: "1"} if on_its_way else {})


def trial_file() -> Path | None:
    """The file of scores, if this run is that of a trial."""
    named = os.environ.get(_VARIABLE)
    return Path(named) if named else None


def read_scores(file: Path) -> list[tuple[int, float]]:
    """Percent of the training, and the score that it had then."""
    return [(int(line["progress"]), line["score"]) for line in _lines(file) if line["progress"] < _DONE]


def final_score(file: Path) -> tuple[float, float] | None:
    """Score of the trained model, and the seconds of the run; None for a trial that is not done."""
    return next(((line["score"], line["seconds"]) for line in _lines(file) if line["progress"] == _DONE), None)


def write_final_score(file: Path, context: RunContext) -> None:
    """Append the headline metric of the tuned model on validation rows, whose outputs the context has."""
    answered, seconds = context.answers(_SPLIT, "tuned"), sum(context.run_folder.costs()["seconds"].values())
    _append(file, {"progress": _DONE, "score": _headline(context, answered), "seconds": seconds})


def _lines(file: Path) -> list[dict[str, float]]:
    """What a file of scores holds; a line that was not written to its end is left out."""
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]


def _append(file: Path, line: dict[str, float]) -> None:
    if ranks.is_main():
        with file.open("a", encoding="utf-8") as lines:
            # The line before may not have been written to its end.
            lines.write(f"\n{json.dumps(line)}\n")


def _score(context: RunContext, model: nn.Module, encoded: EncodedSplits) -> float:
    """The headline metric on validation rows, as that of the tuned model is computed but for its calibration."""
    task = context.plan.task
    with _finalized(task, model):
        outputs = {
            split: context.predict_few(task, model, encoded, split)
            for split in dict.fromkeys((_SPLIT, *task.fit_splits))
        }
    if task.fit_splits:
        task = task.model_copy(update=task.fit_outputs(*fit_inputs(context, outputs, encoded)))
    return _headline(context, answers(task, outputs[_SPLIT], context.side(_SPLIT), context.references(_SPLIT)))


def _headline(context: RunContext, answered: Answers) -> float:
    """The headline metric of answers to the validation rows."""
    headline = context.plan.metrics[0]
    # The value on all rows stands first; its interval is not needed.
    scorer = replace(context.scorer([headline]), resamples=0)
    values = scorer.resample({"tuned": answered}, context.references(_SPLIT), context.units(_SPLIT))
    return float(values["tuned"][headline][0])


@contextmanager
def _finalized(task: Task, model: nn.Module) -> Iterator[None]:
    """The model as it would ship if its training ended now.

    Afterwards its weights are those of the training again, and so are the random numbers: some models draw dropout
    whenever they answer (SpeechT5).
    """
    import torch

    from hftransfer.training.resumable import random_states, set_random_states

    states = random_states()
    trained = {weights: weights.detach().clone() for weights in model.parameters() if weights.requires_grad}
    modules = dict(model.named_children())
    task.finalize(model)
    try:
        yield
    finally:
        for name, module in modules.items():
            model.add_module(name, module)
        with torch.no_grad():
            for weights, values in trained.items():
                weights.copy_(values)
        set_random_states(*states)
