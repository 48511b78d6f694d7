"""The record of an audit, `result.json` in its folder. Its page, its CSV and what the terminal shows read only this."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from hftransfer.core.data_facts import DataFacts
from hftransfer.core.plugins import Record
from hftransfer.core.saved_record import SavedRecord

Reason = Literal["near copy", "suspicious label", "unlike the rest", "odd size"]
"""What is reported of single rows, in the order of the page."""
REASONS: tuple[Reason, ...] = ("near copy", "suspicious label", "unlike the rest", "odd size")
SCHEMA = 1


class AuditedRow(Record):
    """A row of the source."""

    part: str
    """train, validation or test."""
    split: str
    """The source's split."""
    row: int
    """Its number there, from 0 on."""
    content: str
    """The hash of its inputs, in hexadecimal digits."""
    place: int
    """Its number in `part`."""
    label: str = ""
    """Its label in words; empty where rows have no classes."""

    def __str__(self) -> str:
        """As a message names it."""
        return f"row {self.row} of '{self.split}' ({self.part})"


class Finding(Record):
    """What is suspicious about a row."""

    reason: Reason
    row: AuditedRow
    score: float
    """How sure it is: of near copies their similarity, of labels the margin of the suggested label's probability over
    that of the given one, of other rows their distance from the usual ones in interquartile ranges."""
    detail: str
    """The sentence that says it."""
    drop: bool
    """Whether `data.drop` would leave the row out: training rows alone, near copies and suspicious labels."""
    similar_to: AuditedRow | None = None
    """Of a near copy, the row that stays."""
    suggested: str = ""
    """Of a suspicious label, the one that the features speak for."""


class AuditResult(SavedRecord):
    """An audit."""

    damaged: ClassVar[str] = "is damaged, or not the record of an audit: audit again with --overwrite"

    schema_version: int = SCHEMA
    name: str
    """Of the audit's folder."""
    task: str
    checkpoint: str
    """The checkpoint whose features were compared; empty where none were."""
    recipe: dict[str, Any]
    data: DataFacts
    findings: list[Finding]
    """Near copies first, then labels; of each reason the surest first."""
    problems: list[str]
    """Sentences about classes, groups, and rows of equal content."""
    unchecked: list[str]
    """What was not checked, and why."""
    copies: dict[str, int]
    """Two parts (`train-test`) or one -> pairs of near copies between them."""
    mislabelled: float | None = None
    """The share of labels that are wrong by the confident joint (Northcutt et al. 2021); None where not estimated."""
    seconds: dict[str, float]
    """Stage -> seconds."""
    features: dict[str, int]
    """Rows whose features were `computed`, and those whose features were `kept` from an earlier audit."""
    hardware: str
    versions: dict[str, str]

    def of(self, reason: Reason) -> list[Finding]:
        """The findings of one reason."""
        return [finding for finding in self.findings if finding.reason == reason]
