"""The exponential of the mean loss of a token; lower is better. Predictions: (loss, tokens, right tokens) by row."""

import numpy as np

from hftransfer.metrics._additive import Additive

LOWER_IS_BETTER = True


class Perplexity(Additive):
    """Perplexity of what was to be guessed."""

    sums = True

    def statistics(self, predictions, references):
        """Losses and tokens of each row."""
        assert len(predictions) == len(references)
        return {"perplexity": np.asarray(predictions)[:, :2]}

    def value(self, sums):
        return np.exp(sums[..., 0] / np.maximum(sums[..., 1], 1))
