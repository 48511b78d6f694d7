"""Metrics that follow from how often each class is true, told, and told rightly."""

import numpy as np

from hftransfer.metrics._plain import Plain


class Counted(Plain):
    """Base, abstract so that `evaluate` passes it by."""

    def counts(self, predictions, references):
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


def mean_ratio(some, of):
    """The mean of the shares, 0 where there is nothing to have a share of."""
    return float(np.divide(some, of, out=np.zeros(len(of)), where=of != 0).mean())
