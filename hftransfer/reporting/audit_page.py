"""An audit in the terminal, and as one self-contained HTML page with thumbnails, players and texts."""

from collections.abc import Mapping
from typing import Any

from hftransfer.core.audit_record import REASONS, AuditedRow, AuditResult, Reason
from hftransfer.reporting.tables import Table, amount
from hftransfer.reporting.templates import render

SHOWN = 30
"""Findings of each reason on the page; the CSV has all."""
_PLURALS: dict[Reason, str] = {
    "near copy": "Near copies",
    "suspicious label": "Suspicious labels",
    "unlike the rest": "Rows unlike the rest",
    "odd size": "Odd lengths and sizes",
}
_LISTED = 3


def key(row: AuditedRow) -> str:
    """The name of a row on the page."""
    return f"{row.part}-{row.place}"


def html(result: AuditResult, rendered: Mapping[str, Mapping[str, Any]]) -> str:
    """One HTML page that loads nothing from elsewhere.

    Args:
        result: the record.
        rendered: `key` of a row -> what `Task.render` shows of it, of the first findings of each reason.
    """
    sections = [(_PLURALS[reason], result.of(reason)[:SHOWN], len(result.of(reason))) for reason in REASONS]
    return render(
        "audit.html.jinja",
        title=f"Audit: {result.name}",
        summary=" · ".join(part for part in (result.task, result.checkpoint) if part),
        problems=result.problems,
        unchecked=result.unchecked,
        counts=counts(result),
        cost=_cost(result),
        sections=[section for section in sections if section[1]],
        rendered=rendered,
        key=key,
    )


def terminal(result: AuditResult, folder: str) -> str:
    """The counts, the surest findings of each reason, problems and what was not checked, in plain text."""
    lines = [counts(result).text()]
    for reason in REASONS:
        found = result.of(reason)
        lines += [f"\n{_PLURALS[reason]}:"] * bool(found)
        lines += [f"  {finding.row}: {finding.detail}" for finding in found[:_LISTED]]
        lines += [f"  ... and {len(found) - _LISTED} more"] * (len(found) > _LISTED)
    lines += [f"\nPROBLEM: {line}" for line in result.problems]
    lines += [f"\nNOT CHECKED: {line}" for line in result.unchecked]
    dropped = _droppable(result)
    lines.append(f"\npage: {folder}/audit.html, rows: {folder}/audit.csv")
    if dropped:
        lines.append(f"look at them, then data.drop={folder}/audit.csv leaves {dropped} training rows out")
    return "\n".join(lines)


def counts(result: AuditResult) -> Table:
    """Reason -> findings in each part, and how many rows `data.drop` would leave out."""
    rows = []
    for reason in REASONS:
        found = result.of(reason)
        parts = [sum(finding.row.part == part for finding in found) for part in ("train", "validation", "test")]
        dropped = len({key(finding.row) for finding in found if finding.drop})
        rows.append((_PLURALS[reason], *(f"{count:,}" for count in parts), f"{dropped:,}"))
    header = ("finding", "train", "validation", "test", "rows that data.drop takes")
    return Table("Findings", header, rows)


def _droppable(result: AuditResult) -> int:
    return len({key(finding.row) for finding in result.findings if finding.drop})


def _cost(result: AuditResult) -> Table:
    rows = [(stage, amount(seconds)) for stage, seconds in result.seconds.items()]
    return Table("Cost", ("stage", "seconds"), rows)
