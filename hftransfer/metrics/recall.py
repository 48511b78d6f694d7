"""Recall: the share of what is true that is told.

The mean over the classes (macro), or of the class to be found alone; with config `multilabel`, over all labels (micro).
"""

from hftransfer.metrics._counted import Counted, mean_ratio

OF_ONE_CLASS = True


class Recall(Counted):
    """Equal to sklearn's recall_score."""

    def _compute(self, predictions, references):
        right, _, true = self.counts(predictions, references)
        return {"recall": mean_ratio(right, true)}
