"""Whether a model is right as often as its probabilities say."""

import numpy as np


def calibration_error(probabilities: np.ndarray, references: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error (ECE): the mean distance of confidence and accuracy over bins of confidence.

    Guo et al. 2017, https://arxiv.org/abs/1706.04599, equation 3, with their 15 bins, each weighted by its rows.
    `probabilities` has the shape (rows, classes) and sums to 1 by row; `references` are class numbers.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == references
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = (abs((right[place == number] - confidence[place == number]).sum()) for number in range(bins))
    return float(sum(gaps) / len(references))
