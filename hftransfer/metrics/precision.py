"""Precision: the share of what is told that is true.

The mean over the classes (macro), or of the class to be found alone; with config `multilabel`, over all labels (micro).
"""

from hftransfer.metrics._counted import Counted, mean_ratio

OF_ONE_CLASS = True


class Precision(Counted):
    """Equal to sklearn's precision_score."""

    def _compute(self, predictions, references):
        right, told, _ = self.counts(predictions, references)
        return {"precision": mean_ratio(right, told)}
