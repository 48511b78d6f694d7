"""Precision, recall and F1 of each class, out of the confusion matrix, with bootstrap intervals."""

from __future__ import annotations

import numpy as np

from hftransfer.core.results import RunResult, Score
from hftransfer.reporting.tables import Table, confidence, interval

# The same intervals whenever the page is made.
_SEED = 0


def class_table(result: RunResult) -> Table:
    """Classes of the test rows by what the tuned model makes of them, and what is most often predicted instead.

    The bootstrap draws rows, so that the cells of the matrix are drawn from a multinomial distribution. No rows without
    a confusion matrix.
    """
    matrix = np.array(result.confusion)
    rows = []
    if matrix.sum():
        scores = class_scores(
            matrix, result.recipe["evaluation"]["resamples"], result.recipe["evaluation"]["confidence"]
        )
        for place, label in enumerate(result.data.labels[: len(matrix)]):
            wrong = matrix[place].copy()
            wrong[place] = 0
            worst = f"{result.data.labels[wrong.argmax()]} ({wrong.max():,})" if wrong.any() else ""
            values = (interval(one[place]) for one in scores)
            rows.append((label, f"{matrix[place].sum():,}", *values, worst))
    title = f"Classes on the test split: the tuned model, with {confidence(result)} bootstrap intervals"
    return Table(title, ("class", "rows", "precision", "recall", "F1", "most often predicted instead"), rows)


def class_scores(matrix: np.ndarray, resamples: int, share: float) -> list[list[Score]]:
    """Precision, recall and F1, each a score a class; where nothing is counted they are 0, as in scikit-learn.

    Args:
        matrix: shape (classes, classes), rows are references.
        resamples: of the bootstrap.
        share: confidence of the intervals, 0 to 1.
    """
    rng, count = np.random.default_rng(_SEED), int(matrix.sum())
    shares = matrix.reshape(-1) / count
    resampled = np.stack([_scores(rng.multinomial(count, shares).reshape(matrix.shape)) for _ in range(resamples)])
    low, high = np.quantile(resampled, [(1 - share) / 2, (1 + share) / 2], axis=0)
    return [
        [Score(value=float(v), low=float(b), high=float(t), count=count) for v, b, t in zip(*of_metric, strict=True)]
        for of_metric in zip(_scores(matrix), low, high, strict=True)
    ]


def _scores(matrix: np.ndarray) -> np.ndarray:
    """Precision, recall and F1 of each class, shape (3, classes)."""
    right, predicted, actual = np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    return np.stack(
        [
            right / np.maximum(predicted, 1),
            right / np.maximum(actual, 1),
            2 * right / np.maximum(predicted + actual, 1),
        ]
    )
