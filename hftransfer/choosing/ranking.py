"""The record of a ranking, `result.json` in its directory."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from hftransfer.core.plugins import Record
from hftransfer.core.results import JsonObject, Score
from hftransfer.core.saved_record import SavedRecord

SCHEMA = 1


class RankedCheckpoint(Record):
    """One checkpoint on the rows of a ranking."""

    name: str
    measures: dict[str, Score]
    """`probe` and `knn`: the headline metric on held-out folds. `log_me`, and for classes `h_score`."""
    difference: dict[str, Score]
    """Measure -> how much better the best checkpoint is, with its paired interval; 0 for the best one itself."""
    separable: dict[str, bool]
    """Measure -> whether the interval of the difference leaves out 0."""
    pooling: str
    """The features that cross-validation prefers: `mean`, `first` or `pooler`."""
    parameters: int
    bytes: int
    """Size of the weights on disk."""
    milliseconds: float
    """Of the features of one row, in batches, on the machine and the threads that computed them."""
    license: str | None = None
    pareto: bool = False
    """Whether no other checkpoint has both a better probe and a faster row."""


class FineTuned(Record):
    """One checkpoint in one round of the successive fine-tuning."""

    name: str
    round: int
    """From 1 on."""
    steps: int
    """Optimizer steps; 0 where the strategy trains without the Trainer."""
    score: Score
    """The headline metric on the validation rows."""
    difference: Score
    """How much better the best checkpoint of the round is, with its paired interval."""
    separable: bool
    """Whether the interval of the difference leaves out 0."""
    seconds: float
    """Of training and scoring."""


class Ranking(SavedRecord):
    """Checkpoints in the order of their probes, the best first."""

    damaged: ClassVar[str] = "is not the record of a ranking: run `hftransfer rank` again"

    schema_: int = Field(default=SCHEMA, alias="schema")
    kind: Literal["rank"] = "rank"
    recipe: JsonObject
    """The recipe with every default written out."""
    task: str
    headline: str
    """The metric of `probe`, `knn` and the fine-tuning."""
    rows: int
    """Training rows that the measures were computed on."""
    checkpoints: list[RankedCheckpoint]
    fine_tuned: list[FineTuned] = []
    verdict: str
    """What follows, in a few sentences."""
    warnings: list[str] = []
    seconds: float
    """Of the whole command; of a repeated one, little."""
    hardware: str
    versions: dict[str, str]
    """Package -> version."""

    @property
    def best(self) -> str:
        """The checkpoint to take: the best of the last round of fine-tuning, else that with the best probe."""
        if not self.fine_tuned:
            return self.checkpoints[0].name
        last = max(entry.round for entry in self.fine_tuned)
        return next(it.name for it in self.fine_tuned if it.round == last)
