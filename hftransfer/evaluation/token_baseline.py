"""What truncation costs: a linear classifier of token counts on whole texts, and on what the model reads of them."""

from __future__ import annotations

import warnings

import numpy as np

from hftransfer.core.data_facts import TokenBaseline

_FOLDS = 5
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
    whole, truncated = (_right(part, classes, seed) for part in (texts, [ids[:length] for ids in texts]))
    gained, lost = int((whole & ~truncated).sum()), int((truncated & ~whole).sum())
    return TokenBaseline(
        rows=len(chosen),
        whole=float(whole.mean()),
        truncated=float(truncated.mean()),
        significant=gained - lost > _SIGNIFICANT * max(1, gained + lost) ** 0.5,
    )


def _right(texts: list[list[int]], labels: np.ndarray, seed: int) -> np.ndarray:
    """Whether each text, held out, is classified right; shape (texts,)."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    vectorizer = TfidfVectorizer(analyzer=_identity, sublinear_tf=True, min_df=2)
    model = make_pipeline(vectorizer, LogisticRegression(C=10.0, max_iter=200))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Of weights that would still move: the accuracy no longer does.
        warnings.simplefilter("ignore")
        predicted = cross_val_predict(model, texts, labels, cv=folds)
    return np.asarray(predicted == labels)


def _identity(tokens: list[int]) -> list[int]:
    return tokens
