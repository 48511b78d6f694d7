"""Labels that are likely wrong: confident learning on frozen features, out of fold.

Northcutt et al. 2021, https://arxiv.org/abs/1911.00068: a row counts as another class where the probability of that
class is at least its mean over the rows that have its label. What such rows would teach is then left out, and the
probabilities are computed once more.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from hftransfer.models.probe import Folds, out_of_fold

_FOLDS = 5
# Settings of the probe and numbers of neighbours whose probabilities are averaged.
_PROBES, _NEIGHBOURS = (1.0, 10.0), 10
# The margin of the likeliest class over the given one from which on a label is suspicious.
_MARGIN = 0.5


@dataclass(frozen=True)
class LabelIssues:
    """What the features say of the labels."""

    suspicious: np.ndarray
    """Whether the label of a row is, shape (rows,)."""
    suggested: np.ndarray
    """The likeliest class of each row, shape (rows,)."""
    margins: np.ndarray
    """The probability of this class less that of the given one, shape (rows,)."""
    share: float
    """The share of all labels that are wrong, as the confident joint estimates it."""


def folds_of(classes: np.ndarray, groups: np.ndarray, seed: int) -> Folds:
    """Folds with the classes in about equal parts, each group whole in one; none where there are too few groups."""
    from sklearn.model_selection import StratifiedGroupKFold

    count = min(_FOLDS, len(np.unique(groups)))
    if count < 2:
        return []
    with warnings.catch_warnings():
        # A class may have fewer rows than there are folds.
        warnings.simplefilter("ignore")
        folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(classes, classes, groups)
        return [(train, held_out) for train, held_out in folds if len(held_out)]


def find_label_issues(features: np.ndarray, classes: np.ndarray, groups: np.ndarray, seed: int) -> LabelIssues | None:
    """Labels that contradict the features; None where the rows make no folds of at least two classes each.

    Args:
        features: of shape (rows, size).
        classes: the class of each row, numbered from 0, shape (rows,).
        groups: rows of one group (a speaker; near copies) are never on both sides of a fold, shape (rows,).
        seed: of the folds.
    """
    folds = folds_of(classes, groups, seed)
    if not folds or any(len(np.unique(classes[train])) < 2 for train, _ in folds):
        return None
    confident = _confident(_probabilities(features, classes, folds, np.ones(len(classes), dtype=bool)), classes)
    fit = confident == classes
    if any(len(np.unique(classes[train[fit[train]]])) < 2 for train, _ in folds):
        fit = np.ones(len(classes), dtype=bool)
    probabilities = _probabilities(features, classes, folds, fit)
    suggested = probabilities.argmax(axis=1)
    rows = np.arange(len(classes))
    margins = probabilities[rows, suggested] - probabilities[rows, classes]
    return LabelIssues(margins >= _MARGIN, suggested, margins, _share_wrong(probabilities, classes))


def _probabilities(features: np.ndarray, classes: np.ndarray, folds: Folds, fit: np.ndarray) -> np.ndarray:
    """The mean of what two probes and the nearest neighbours make of the rows, each out of fold."""
    settings = [("probe", value) for value in _PROBES] + [("knn", _NEIGHBOURS)]
    return np.mean([out_of_fold(method, value, features, classes, folds, fit) for method, value in settings], axis=0)


def _confident(probabilities: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The class that each row is confidently counted as, its own label where there is none."""
    rows, count = np.arange(len(classes)), probabilities.shape[1]
    own = probabilities[rows, classes]
    sizes = np.bincount(classes, minlength=count)
    means = np.bincount(classes, weights=own, minlength=count) / np.maximum(sizes, 1)
    # A class without rows is nothing that a row could be counted as.
    above = np.where((probabilities >= means) & (sizes > 0), probabilities, -1.0)
    return np.asarray(np.where(above.max(axis=1) >= 0, above.argmax(axis=1), classes))


def _share_wrong(probabilities: np.ndarray, classes: np.ndarray) -> float:
    """The share of rows off the diagonal of the confident joint, each class weighted by its number of rows."""
    counted, count = _confident(probabilities, classes), probabilities.shape[1]
    sizes = np.bincount(classes, minlength=count)
    right = np.bincount(classes[counted == classes], minlength=count)
    return float(1 - right.sum() / sizes.sum())
