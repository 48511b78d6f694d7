"""The contract of a metric."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from typing import ClassVar

import numpy as np

from hftransfer.core.errors import PluginError
from hftransfer.core.plugins import Plugin

Resampler = Callable[[np.ndarray], dict[str, np.ndarray]]
"""From how often each row is in each resample, floats of shape (resamples, rows), to name -> values, one a resample."""


class Metric(Plugin, ABC):
    """Base of the metrics.

    Implement `compute`. Override `resampler` where the values on many resamples can be had faster than one by one, and
    `tiny` where rows are not class numbers. Declare below what differs from the defaults. Fields are what a metric has
    to know of the rows, such as `positive` or `multilabel`: `Task.metric_options` sets those that a metric has.
    """

    lower_is_better: ClassVar[bool] = False
    """Whether a better model has a lower value."""
    needs_probabilities: ClassVar[bool] = False
    """Whether predictions are the probabilities of all classes, shape (rows, classes), and not predicted classes."""
    needs_ranks: ClassVar[bool] = False
    """Whether predictions are the ranks that `Task.ranks` gives, shape (rows, directions), 0 for the first."""
    details: ClassVar[tuple[str, ...]] = ()
    """Besides `NAME`, the metric returns `NAME.DETAIL` for each of these."""
    details_of_classes: ClassVar[bool] = False
    """Whether the metric also returns `NAME.CLASS` for classes, whose names stand in the rows."""

    @abstractmethod
    def compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        """The value under the metric's own name, `self.name`, and the details that it declares.

        Both arrays have one entry a row. A value is NaN where the rows do not define it.
        """

    def resampler(self, predictions: np.ndarray, references: np.ndarray) -> Resampler | None:  # noqa: ARG002
        """What computes the values of many resamples of these rows at once; None: each is computed by itself."""
        return None

    @classmethod
    def tiny(cls) -> tuple[list[object], list[object]]:
        """References and mostly wrong predictions of a few rows, for the tests."""
        return [0, 1, 2, 3], [1, 0, 3, 1]

    # What scoring calls. Not to be overridden.

    def __call__(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        """Name -> value, the metric itself first.

        Raises:
            PluginError: the metric returned a name that it does not declare, or not its own.
        """
        scores = self.compute(predictions, references)
        self._check_names(scores)
        return {self.name: scores[self.name]} | scores

    def of_counts(self, predictions: np.ndarray, references: np.ndarray) -> Resampler:
        """The values of resamples of these rows, whether or not the metric has a `resampler`.

        It raises a PluginError as `__call__` does; a detail that a resample lacks is NaN there.
        """
        values = self.resampler(predictions, references) or partial(self._one_by_one, predictions, references)

        def checked(counts: np.ndarray) -> dict[str, np.ndarray]:
            scores = values(counts)
            self._check_names(scores)
            return {self.name: scores[self.name]} | scores

        return checked

    def _one_by_one(self, predictions: np.ndarray, references: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
        resamples = (np.repeat(np.arange(len(references)), times) for times in counts.astype(int))
        scores = [self.compute(predictions[rows], references[rows]) for rows in resamples]
        names = dict.fromkeys(name for score in scores for name in score)
        return {name: np.array([score.get(name, np.nan) for score in scores]) for name in names}

    def _check_names(self, scores: Iterable[str]) -> None:
        """Raises a PluginError unless a metric returns its own name and none that it does not declare."""
        names, prefix = list(scores), f"{self.name}."
        allowed = [self.name, *(f"{prefix}{detail}" for detail in self.details)]
        unknown = [
            name for name in names if name not in allowed and not (self.details_of_classes and name.startswith(prefix))
        ]
        if unknown or self.name not in names:
            raise PluginError(
                f"metric '{self.name}' returns {', '.join(names) or 'nothing'}; it declares "
                f"{', '.join([*allowed, *([f'{prefix}CLASS'] if self.details_of_classes else [])])}"
            )
