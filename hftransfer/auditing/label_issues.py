"""Labels that are likely wrong: confident learning on frozen features, out of fold.

Northcutt et al. 2021, https://arxiv.org/abs/1911.00068: a row counts as another class where the probability of that
class is at least its mean over the rows that have its label. The probabilities are computed once more without what such
rows would teach. As many labels as then count as another class are suspicious, those of the largest margins, and every
label whose margin is large.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from hftransfer.auditing.neighbours import unit_length
from hftransfer.core.progress import Progress
from hftransfer.models.probe import Folds, out_of_fold_probabilities, standardized_probe

_FOLDS = 5
# Inverse strengths of the penalty, for standardized features and for features of unit length, and how many neighbours:
# the probabilities of the three are averaged.
_STANDARDIZED, _UNIT, _NEIGHBOURS = 1.0, 30.0, 5
# The margin of the likeliest class over the given one that is enough in any case.
_LARGE = 0.6


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
    """The share of all labels that count as another class."""


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
    count = int((_confident(probabilities, classes) != classes).sum())
    suspicious = np.zeros(len(classes), dtype=bool)
    suspicious[np.argsort(-margins, kind="stable")[:count]] = True
    suspicious = (suspicious & (margins > 0)) | (margins >= _LARGE)
    return LabelIssues(suspicious, suggested, margins, count / len(classes))


def _probabilities(features: np.ndarray, classes: np.ndarray, folds: Folds, fit: np.ndarray) -> np.ndarray:
    """The mean of what two probes and the nearest neighbours make of the rows, each out of fold."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    fewest = min(int(fit[train].sum()) for train, _ in folds)
    nearest = KNeighborsClassifier(min(_NEIGHBOURS, fewest), weights="distance", metric="cosine")
    scale = np.maximum(features.std(axis=0), 1e-6)
    settings = [
        (standardized_probe(_STANDARDIZED), features),
        (LogisticRegression(C=_UNIT, max_iter=1000), unit_length(features)),
        (nearest, (features - features.mean(axis=0)) / scale),
    ]
    fitted = Progress(settings, desc="labels", unit="classifier")
    return np.asarray(np.mean([out_of_fold_probabilities(it, x, classes, folds, fit) for it, x in fitted], axis=0))


def _confident(probabilities: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The class that each row is confidently counted as, its own label where there is none."""
    rows, count = np.arange(len(classes)), probabilities.shape[1]
    own = probabilities[rows, classes]
    sizes = np.bincount(classes, minlength=count)
    means = np.bincount(classes, weights=own, minlength=count) / np.maximum(sizes, 1)
    # A class without rows is nothing that a row could be counted as.
    above = np.where((probabilities >= means) & (sizes > 0), probabilities, -1.0)
    return np.asarray(np.where(above.max(axis=1) >= 0, above.argmax(axis=1), classes))
