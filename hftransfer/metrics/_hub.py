"""Metrics of the Hub, opened by `evaluate` (https://huggingface.co/docs/evaluate/package_reference/loading_methods)."""

from functools import cached_property
from typing import Any

import numpy as np

from hftransfer.metrics._base import Metric


class HubMetric(Metric):
    """A metric by its id, such as `exact_match` or `someone/their_metric`; loading it runs its repository's code."""

    id: str

    @property
    def name(self) -> str:
        """The id, as the recipe writes it."""
        return self.id

    @cached_property
    def module(self) -> Any:
        """The module of `evaluate`."""
        import evaluate

        return evaluate.load(self.id)

    def compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        """The value that the module returns under the metric's name or as `score`, or its only one.

        Raises:
            ValueError: several values could be meant.
        """
        # The module's own function: `compute` writes an Arrow file at every call, and a bootstrap makes 1000.
        scores = self.module._compute(predictions=predictions, references=references)
        last = self.id.rpartition("/")[2]
        key = next((key for key in (last, "score") if key in scores), None)
        if key is None and len(scores) > 1:
            raise ValueError(f"it returns {', '.join(scores)}, and none of them is '{last}' or 'score'")
        return {self.id: float(scores[key or next(iter(scores))])}
