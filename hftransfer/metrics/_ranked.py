"""Metrics of how well the chances of a class order the rows: no threshold is chosen."""

from abc import abstractmethod

import numpy as np

from hftransfer.metrics._plain import Plain


class Ranked(Plain):
    """Base, abstract so that `evaluate` passes it by.

    Each class is held against all others; the value is the mean over the classes that some rows have and some have not
    (macro), or that of the class to be found. Chances that are no numbers have no value.
    """

    needs_probabilities = True

    @abstractmethod
    def value(self, hits, misses):
        """Out of the true and false rows above each threshold, from the highest down; NaN where it says nothing."""

    def weighted(self, predictions, references):
        """A function from `times` (resamples, rows), how often each row is drawn, to name -> a value for each."""
        probabilities, references = np.asarray(predictions), np.asarray(references)
        if np.isnan(probabilities).any():
            return lambda times: {self.name: np.full(len(times), np.nan)}
        classes = [*range(probabilities.shape[1])] if self.positive is None else [self.positive]
        true = references if references.ndim == 2 else references[:, None] == np.arange(probabilities.shape[1])
        ranked = [_ranked(probabilities[:, one], true[:, one]) for one in classes]

        def values(times):
            found = np.array([[self._of(drawn, *one) for one in ranked] for drawn in times])
            told = ~np.isnan(found)
            with np.errstate(invalid="ignore"):
                means = np.where(told, found, 0).sum(axis=1) / told.sum(axis=1)
            return {self.name: means}

        return values

    def _of(self, drawn, order, last, true):
        drawn = drawn[order]
        hits = np.cumsum(drawn * true)[last]
        return self.value(hits, np.cumsum(drawn)[last] - hits)

    def _compute(self, predictions, references):
        found = self.weighted(predictions, references)(np.ones((1, len(references)), dtype=int))
        return {name: float(value[0]) for name, value in found.items()}


def _ranked(probabilities, true):
    """The order of falling chances, where in it the last row of each chance stands, and which of its rows are true."""
    order = np.argsort(-probabilities, kind="stable")
    return order, np.flatnonzero(np.append(np.diff(probabilities[order]) != 0, True)), true[order].astype(int)
