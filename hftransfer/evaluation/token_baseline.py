"""What truncation costs: a linear classifier of token counts on whole texts, and on what the model reads of them."""

from __future__ import annotations

import warnings
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from hftransfer.core.data_facts import TokenBaseline

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_FOLDS = 5
# Training texts that have a token which counts.
_LEAST_TEXTS = 2
# Of the normal distribution, for 99.9 % on one side.
_SIGNIFICANT = 3.09


def token_baseline(tokens: list[list[int]], length: int, labels: np.ndarray, seed: int) -> TokenBaseline | None:
    """Cross-validated accuracy of logistic regression on TF-IDF weights of whole texts and of their first tokens.

    Args:
        tokens: All tokens of each text.
        length: Tokens of a text that the model reads.
        labels: Class numbers, shape (texts,).
        seed: Of the folds, which are the same for both.

    Returns:
        None where fewer than two classes have a text for each fold.
    """
    common = [label for label, count in enumerate(np.bincount(labels)) if count >= _FOLDS]
    chosen = np.flatnonzero(np.isin(labels, common))
    if len(common) < 2:
        return None
    texts, classes = [tokens[row] for row in chosen], labels[chosen]
    whole, truncated = (_right(_counts(part), classes, seed) for part in (texts, [ids[:length] for ids in texts]))
    gained, lost = int((whole & ~truncated).sum()), int((truncated & ~whole).sum())
    return TokenBaseline(
        rows=len(chosen),
        whole=float(whole.mean()),
        truncated=float(truncated.mean()),
        significant=gained - lost > _SIGNIFICANT * max(1, gained + lost) ** 0.5,
    )


def _counts(texts: list[list[int]]) -> csr_matrix:
    """How often each text has each token, shape (texts, tokens)."""
    from scipy.sparse import csr_matrix

    rows = np.repeat(np.arange(len(texts)), [len(ids) for ids in texts])
    columns = np.fromiter(chain.from_iterable(texts), dtype=int)
    return csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(texts), int(columns.max()) + 1))


def _right(counts: csr_matrix, labels: np.ndarray, seed: int) -> np.ndarray:
    """Whether each text, held out, is classified right; shape (texts,)."""
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    predicted = np.empty_like(labels)
    for train, held_out in StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(labels, labels):
        known = np.flatnonzero(counts[train].getnnz(axis=0) >= _LEAST_TEXTS)
        weights, model = TfidfTransformer(sublinear_tf=True), LogisticRegression(C=10.0, max_iter=200)
        with warnings.catch_warnings():
            # Of weights that would still move: the accuracy no longer does.
            warnings.simplefilter("ignore")
            model.fit(weights.fit_transform(counts[train][:, known]), labels[train])
        predicted[held_out] = model.predict(weights.transform(counts[held_out][:, known]))
    return np.asarray(predicted == labels)
