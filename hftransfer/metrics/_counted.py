"""Metrics that follow from how often each class is true, told, and told rightly."""

from abc import abstractmethod

import numpy as np

from hftransfer.metrics._plain import Plain


class Counted(Plain):
    """Base, abstract so that `evaluate` passes it by; the value is the mean of a ratio.

    It is the mean over the classes (macro), or the ratio of the class to be found alone; with config `multilabel`, that
    of all labels together (micro).
    """

    @abstractmethod
    def ratio(self, right, told, true):
        """What is divided, and by what, for each class."""

    def _compute(self, predictions, references):
        some, of = self.ratio(*self._counts(predictions, references))
        # 0 where there is nothing to have a share of.
        return {self.name: float(np.divide(some, of, out=np.zeros(len(of)), where=of != 0).mean())}

    def _counts(self, predictions, references):
        """Three arrays: rows told rightly, told, and true, for each class that is either told or true.

        One entry for the class to be found alone, NaN where no row has it, and one for all labels together where rows
        have several.
        """
        told, true = np.asarray(predictions), np.asarray(references)
        if self.config_name == "multilabel":
            return np.array([[(told * true).sum()], [told.sum()], [true.sum()]])
        size = max(int(told.max()), int(true.max()), self.positive or 0) + 1
        # 40 times faster than sklearn's, and a bootstrap asks 1000 times.
        counts = np.stack([np.bincount(it, minlength=size) for it in (true[told == true], told, true)])
        if self.positive is None:
            return counts[:, counts[1:].any(axis=0)]
        return counts[:, [self.positive]] if counts[2, self.positive] else np.full((3, 1), np.nan)
