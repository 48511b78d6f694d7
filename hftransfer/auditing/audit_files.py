"""What an audit leaves: `audit.csv`, which `data.drop` takes, `audit.html`, and `result.json`, written last."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from hftransfer.auditing.audited_rows import AuditedRows
from hftransfer.core.audit_record import REASONS, AuditedRow, AuditResult
from hftransfer.core.files import write_text
from hftransfer.core.run_folder import RunFolder
from hftransfer.core.yaml_writer import dump_yaml
from hftransfer.reporting.audit_page import SHOWN, html, key
from hftransfer.reporting.tables import escape_cell

if TYPE_CHECKING:
    from hftransfer.tasks import Rendered

_HEADER = (
    "reason",
    "drop",
    "split",
    "row",
    "part",
    "label",
    "suggested",
    "similar_split",
    "similar_row",
    "score",
    "detail",
    "content",
)


def write_files(result: AuditResult, rows: AuditedRows, run_folder: RunFolder) -> None:
    """Write the files of an audit, and give its folder its name."""
    folder = run_folder.folder
    run_folder.unseal()
    write_text(folder / "audit.csv", table(result))
    write_text(folder / "audit.html", html(result, _rendered(result, rows)))
    write_text(folder / "recipe.yaml", dump_yaml(result.recipe))
    result.save(folder / "result.json")
    run_folder.complete()


def table(result: AuditResult) -> str:
    """The findings as CSV, one a line, in the order of the record."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADER)
    for finding in result.findings:
        row, similar = finding.row, finding.similar_to
        writer.writerow(
            (
                finding.reason,
                "yes" if finding.drop else "no",
                row.split,
                row.row,
                row.part,
                escape_cell(row.label),
                escape_cell(finding.suggested),
                "" if similar is None else similar.split,
                "" if similar is None else similar.row,
                finding.score,
                escape_cell(finding.detail),
                escape_cell(row.content),
            )
        )
    return text.getvalue()


def _rendered(result: AuditResult, rows: AuditedRows) -> dict[str, Rendered]:
    """What the page shows of each row on it."""
    shown: dict[str, AuditedRow] = {}
    for reason in REASONS:
        for finding in result.of(reason)[:SHOWN]:
            for row in (finding.row, finding.similar_to):
                if row is not None:
                    shown[key(row)] = row
    task = rows.rows.task
    rendered = {}
    for name, row in shown.items():
        one = rows.rows.splits[row.part].select([row.place])
        reference = task.references(one)[0]
        rendered[name] = task.render(one[0], reference, reference)
    return rendered
