"""Mean absolute error of the words' numbers, 0 or more, over the words of all rows."""

from typing import ClassVar

import numpy as np

from hftransfer.metrics import Metric


class WordMae(Metric):
    """Mean of |prediction - reference| over words; words that the tokenizer has cut off do not count."""

    lower_is_better: ClassVar = True

    def compute(self, predictions, references):
        pairs = [pair for row in zip(predictions, references, strict=True) for pair in zip(*row, strict=False)]
        return {self.name: float(np.mean([abs(prediction - reference) for prediction, reference in pairs]))}
