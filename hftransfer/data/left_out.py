"""Classes that are left out of all splits, so that their test rows are of another domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.core.errors import DataError
from hftransfer.core.plugins import nearest
from hftransfer.data.normal_form import nfc
from hftransfer.data.splits import GROUP, Places
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset


def leave_out(task: Task, raw: Mapping[str, Dataset], places: Places, classes: Sequence[str]) -> Dataset:
    """Take the rows of some classes out of all splits; returns those of the test split, without labels and groups.

    Args:
        task: names the classes of a row.
        raw: split of the source -> its rows.
        places: split -> split of the source and row numbers; changed in place.
        classes: names of the classes.

    Raises:
        DataError: rows have no classes, or no test row has one of these.
    """
    classes = [nfc(name) for name in classes]
    removed: dict[str, np.ndarray] = {}
    known: set[str] = set()
    for split in ("train", "validation", "test"):
        origin, rows = places[split]
        labels = task.row_labels(raw[origin].select(rows))
        if labels is None:
            raise DataError("evaluation.out_of_domain: the rows have no classes that could be left out; write true")
        known.update(name for names in labels for name in names)
        leaves = np.array([not set(classes).isdisjoint(names) for names in labels])
        removed[split] = rows[leaves]
        places[split] = (origin, rows[~leaves])
    for name in classes:
        if name not in known:
            raise DataError(f"evaluation.out_of_domain: no class is '{name}'; {nearest(name, sorted(known))}")
    if not len(removed["test"]):
        raise DataError(f"evaluation.out_of_domain: no test row has the class {' or '.join(classes)}")
    rows = raw[places["test"][0]].select(removed["test"])
    return rows.select_columns([name for name in rows.column_names if name not in (task.target_role, GROUP)])
