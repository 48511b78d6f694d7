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
from hftransfer.models.frozen_features import Features
from hftransfer.tasks import RowTarget

_FOLDS = 5
Folds = list[tuple[np.ndarray, np.ndarray]]
"""Training rows and held-out rows of each fold."""
# Inverse strength of the L2 penalty, for features of about unit length; first the one that is taken where no other is
# clearly better, and by which the pooling is chosen.
_C = (10.0, 1.0, 100.0, 0.1, 1000.0)
_NEIGHBOURS = (5, 10, 3, 20, 1)
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
    pooling = rank_poolings(method, target, train, references, seed)[0]
    fitted = _fit_best(method, target, train[pooling], references, seed)
    return {name: _scores(fitted, target, x[pooling]) for name, x in splits.items()}


def of_all_classes(scores: np.ndarray, count: int) -> np.ndarray:
    """Scores with a column for each of `count` classes, shape (rows, count): the last ones may have no training row."""
    return np.pad(scores, ((0, 0), (0, max(0, count - scores.shape[1]))), constant_values=np.log(_LEAST))


def out_of_fold(
    method: FrozenBaseline, target: RowTarget, train: Features, references: np.ndarray, seed: int
) -> np.ndarray:
    """Scores of each row by a baseline that is fitted to the other folds alone (nested cross-validation).

    Arguments as in `fit_and_score`, and scores as it returns them; NaN where the other folds have a single label.
    """
    columns = references.shape[1] if target == "classes" else int(references.max()) + 1 if target == "class" else 1
    found = np.full((len(references), columns), np.nan)
    for fitted, held_out in _folds(target, references, seed):
        parts = ({name: x[rows] for name, x in train.items()} for rows in (fitted, held_out))
        scores = fit_and_score(method, target, next(parts), references[fitted], {"held_out": next(parts)}, seed)
        # Classes that the other folds lack.
        found[held_out] = np.log(_LEAST) if target == "class" else 0.0
        found[held_out, : scores["held_out"].shape[1]] = scores["held_out"]
    return found


def rank_poolings(
    method: FrozenBaseline, target: RowTarget, train: Features, references: np.ndarray, seed: int
) -> list[str]:
    """The poolings of the training rows, that of the least cross-validated error first, of equal ones by the loss."""
    risks = {}
    for name, features in train.items():
        once, labels = _once(features, references)
        estimator = _estimator(method, target, _parameters(method, labels)[0])
        errors, losses = _held_out(estimator, target, once, labels, _folds(target, labels, seed))
        risks[name] = float(errors.mean()), float(losses.mean())
    return sorted(risks, key=lambda name: risks[name])


