"""What is odd in the rows of a run, whatever its task."""

from __future__ import annotations

from hftransfer.core import plugins
from hftransfer.data.load import Rows
from hftransfer.data.splits import GROUP


def data_warnings(rows: Rows, shots: int | None) -> list[str]:
    """Warnings of classes with too few rows or none in test, and of groups that train and test share."""
    # A sample has fewer rows of each class.
    counted = [] if rows.sampled else [*_few_shots(rows, shots), *_classes_without_test_rows(rows)]
    return [*counted, *_shared_groups(rows)]


def _few_shots(rows: Rows, shots: int | None) -> list[str]:
    few = {name: count for name, count in rows.facts.classes["train"].items() if shots and count < shots}
    named = ", ".join(f"{name} ({count})" for name, count in few.items())
    return [f"data.shots asks for {shots} rows a class, and these have fewer: {named}"] if few else []


def _classes_without_test_rows(rows: Rows) -> list[str]:
    counts = rows.facts.classes
    lacking = sorted(counts["train"].keys() - counts["test"].keys(), key=plugins.natural) if rows.task.labels else []
    if not lacking or rows.task.open_set:
        return []
    named = f"{', '.join(lacking[:8])}{', ...' if lacking[8:] else ''}"
    return [
        f"{len(lacking)} of {len(counts['train'])} classes have no test row ({named}): data.splits.test may be larger; "
        "where the numbers are quantities, the task is a regression"
    ]


def _shared_groups(rows: Rows) -> list[str]:
    train, test = (rows.splits[name] for name in ("train", "test"))
    if GROUP not in test.column_names or GROUP not in train.column_names:
        return []
    groups = set(test[GROUP][:]) - {None}
    shared = len(groups & set(train[GROUP][:]))
    if not shared:
        return []
    return [
        f"{shared} of the {len(groups)} groups of the test rows have training rows too: on new groups the model may "
        "do worse (data.splits.by_group)"
    ]
