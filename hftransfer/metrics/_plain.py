"""Metrics of rows that are one number or one class each, or, with config `multilabel`, a 0 or 1 for each label."""

from abc import ABC, abstractmethod

import evaluate
from datasets import Features, List, Value


class Plain(evaluate.Metric, ABC):
    """Base, abstract so that `evaluate` passes it by."""

    kind = "int64"
    """Of the entries: class ids, unless a metric says float64."""

    def _info(self):
        value = Value(self.kind)
        entry = List(value) if self.config_name == "multilabel" else value
        features = Features({"predictions": entry, "references": entry})
        return evaluate.MetricInfo(
            description=self.__doc__, citation="", inputs_description="one entry a row", features=features
        )

    @abstractmethod
    def _compute(self, predictions, references):
        """The metric under its name."""
