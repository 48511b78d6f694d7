"""What is odd in the rows of a run, whatever its task."""

from __future__ import annotations

from hftransfer.core import plugins
from hftransfer.data.load import Rows
from hftransfer.data.splits import GROUP
from hftransfer.tasks import _labels

# Share of the training rows from which on contradictions are no mistakes of labelling.
_LIKELY_SEVERAL = 0.1


def data_warnings(rows: Rows, shots: int | None) -> list[str]:
    """Warnings of classes with too few rows or none in test, contradictions, and groups that train and test share."""
    # A sample has fewer rows of each class.
    counted = [] if rows.sampled else [*_few_shots(rows, shots), *classes_without_test_rows(rows)]
    return [*counted, *contradictions(rows), *_shared_groups(rows)]


def _few_shots(rows: Rows, shots: int | None) -> list[str]:
    few = {name: count for name, count in rows.facts.classes["train"].items() if shots and count < shots}
    named = ", ".join(f"{name} ({count})" for name, count in few.items())
    return [f"data.shots asks for {shots} rows a class, and these have fewer: {named}"] if few else []


def classes_without_test_rows(rows: Rows) -> list[str]:
    """A warning of training classes that the test rows lack, if there are any."""
    counts = rows.facts.classes
    lacking = sorted(counts["train"].keys() - counts["test"].keys(), key=plugins.natural) if rows.task.labels else []
    if not lacking or rows.task.open_set:
        return []
    named = f"{', '.join(lacking[:8])}{', ...' if lacking[8:] else ''}"
    numbers = all(_labels.is_number(name) for name in counts["train"])
    hint = "; where the numbers are quantities, the task is a regression" if numbers else ""
    return [
        f"{len(lacking)} of {len(counts['train'])} classes have no test row ({named}): data.splits.test may be "
        f"larger{hint}"
    ]


def contradictions(rows: Rows) -> list[str]:
    """A warning of training rows of equal content and different labels, if there are any."""
    found, count = rows.facts.contradictions, rows.facts.rows["train"]
    if found is None:
        return []
    reading = ""
    if rows.facts.classes["train"] and found.rows >= _LIKELY_SEVERAL * count:
        reading = (
            "; most likely each has several labels, of which a row holds one: give it in one row with all of them, "
            f"as a list or '{','.join(found.labels)}'"
        )
    (first, second), (label, other) = found.example, found.labels
    return [
        f"{found.rows} of {count} training rows have the same content as another with another label, such as rows "
        f"{first} ('{label}') and {second} ('{other}') of split '{found.split}'{reading}"
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
