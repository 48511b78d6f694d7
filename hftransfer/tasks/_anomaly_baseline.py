"""IsolationForest on plain features of rows, without a checkpoint: what anomaly detection has to be better than.

Liu et al. 2008, https://doi.org/10.1109/ICDM.2008.17;
https://scikit-learn.org/stable/modules/generated/sklearn.ensemble.IsolationForest.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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


def forest_scores(task: AnyInput, splits: Mapping[str, Dataset], normal: np.ndarray, seed: int) -> dict[str, Any]:
    """Split -> `score` of shape (rows,), higher for what is isolated by fewer cuts, for all splits but `train`.

    Args:
        task: The task, which says what is read of a row.
        splits: The rows.
        normal: Which training rows are normal, shape (rows,).
        seed: Of the forest.
    """
    from sklearn.ensemble import IsolationForest

    rows = dict(splits) | {"train": splits["train"].select(np.flatnonzero(normal))}
    features = _pixels(task, rows) if task.modality == "image" else _OTHERS[str(task.modality)](rows)
    forest = IsolationForest(n_estimators=_TREES, random_state=seed).fit(features["train"])
    others = {split: array for split, array in features.items() if split != "train"}
    return {split: {"score": -forest.score_samples(array)} for split, array in others.items()}


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
    """The numbers of rows that are numbers; else tf-idf of words, in fewer dimensions where there are many words."""
    texts = {split: read_column(rows, "text") for split, rows in splits.items()}
    return numbers_of(texts) or _topics(texts)


def numbers_of(texts: Mapping[str, list[str]]) -> dict[str, np.ndarray] | None:
    """The numbers in texts that are nothing but numbers, as many in each; None where they are something else."""
    parts = {split: [re.split(r"[\s,;|]+", text.strip()) for text in rows] for split, rows in texts.items()}
    each = [row for rows in parts.values() for row in rows]
    if len({len(row) for row in each}) != 1 or not all(_NUMBER.fullmatch(part) for row in each for part in row):
        return None
    return {split: np.array(rows, dtype=np.float64) for split, rows in parts.items()}


def _topics(texts: Mapping[str, list[str]]) -> dict[str, np.ndarray]:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(min_df=min(_LEAST_ROWS, len(texts["train"])), sublinear_tf=True)
    try:
        words.fit(texts["train"])
    except ValueError:
        # No word is in two rows, or there are none but single letters.
        words = TfidfVectorizer(analyzer="char", sublinear_tf=True).fit(texts["train"])
    tables = {split: words.transform(rows) for split, rows in texts.items()}
    if tables["train"].shape[1] <= _TOPICS:
        return {split: table.toarray() for split, table in tables.items()}
    size = min(_TOPICS, len(texts["train"]))
    svd = TruncatedSVD(size, random_state=0).fit(tables["train"])
    return {split: svd.transform(table) for split, table in tables.items()}


_OTHERS = {"audio": _bands, "text": _text_features}
