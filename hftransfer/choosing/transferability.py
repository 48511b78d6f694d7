"""Measures of how well features suit labels, for which nothing is trained: LogME, and the H-score with shrinkage.

Both depend on the features by scalar products alone, so that features may stand in any orthogonal basis of their span.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hftransfer.tasks import RowTarget

# Ratios of the two precisions of LogME: a coarse grid over all that floats hold well, then finer ones around the best.
_COARSE = np.logspace(-8, 12, 81)
_FINER, _WITHIN = 2, 21

Measure = Callable[[np.ndarray, np.ndarray], float]
"""From features, shape (rows, rank), and labels of as many rows."""


def in_span(features: np.ndarray) -> np.ndarray:
    """Features of shape (rows, size) in a basis of their span, shape (rows, rank): no more columns than rows."""
    features = features.astype(float)
    if features.shape[1] <= len(features):
        return features
    left, values, _ = np.linalg.svd(features, full_matrices=False)
    return np.asarray(left * values)


def on_halves(measure: Measure, features: np.ndarray, labels: np.ndarray, halves: int, seed: int) -> np.ndarray:
    """A measure on all rows, then on random halves of them, the same halves for features of any checkpoint.

    The standard deviation over the halves is the standard error of the value on all rows (the delete-half jackknife,
    Shao and Wu 1989, https://doi.org/10.1214/aos/1176347263). Resamples with replacement would not do: rows that are
    there twice look like labels that the features explain, and raise both measures.

    Returns:
        Shape (1 + halves,).
    """
    rng, rows = np.random.default_rng(seed), len(features)
    parts = [rng.permutation(rows)[: rows // 2] for _ in range(halves)]
    return np.array([measure(features, labels), *(measure(features[part], labels[part]) for part in parts)])


def label_columns(target: RowTarget, references: np.ndarray) -> np.ndarray:
    """The labels as numbers of shape (rows, columns): a column for each class, or the number, standardized."""
    if target == "class":
        return np.asarray(np.eye(int(references.max()) + 1)[references])
    if target == "classes":
        return references.astype(float)
    numbers = references.astype(float).reshape(len(references), -1)
    return np.asarray((numbers - numbers.mean(axis=0)) / np.maximum(numbers.std(axis=0), 1e-12))


def log_me(features: np.ndarray, columns: np.ndarray) -> float:
    """The logarithm of maximum evidence (LogME), a row, the mean over columns of labels; larger is better.

    The evidence of a column y is N(y; 0, I / b + F F' / a), of a linear model with Gaussian weights of precision a and
    Gaussian noise of precision b, at the a and b that maximize it. For a given a / b the best b has a closed form, so
    the maximum is sought over that ratio alone, where the paper iterates over both.

    You, Liu, Wang and Long 2021, equations 2 to 5, https://arxiv.org/abs/2102.11005.

    Args:
        features: shape (rows, rank); they are not centred.
        columns: shape (rows, columns), as `label_columns` gives them.
    """
    squared, basis = np.linalg.eigh(features.T @ features)
    used = squared > squared.max(initial=0) * 1e-12
    if not used.any():
        squared, basis = np.ones(1), np.zeros((features.shape[1], 1))
    else:
        squared, basis = squared[used], basis[:, used]
    # Squares of the columns' parts in the span of the features, shape (columns, rank), and outside of it.
    within = ((features @ basis).T @ columns).T ** 2 / squared
    outside = np.maximum((columns**2).sum(axis=0) - within.sum(axis=1), 0)
    rows = len(features)

    def evidence(ratios: np.ndarray) -> np.ndarray:
        """Of each column at each ratio of precisions, shapes (columns, ratios)."""
        shrunk = ratios[:, None, :] / (ratios[:, None, :] + squared[None, :, None])
        misfit = outside[:, None] + np.einsum("cr,crk->ck", within, shrunk)
        volume = np.log1p(squared[None, :, None] / ratios[:, None, :]).sum(axis=1)
        # Labels that the features give exactly would have infinite evidence.
        noise = np.maximum(misfit, 1e-12) / rows
        return np.asarray(-0.5 * (rows * (np.log(2 * np.pi * noise) + 1) + volume))

    ratios = np.tile(_COARSE, (columns.shape[1], 1)) * squared.mean()
    for _ in range(_FINER):
        step = ratios[:, 1] / ratios[:, 0]
        best = ratios[np.arange(len(ratios)), evidence(ratios).argmax(axis=1)]
        ratios = best[:, None] * step[:, None] ** np.linspace(-1, 1, _WITHIN)
    return float((evidence(ratios).max(axis=1) / rows).mean())


def h_score(features: np.ndarray, classes: np.ndarray, size: int) -> float:
    """The H-score with a shrunk covariance; larger is better, and at most the number of classes less one.

    (1 - s) tr(C^-1 B): B the covariance of the features' means by class, C = (1 - s) S + s m I the covariance of the
    features by Ledoit and Wolf (2004), m the mean variance of a feature.

    Ibrahim, Ponomareva and Mazumder 2021, section 4, https://arxiv.org/abs/2110.06893; without shrinkage Bao et al.
    2019.

    Args:
        features: shape (rows, rank).
        classes: of each row, shape (rows,).
        size: features of a row before `in_span`.
    """
    centred = features - features.mean(axis=0)
    covariance = centred.T @ centred / len(centred)
    variance = np.trace(covariance) / size
    if variance <= 0:
        return 0.0
    shrinkage = _shrinkage(centred, covariance, size)
    members = np.eye(int(classes.max()) + 1)[classes].T
    members = members[members.sum(axis=1) > 0]
    sizes = members.sum(axis=1)
    means = members @ centred / sizes[:, None]
    # In directions without variance there is no difference of means either.
    shrunk = (1 - shrinkage) * covariance + max(shrinkage, 1e-10) * variance * np.eye(len(covariance))
    explained = (means * np.linalg.solve(shrunk, means.T).T).sum(axis=1)
    return float((1 - shrinkage) * (sizes / len(centred)) @ explained)


def _shrinkage(centred: np.ndarray, covariance: np.ndarray, size: int) -> float:
    """The weight of the identity by Ledoit and Wolf (2004), for `size` features."""
    rows, square = len(centred), (covariance**2).sum()
    noise = (((centred**2).sum(axis=1) ** 2).mean() - square) / rows
    distance = square - np.trace(covariance) ** 2 / size
    return float(np.clip(noise / distance, 0, 1)) if distance > 1e-12 * square else 1.0
