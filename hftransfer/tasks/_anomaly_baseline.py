"""Detectors on plain features of rows, without a checkpoint: what anomaly detection has to be better than.

- `isolation_forest`: Liu et al. 2008, https://doi.org/10.1109/ICDM.2008.17;
  https://scikit-learn.org/stable/modules/generated/sklearn.ensemble.IsolationForest.html
- `plain_knn`: the distance to the nearest normal training row; with few rows of many features it is the stronger one:
  on topics of BBC News that are not trained on it has an AUROC of 0.86 on validation rows, the forest less than 0.5.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.arrow import read_column
from hftransfer.core.media import location, open_audio, resample

if TYPE_CHECKING:
    from datasets import Dataset

    from hftransfer.tasks._anomaly_inputs import AnyInput

_TREES = 200
_SIDE = 32
# Dimensions of latent semantic analysis, and rows in which a word has to be.
_TOPICS, _LEAST_ROWS = 50, 2
_RATE, _BANDS = 16_000, 40
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")

NAMES = ("isolation_forest", "plain_knn")
"""The baselines of the task."""


def scores(
    name: str, task: AnyInput, splits: Mapping[str, Dataset], normal: np.ndarray, seed: int
) -> dict[str, dict[str, np.ndarray]]:
    """Split -> `score` of shape (rows,), higher for what is unlike normal rows, for all splits but `train`.

    Args:
        name: One of `NAMES`.
        task: The task, which says what is read of a row.
        splits: The rows.
        normal: Which training rows are normal, shape (rows,).
        seed: Of the forest.
    """
    rows = dict(splits) | {"train": splits["train"].select(np.flatnonzero(normal))}
    features = _pixels(task, rows) if task.modality == "image" else _OTHERS[str(task.modality)](rows)
    train = features.pop("train")
    score = _forest(train, seed) if name == "isolation_forest" else _neighbour(train)
    return {split: {"score": score(array)} for split, array in features.items()}


def _forest(train: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """How few cuts isolate a row; of many words, in as many dimensions as a forest can look at."""
    from scipy.sparse import issparse
    from sklearn.decomposition import TruncatedSVD
    from sklearn.ensemble import IsolationForest
    from sklearn.pipeline import make_pipeline

    forest = IsolationForest(n_estimators=_TREES, random_state=seed)
    if issparse(train) and train.shape[1] > _TOPICS:
        size = min(_TOPICS, train.shape[0])
        forest = make_pipeline(TruncatedSVD(size, random_state=0), forest)
    forest.fit(train)
    return lambda array: np.asarray(-forest.score_samples(array))


def _neighbour(train: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The Euclidean distance to the nearest training row, which orders rows of length 1 as the cosine does."""
    from sklearn.neighbors import NearestNeighbors

    neighbours = NearestNeighbors(n_neighbors=1).fit(train)
    return lambda array: np.asarray(neighbours.kneighbors(array)[0][:, 0])


def _pixels(task: AnyInput, splits: Mapping[str, Dataset]) -> dict[str, np.ndarray]:
    """Grey images of 32 x 32, from 0 to 1."""

    def small(rows: Dataset) -> np.ndarray:
        images = (task.rgb(row["image"]).convert("L").resize((_SIDE, _SIDE)) for row in rows)
        return np.stack([np.asarray(image, dtype=np.float32).ravel() / 255 for image in images])

    return {split: small(rows) for split, rows in splits.items()}


def _bands(splits: Mapping[str, Dataset]) -> dict[str, np.ndarray]:
    """The mean and the deviation over time of 40 logarithmic mel bands, each recording at 16 kHz."""
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    filters = mel_filter_bank(201, _BANDS, 0.0, _RATE / 2, _RATE, norm="slaney", mel_scale="slaney")
    window = window_function(400, "hann")

    def summary(cell: Any) -> np.ndarray:
        samples = resample(*open_audio(location(cell)), _RATE)
        samples = np.pad(samples, (0, max(0, 400 - len(samples))))
        bands = spectrogram(samples, window, 400, 160, power=2.0, mel_filters=filters, log_mel="log10")
        return np.concatenate([bands.mean(axis=1), bands.std(axis=1)])

    return {split: np.stack([summary(cell) for cell in rows["audio"]]) for split, rows in splits.items()}


def _text_features(splits: Mapping[str, Dataset]) -> dict[str, np.ndarray]:
    """The numbers of rows that are numbers, with mean 0 and variance 1; else tf-idf of words, each row of length 1."""
    texts = {split: read_column(rows, "text") for split, rows in splits.items()}
    numbers = numbers_of(texts)
    if numbers is None:
        return _topics(texts)
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(numbers["train"])
    return {split: scaler.transform(array) for split, array in numbers.items()}


def numbers_of(texts: Mapping[str, list[str]]) -> dict[str, np.ndarray] | None:
    """The numbers in texts that are nothing but numbers, as many in each; None where they are something else."""
    parts = {split: [re.split(r"[\s,;|]+", text.strip()) for text in rows] for split, rows in texts.items()}
    each = [row for rows in parts.values() for row in rows]
    if len({len(row) for row in each}) != 1 or not all(_NUMBER.fullmatch(part) for row in each for part in row):
        return None
    return {split: np.array(rows, dtype=np.float64) for split, rows in parts.items()}


def _topics(texts: Mapping[str, list[str]]) -> dict[str, np.ndarray]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(min_df=min(_LEAST_ROWS, len(texts["train"])), sublinear_tf=True)
    try:
        words.fit(texts["train"])
    except ValueError:
        # No word is in two rows, or there are none but single letters.
        words = TfidfVectorizer(analyzer="char", sublinear_tf=True).fit(texts["train"])
    return {split: words.transform(rows) for split, rows in texts.items()}


_OTHERS = {"audio": _bands, "text": _text_features}