def fit_linear(
    target: RowTarget, features: np.ndarray, references: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The linear layer whose outputs for features of shape (rows, size) are the logits of a probe.

    Args:
        target: what `references` are.
        features: what the layer reads of the training rows.
        references: as in `fit_and_score`; the classes are numbered from 0, and each is there.
        seed: of the folds.

    Returns:
        Weight, shape (outputs, size), and bias, shape (outputs,); one output for numbers, else one for each class.
    """
    pipeline = _fit_best("probe", target, features, references, seed)
    scaler, predictor = pipeline[0], pipeline[-1]
    if target == "classes":
        layers = [_coefficients(it, features.shape[1]) for it in predictor.estimators_]
        weight, bias = np.concatenate([it for it, _ in layers]), np.concatenate([it for _, it in layers])
    else:
        weight, bias = _coefficients(predictor, features.shape[1])
    if target == "class" and len(weight) == 1:
        # Of two classes scikit-learn keeps the difference of the logits.
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight / (scaler.scale_ * features.shape[1] ** 0.5)
    return weight, bias - weight @ scaler.mean_


def fold_kind(classes: np.ndarray) -> str:
    """The class of scikit-learn that makes the folds of rows of these classes, shape (rows,)."""
    return "StratifiedKFold" if np.bincount(classes).max() >= _FOLDS else "KFold"


def out_of_fold_probabilities(
    estimator: Any, features: np.ndarray, classes: np.ndarray, folds: Folds, fit: np.ndarray
) -> np.ndarray:
    """Probabilities of each row by a classifier that was fitted to the other folds alone, shape (rows, classes).

    Args:
        estimator: a classifier of scikit-learn, such as `standardized_probe` makes.
        features: of shape (rows, size).
        classes: the class of each row, numbered from 0, shape (rows,).
        folds: training rows and held-out rows of each fold; together the held-out rows are all.
        fit: whether a row is among those that are fitted, shape (rows,).
    """
    probabilities = np.zeros((len(features), int(classes.max()) + 1))
    for train, held_out in folds:
        chosen = train[fit[train]]
        with warnings.catch_warnings():
            # Of penalties so weak that the optimum is far away.
            warnings.simplefilter("ignore")
            fitted = estimator.fit(features[chosen], classes[chosen])
        probabilities[held_out] = np.exp(_scores(fitted, "class", features[held_out], classes))
    return probabilities


def standardized_probe(strength: float) -> Any:
    """The logistic regression of `probe` with this inverse strength of its penalty, not yet fitted."""
    return _estimator("probe", "class", strength)


def _once(features: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row once: the copies of a held-out row (`data.sampling: balanced`) would be among those that are fitted."""
    _, first = np.unique(features, axis=0, return_index=True)
    first.sort()
    return features[first], references[first]


def _coefficients(predictor: Any, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a fitted model of scikit-learn; a label that all rows have, or none, has a bias alone."""
    if not hasattr(predictor, "coef_"):
        constant = np.clip(predictor.predict(np.zeros((1, size))), _LEAST, 1 - _LEAST)
        return np.zeros((1, size)), np.log(constant / (1 - constant)).reshape(1)
    return np.atleast_2d(predictor.coef_), np.atleast_1d(predictor.intercept_)


def _parameters(method: FrozenBaseline, references: np.ndarray) -> tuple[float, ...]:
    """The settings among which cross-validation chooses."""
    return _C if method == "probe" else tuple(k for k in _NEIGHBOURS if k < 0.8 * len(references)) or (1,)


def _fit_best(
    method: FrozenBaseline, target: RowTarget, features: np.ndarray, references: np.ndarray, seed: int
) -> Any:
    """The pipeline of scikit-learn with the best of its settings, fitted to all rows.

    Of a probe's penalties the first is kept unless another has fewer errors on the held-out rows by more than two
    standard errors of the difference, as the one standard error rule keeps the simpler model (Hastie, Tibshirani and
    Friedman, The Elements of Statistical Learning, 7.10): few rows cannot tell five penalties apart. It is errors that
    count, not the loss, which asks for too weak a penalty where few rows are separable.
    """
    once, labels = _once(features, references)
    folds = _folds(target, labels, seed)
    estimators = [_estimator(method, target, parameter) for parameter in _parameters(method, labels)]
    held_out = [_held_out(it, target, once, labels, folds) for it in estimators]
    if method == "knn":
        best = estimators[int(np.argmin([losses.mean() for _, losses in held_out]))]
    else:
        best = estimators[_clearly_best([errors for errors, _ in held_out])]
    with warnings.catch_warnings():
        # Of penalties so weak that the optimum is far away.
        warnings.simplefilter("ignore")
        return best.fit(features, references)


def _clearly_best(errors: list[np.ndarray]) -> int:
    """The setting of the least mean error among those that beat the first by two standard errors, else the first.

    Args:
        errors: of each setting, those of the held-out rows, shape (rows,).
    """
    gains = [errors[0] - other for other in errors]
    clear = [it for it, gain in enumerate(gains) if gain.mean() > 2 * gain.std() / len(gain) ** 0.5]
    return max(clear, key=lambda it: float(gains[it].mean()), default=0)


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
    kind = StratifiedKFold if target == "class" and fold_kind(references) == "StratifiedKFold" else KFold
    with warnings.catch_warnings():
        # A class may have fewer rows than there are folds.
        warnings.simplefilter("ignore")
        folds = list(kind(_FOLDS, shuffle=True, random_state=seed).split(references, references))
    return [fold for fold in folds if target == "number" or len(np.unique(references[fold[0]], axis=0)) > 1]


def _held_out(
    estimator: Any, target: RowTarget, features: np.ndarray, references: np.ndarray, folds: list[Any]
) -> tuple[np.ndarray, np.ndarray]:
    """The error and the cross-entropy of each held-out row, shape (rows,); of numbers both are the squared error."""
    losses, errors = [], []
    for train, held_out in folds:
        with warnings.catch_warnings():
            # Of penalties so weak that the optimum is far away, and of classes that a fold lacks.
            warnings.simplefilter("ignore")
            fitted = estimator.fit(features[train], references[train])
        scores, right = _scores(fitted, target, features[held_out], references), references[held_out]
        if target == "class":
            losses.append(-scores[np.arange(len(right)), right])
            errors.append(scores.argmax(axis=1) != right)
        elif target == "classes":
            losses.append((np.logaddexp(0, scores) - right * scores).mean(axis=1))
            errors.append(((scores > 0) != right).mean(axis=1))
        else:
            losses.append((scores[:, 0] - right) ** 2)
            errors.append(losses[-1])
    if not losses:
        return np.zeros(1), np.zeros(1)
    return np.concatenate(errors).astype(float), np.concatenate(losses)


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
