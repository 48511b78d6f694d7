"""Classes that may be one: names that differ in case or in spaces alone, and cells that were read as one name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from hftransfer.core.arrow import read_column
from hftransfer.core.features import Label
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset

# Groups of names that are shown.
_SHOWN = 3


def spelling_warnings(task: Task, splits: Mapping[str, Dataset]) -> list[str]:
    """A warning of classes whose names are spelled alike, and one of cells with spaces around a name.

    Args:
        task: The task with its labels.
        splits: The rows, their labels as they were read.
    """
    return [*_similar(task, splits), *_spaced(task, splits)]


def _similar(task: Task, splits: Mapping[str, Dataset]) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for name in task.labels:
        groups.setdefault(" ".join(name.split()).casefold(), []).append(name)
    alike = [names for names in groups.values() if len(names) > 1]
    if not alike:
        return
    rows = Counter(name for part in splits.values() for names in task.row_labels(part) or [] for name in set(names))
    shown = "; ".join(" and ".join(f"'{name}' ({rows[name]:,} rows)" for name in names) for names in alike[:_SHOWN])
    yield (
        f"classes whose names differ in case or spaces alone are learnt as different ones: {shown}"
        f"{'; ...' if len(alike) > _SHOWN else ''}; where they are one, spell them alike in the data"
    )


def _spaced(task: Task, splits: Mapping[str, Dataset]) -> Iterator[str]:
    """Cells that are a name and spaces around it, where other cells are the name, or have other spaces."""
    if not task.single_label or task.target is None or not isinstance(task.target[1], Label):
        return
    role = task.target[0]
    labels = Counter(cell for part in splits.values() for cell in read_column(part, role) if isinstance(cell, str))
    names = Counter(cell.strip() for cell in labels)
    merged = [cell for cell in labels if cell != cell.strip() and names[cell.strip()] > 1]
    if merged:
        shown = ", ".join(f"{cell!r} ({labels[cell]:,} rows)" for cell in merged[:_SHOWN])
        yield (
            f"labels are read without the spaces around them: {shown}{', ...' if len(merged) > _SHOWN else ''} as "
            f"'{merged[0].strip()}'{' and so on' if len({cell.strip() for cell in merged}) > 1 else ''}"
        )
