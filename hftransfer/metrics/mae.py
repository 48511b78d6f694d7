"""Mean absolute error, in the unit of the label; lower is better."""

import numpy as np

from hftransfer.metrics._plain import Plain

LOWER_IS_BETTER = True


class Mae(Plain):
    """Mean absolute error."""

    kind = "float64"

    def _compute(self, predictions, references):
        return {"mae": float(np.abs(np.subtract(predictions, references)).mean())}
