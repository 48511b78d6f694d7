"""The contract of a metric."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

import numpy as np

from hftransfer.core.errors import PluginError
from hftransfer.core.plugins import Plugin

Resampler = Callable[[np.ndarray], dict[str, np.ndarray]]
"""From how often each row is in each resample, shape (resamples, rows), to name -> values of shape (resamples,)."""


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

    def values(
        self, predictions: np.ndarray, references: np.ndarray, draws: Iterable[Sequence[np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """Name -> the value on all rows, then on each resample.

        `draws` gives the row numbers of some resamples at a time. A detail that a resample lacks is NaN there.

        Raises:
            PluginError: as `__call__`.
        """
        resampler, count = self.resampler(predictions, references), len(references)
        if resampler is None:
            resamples = (self(predictions[rows], references[rows]) for some in draws for rows in some)
            scores = [self(predictions, references), *resamples]
            return {name: np.array([score.get(name, np.nan) for score in scores]) for name in scores[0]}
        counts = (np.stack([np.bincount(rows, minlength=count) for rows in some]) for some in draws)
        parts = [resampler(np.ones((1, count), dtype=int)), *map(resampler, counts)]
        self._check_names(parts[0])
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

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
