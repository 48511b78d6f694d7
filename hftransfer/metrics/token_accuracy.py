"""The share of the tokens to guess that are guessed right. Predictions: (loss, tokens, right tokens) by row."""

import numpy as np

from hftransfer.metrics._additive import Additive, ratio


class TokenAccuracy(Additive):
    """Accuracy over tokens, not over rows."""

    sums = True

    def statistics(self, predictions, references):
        """Right tokens and all tokens of each row."""
        assert len(predictions) == len(references)
        return {"token_accuracy": np.asarray(predictions)[:, [2, 1]]}

    def value(self, sums):
        return ratio(sums)
