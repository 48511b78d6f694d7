"""A trial of a search whose run goes on, and the score with which it ends."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hftransfer.core.errors import RunError
from hftransfer.runner.trial_scores import final_score, scores_file

if TYPE_CHECKING:
    from optuna.trial import Trial


@dataclass
class TrialRun:
    """A trial whose run goes on."""

    trial: Trial
    values: dict[str, str]
    folder: Path
    start: float = field(default_factory=time.monotonic)
    reported: set[int] = field(default_factory=set)
    """Percent of the training whose scores the study has."""
    pruned_at: int | None = None

    @property
    def scores_file(self) -> Path:
        """Where the run writes its scores."""
        return scores_file(self.folder)


def score_and_seconds(folder: Path) -> tuple[float, float]:
    """Score and seconds of a trial that is done.

    Raises:
        RunError: its run has ended without a score.
    """
    found = final_score(scores_file(folder))
    if found is None or math.isnan(found[0]):
        raise RunError(f"{folder.name}: the run has ended without a score; {folder}.log has what it printed")
    return found
