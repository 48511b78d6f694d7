"""F1: harmonic mean of precision and recall.

The mean over the classes (macro), or of the class to be found alone; with config `multilabel`, over all labels (micro).
"""

from hftransfer.metrics._counted import Counted, mean_ratio

OF_ONE_CLASS = True


class F1(Counted):
    """Equal to sklearn's f1_score."""

    def _compute(self, predictions, references):
        right, told, true = self.counts(predictions, references)
        return {"f1": mean_ratio(2 * right, told + true)}
