"""What is suspicious about single rows, as the record of an audit has it: the surest first."""

from __future__ import annotations

import numpy as np

from hftransfer.auditing.audited_rows import AuditedRows
from hftransfer.auditing.label_issues import LabelIssues
from hftransfer.auditing.near_copies import Pair, superfluous
from hftransfer.core.audit_record import Finding


def copy_findings(rows: AuditedRows, pairs: list[Pair]) -> list[Finding]:
    """One for each pair: of two parts the row that trains, of one part the later row."""
    leaves = superfluous(rows.count, pairs, rows.is_train)
    findings = []
    for pair in pairs:
        row, stays = rows.row(pair.second), rows.row(pair.first)
        is_equal = rows.contents[pair.first] == rows.contents[pair.second]
        what = "has the same content as" if is_equal else "is nearly the same as"
        labels = f"; their labels differ: {row.label} and {stays.label}" if row.label != stays.label else ""
        findings.append(
            Finding(
                reason="near copy",
                row=row,
                score=pair.similarity,
                detail=f"{what} {stays}{labels}",
                drop=bool(leaves[pair.second]),
                similar_to=stays,
            )
        )
    return findings


def label_findings(rows: AuditedRows, issues: LabelIssues) -> list[Finding]:
    """One for each suspicious label."""
    names, train = rows.rows.task.labels, rows.is_train
    numbers = np.flatnonzero(issues.suspicious)
    return [
        Finding(
            reason="suspicious label",
            row=rows.row(number),
            score=round(float(issues.margins[number]), 4),
            detail=f"the label is {rows.describe(number)}, and similar rows are {names[issues.suggested[number]]}",
            drop=bool(train[number]),
            suggested=names[issues.suggested[number]],
        )
        for number in numbers[np.argsort(-issues.margins[numbers], kind="stable")].tolist()
    ]


def outlier_findings(rows: AuditedRows, distances: np.ndarray) -> list[Finding]:
    """One for each row that is unlike the rest; `distances` are of the rows of distinct content."""
    return [
        Finding(
            reason="unlike the rest",
            row=rows.row(int(rows.distinct[place])),
            score=round(float(distances[place]), 3),
            detail="its tenth nearest row by features is farther away than is usual",
            drop=False,
        )
        for place in np.argsort(-distances, kind="stable").tolist()
        if distances[place] > 0
    ]


def size_findings(rows: AuditedRows, sizes: dict[str, np.ndarray], ranges: dict[str, np.ndarray]) -> list[Finding]:
    """One for each row and size that is far from the usual one."""
    findings = []
    for name, values in ranges.items():
        usual = float(np.median(sizes[name]))
        for number in np.argsort(-np.abs(values), kind="stable").tolist():
            if values[number] == 0:
                break
            detail = f"{sizes[name][number]:,.4g} {name}; half of the rows have {usual:,.4g} or less"
            findings.append(
                Finding(
                    reason="odd size",
                    row=rows.row(number),
                    score=round(float(values[number]), 3),
                    detail=detail,
                    drop=False,
                )
            )
    return findings
