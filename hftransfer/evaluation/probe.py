"""Baselines on frozen features: a linear probe (Alain and Bengio 2016, https://arxiv.org/abs/1610.01644), and the
nearest neighbours. What they read of the encoder and how strongly they are regularized, cross-validation on the
training rows chooses.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from hftransfer.core.variants import FrozenBaseline
from hftransfer.evaluation.frozen_features import Features
from hftransfer.tasks import RowTarget

_FOLDS = 5
# Inverse strength of the L2 penalty, for features of about unit length.
_C = (0.1, 1.0, 10.0, 100.0, 1000.0)
_NEIGHBOURS = (1, 3, 5, 10, 20)
# Between the two the pooling is chosen.
_MIDDLE = 2
# Probabilities closer to 0 or 1 than this have no finite logit.
_LEAST = 1e-6


def fit_and_score(
    method: FrozenBaseline,
    target: RowTarget,
    train: Features,
    references: np.ndarray,
    splits: dict[str, Features],
    seed: int,
) -> dict[str, np.ndarray]:
    """Fit a baseline to the training rows, and score the rows of other splits.

    Args:
        method: `probe`: logistic regression with an L2 penalty, of numbers ridge regression. `knn`: the nearest rows by
            cosine, weighted by their distance.
        target: what `references` are.
        train: features of the training rows.
        references: the labels of the training rows: shape (rows,), for several classes (rows, classes).
        splits: name -> features of other rows.
        seed: of the folds.

    Returns:
        Name of the split -> scores: logarithms of probabilities, shape (rows, classes); logits of several classes; or
        numbers, shape (rows, 1).
    """
    parameters = _C if method == "probe" else tuple(k for k in _NEIGHBOURS if k < 0.8 * len(references)) or (1,)

    def make(parameter: float) -> Any:
        return _estimator(method, target, parameter)

    middle = parameters[min(_MIDDLE, len(parameters) - 1)]
    folds = _folds(target, references, seed)
    with warnings.catch_warnings():
        # Of penalties so weak that the optimum is far away, and of classes that a fold lacks.
        warnings.simplefilter("ignore")
        losses = {name: _loss(make(middle), target, x, references, folds) for name, x in train.items()}
        pooling = min(losses, key=lambda name: losses[name])
        features = train[pooling]
        best = min(parameters, key=lambda it: _loss(make(it), target, features, references, folds))
        fitted = make(best).fit(features, references)
        return {name: _scores(fitted, target, x[pooling]) for name, x in splits.items()}


def _estimator(method: FrozenBaseline, target: RowTarget, parameter: float) -> Any:
    """A pipeline of scikit-learn."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    if method == "knn":
        kind = KNeighborsClassifier if target == "class" else KNeighborsRegressor
        return kind(n_neighbors=int(parameter), weights="distance", metric="cosine")
    logistic = LogisticRegression(C=parameter, max_iter=1000)
    predictors: dict[RowTarget, Callable[[], Any]] = {
        "class": lambda: logistic,
        "classes": lambda: OneVsRestClassifier(logistic),
        "number": lambda: Ridge(alpha=1 / parameter),
    }
    return make_pipeline(StandardScaler(), FunctionTransformer(_unit_length), predictors[target]())


def _unit_length(features: np.ndarray) -> np.ndarray:
    """Standardized features, shorter by the root of their number."""
    return np.asarray(features / features.shape[1] ** 0.5)


def _folds(target: RowTarget, references: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and held-out rows of each fold, classes in equal parts; none where rows are too few."""
    from sklearn.model_selection import KFold, StratifiedKFold

    if len(references) < _FOLDS:
        return []
    stratified = target == "class" and np.bincount(references).max() >= _FOLDS
    kind = StratifiedKFold if stratified else KFold
    with warnings.catch_warnings():
        # A class may have fewer rows than there are folds.
        warnings.simplefilter("ignore")
        folds = list(kind(_FOLDS, shuffle=True, random_state=seed).split(references, references))
    return [fold for fold in folds if target == "number" or len(np.unique(references[fold[0]], axis=0)) > 1]


def _loss(estimator: Any, target: RowTarget, features: np.ndarray, references: np.ndarray, folds: list[Any]) -> float:
    """The mean loss on held-out rows: cross-entropy, of numbers the squared error."""
    losses = []
    for train, held_out in folds:
        fitted = estimator.fit(features[train], references[train])
        scores, right = _scores(fitted, target, features[held_out], references), references[held_out]
        if target == "class":
            losses.append(-scores[np.arange(len(right)), right])
        elif target == "classes":
            losses.append((np.logaddexp(0, scores) - right * scores).mean(axis=1))
        else:
            losses.append((scores[:, 0] - right) ** 2)
    return float(np.concatenate(losses).mean()) if losses else 0.0


def _scores(fitted: Any, target: RowTarget, features: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """Scores as `fit_and_score` returns them; classes that a fold lacks have the least probability."""
    if target == "number":
        return np.asarray(fitted.predict(features), dtype=float).reshape(-1, 1)
    if target == "classes":
        answer = fitted.predict_proba(features) if hasattr(fitted, "predict_proba") else fitted.predict(features)
        clipped = np.clip(np.asarray(answer, dtype=float), _LEAST, 1 - _LEAST)
        return np.asarray(np.log(clipped / (1 - clipped)))
    classes = fitted.classes_.astype(int)
    count = int(max(classes.max(), -1 if known is None else known.max())) + 1
    probabilities = np.full((len(features), count), _LEAST)
    probabilities[:, classes] = np.clip(fitted.predict_proba(features), _LEAST, 1)
    return np.asarray(np.log(probabilities / probabilities.sum(axis=1, keepdims=True)))
