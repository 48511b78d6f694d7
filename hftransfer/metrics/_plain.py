"""Metrics of rows that are one number or one class each.

With config `multilabel` a row is a 0 or 1 for each label; with `class-1`, the second class is the one to be found.
"""

from abc import ABC, abstractmethod

import evaluate
from datasets import Features, List, Value


class Plain(evaluate.Metric, ABC):
    """Base, abstract so that `evaluate` passes it by."""

    kind = "int64"
    """Of the entries: class ids, unless a metric says float64."""

    probabilities = False
    """Predictions are the chances of all classes, of shape (rows, classes), and not what was decided."""

    def _info(self):
        value = Value(self.kind)
        entry = List(value) if self.config_name == "multilabel" else value
        features = Features(
            {"predictions": List(Value("float64")) if self.probabilities else entry, "references": entry}
        )
        return evaluate.MetricInfo(
            description=self.__doc__, citation="", inputs_description="one entry a row", features=features
        )

    @property
    def positive(self):
        """The class to be found; None where all are alike."""
        kind, _, number = (self.config_name or "").partition("-")
        return int(number) if kind == "class" else None

    @abstractmethod
    def _compute(self, predictions, references):
        """The metric under its name."""
