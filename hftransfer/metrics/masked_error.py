"""The mean error of what was to be drawn in; lower is better. Predictions: (error, hidden places, _) by row."""

import numpy as np

from hftransfer.metrics._additive import Additive, ratio

LOWER_IS_BETTER = True


class MaskedError(Additive):
    """Mean error of a hidden place, over all rows."""

    sums = True

    def statistics(self, predictions, references):
        """Errors and hidden places of each row."""
        assert len(predictions) == len(references)
        return {"masked_error": np.asarray(predictions)[:, :2]}

    def value(self, sums):
        return ratio(sums)
