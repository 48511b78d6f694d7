"""Matthews correlation of predicted and actual classes, -1 to 1, for which rare classes count as much as common ones.

0 for a model that reads no input, whatever the shares of the classes. Matthews 1975; for several classes Gorodkin 2004,
https://doi.org/10.1016/j.compbiolchem.2004.09.006; by sklearn.
https://scikit-learn.org/stable/modules/generated/sklearn.metrics.matthews_corrcoef.html
"""

import numpy as np

from hftransfer.metrics import Metric


class MatthewsCorrelation(Metric):
    """Correlation coefficient of the confusion matrix."""

    def compute(self, predictions: np.ndarray, references: np.ndarray) -> dict[str, float]:
        from sklearn.metrics import matthews_corrcoef

        return {self.name: float(matthews_corrcoef(references, predictions))}
