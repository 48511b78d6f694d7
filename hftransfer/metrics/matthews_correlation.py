"""Correlation of predicted and true classes, -1 to 1, by which rare classes count as much as common ones; by sklearn.

Matthews 1975, for several classes Gorodkin 2004: https://doi.org/10.1016/j.compbiolchem.2004.09.006
"""

from sklearn.metrics import matthews_corrcoef

from hftransfer.metrics._plain import Plain


class MatthewsCorrelation(Plain):
    """0 for a model that looks at no input, whatever the shares of the classes."""

    def _compute(self, predictions, references):
        return {"matthews_correlation": float(matthews_corrcoef(references, predictions))}
