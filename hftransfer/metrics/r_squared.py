"""Coefficient of determination: 1 is perfect, 0 is the mean of the references (sklearn's r2_score)."""

from sklearn.metrics import r2_score

from hftransfer.metrics._plain import Plain


class RSquared(Plain):
    """Share of the variance explained."""

    kind = "float64"

    def _compute(self, predictions, references):
        return {"r_squared": float(r2_score(references, predictions))}
