"""Which rows are normal, by their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from hftransfer.core.arrow import with_column
from hftransfer.core.errors import DataError
from hftransfer.core.features import Feature, Label
from hftransfer.core.plugins import nearest
from hftransfer.tasks import Predictions, Task, _labels
from hftransfer.tasks._choice_hooks import Sampled

if TYPE_CHECKING:
    from datasets import Dataset

NORMAL, ANOMALY = "normal", "anomaly"
LABELS = (NORMAL, ANOMALY)
# How data sets call what is normal, compared in lower case: MVTec `good`, Loghub `-`, tables 0.
_USUAL = frozenset(("0", "false", "no", "-", "normal", "nominal", "good", "ok", "pass", "benign", "healthy", "none"))


def names_of(rows: Dataset) -> list[str]:
    """The label of each row as its source writes it."""
    return ["".join(found) for found in _labels.row_names(rows)]


def infer_normal(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The labels of normal rows: those of the recipe, or the one that data sets usually call so.

    Raises:
        DataError: no row has such a label, or several may be meant.
    """
    counts = Counter(names)
    shown = f"{', '.join(sorted(counts)[:12])}{', ...' if len(counts) > 12 else ''}"
    for name in wanted:
        if name not in counts:
            raise DataError(f"task.normal: no training row has the label '{name}'; {nearest(name, counts)}")
    usual = [name for name in counts if name.casefold() in _USUAL]
    if not wanted and len(usual) != 1:
        found = f"{' and '.join(sorted(usual))} may all be meant" if usual else "none is a usual name for it"
        raise DataError(f"task.normal: say which labels are normal; of {shown}, {found}")
    return [*(wanted or usual)]


def binary(rows: Dataset, normal: Sequence[str]) -> list[str]:
    """`normal` or `anomaly` for each row; rows without a column of labels are normal."""
    if "label" not in rows.column_names:
        return [NORMAL] * len(rows)
    return [NORMAL if name in normal else ANOMALY for name in names_of(rows)]


def check_splits(splits: Mapping[str, Dataset], normal: Sequence[str]) -> None:
    """Refuse splits that cannot be fitted to, or scored.

    Raises:
        DataError: training or validation rows lack normal ones, or test rows one of the two.
    """
    for split, rows in splits.items():
        present = set(binary(rows, normal))
        if split == "test" and "label" not in rows.column_names:
            raise DataError("split 'test' has no labels (data.columns.label), by which detected anomalies are scored")
        needed = LABELS if split == "test" else (NORMAL,)
        for name in needed:
            if name not in present:
                raise DataError(
                    f"split '{split}' has no {'normal row' if name == NORMAL else 'anomaly'} among its {len(rows)} "
                    f"rows (task.normal: {', '.join(normal)}); data.splits.{split} may be larger, or another split"
                )


class NormalRows(Task):
    """Adds labels that say which rows are normal: a source may have many, the task has two."""

    target: ClassVar[tuple[str, Feature] | None] = ("label", Label(optional=True))

    normal: list[str] = []
    """Labels of normal rows; left out, the one that is called normal, nominal, good, ok, 0, no or the like."""

    @classmethod
    def likeness(cls, columns: Mapping[str, str], rows: Sampled) -> float:
        """Training rows that are all normal, and others elsewhere, or a label that says so."""
        names = {split: {str(it).casefold() for it in rows[split].get("label", ())} for split in rows}
        train, every = names.get("train", set()), set().union(*names.values())
        if train and train <= _USUAL and every - _USUAL:
            return 1.5
        if len(columns) > len({"label"} & set(columns)) + 1:
            # An encoder reads one of text, image and audio.
            return -3.0
        return 0.2 if every & _USUAL and any(word.startswith(("anomal", "defect")) for word in every) else -0.5

    def infer(self, rows: Dataset) -> Self:
        inferred = super().infer(rows)
        if "label" not in rows.column_names:
            return inferred
        return inferred.model_copy(update={"normal": infer_normal(names_of(rows), self.normal)})

    def strata(self, rows: Dataset) -> list[Any] | None:
        return binary(rows, self.normal)

    def row_labels(self, rows: Dataset) -> list[list[str]] | None:
        return [[name] for name in binary(rows, self.normal)]

    def find_labels(self, splits: Mapping[str, Dataset]) -> tuple[str, ...]:
        check_splits(splits, self.normal)
        return LABELS

    def index_labels(self, rows: Dataset) -> Dataset:
        from datasets import Value

        numbers = [LABELS.index(name) for name in binary(rows, self.normal)]
        bare = rows.remove_columns("label") if "label" in rows.column_names else rows
        return with_column(bare, "label", numbers, feature=Value("int64"))

    def references(self, rows: Dataset) -> Predictions:
        """0 of normal rows, 1 of anomalies."""
        return np.asarray(rows["label"][:], dtype=int)

    def wrong(self, reference: Any, prediction: Any) -> Any:
        return 1 - reference

    def error(self, prediction: Any, reference: Any) -> float:
        return float(prediction != reference)

    def metric_options(self) -> dict[str, Any]:
        return {"positive": LABELS.index(ANOMALY)}

    def describe(self, value: Any) -> str:
        return LABELS[int(value)]
