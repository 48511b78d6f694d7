"""Measures of several checkpoints on the same rows: intervals, and which differences are more than chance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hftransfer.choosing.frozen import RankingRows
from hftransfer.core.files import Arrays
from hftransfer.core.results import Score
from hftransfer.evaluation.scoring import Scorer, answers, percentile_interval
from hftransfer.metrics import load_metric, lower_is_better
from hftransfer.tasks import Predictions

MEASURES = ("probe", "knn", "log_me", "h_score")
"""Of a checkpoint; the first one is what checkpoints are ranked by."""
_BY_ROWS = ("probe", "knn")

Compared = tuple[dict[str, Score], dict[str, Score]]
"""Name -> value, and name -> how much better the best one is."""


def compare(
    rows: RankingRows, measured: Mapping[str, Arrays], confidence: float, resamples: int
) -> dict[str, Compared]:
    """Measure -> what `differences` gives of all checkpoints, for the measures that the task has.

    `probe` and `knn` have the percentile intervals of a bootstrap over rows; LogME and H-score the value and its
    standard error over halves of the rows, times the quantile of a normal distribution. All differences are paired.
    """
    sign = -1 if lower_is_better(rows.headline) else 1
    found = {}
    for name in MEASURES:
        if any(name not in arrays for arrays in measured.values()):
            continue
        if name in _BY_ROWS:
            outputs = {checkpoint: arrays[name] for checkpoint, arrays in measured.items()}
            values = score_outputs(rows, rows.references, outputs, confidence, resamples)
            found[name] = differences(values, sign, confidence, len(rows.references))
        else:
            values = {checkpoint: arrays[name] for checkpoint, arrays in measured.items()}
            found[name] = differences(values, 1, confidence, len(rows.references), normal=True)
    return found


def score_outputs(
    rows: RankingRows,
    references: Predictions,
    outputs: Mapping[str, np.ndarray],
    confidence: float,
    resamples: int,
) -> dict[str, np.ndarray]:
    """The headline metric of outputs for some rows, on all of them and then on resamples, the same for all outputs."""
    task = rows.task
    variants = {name: answers(task, {task.output_names[0]: it}, {}, references) for name, it in outputs.items()}
    scorer = Scorer([load_metric(rows.headline, task.metric_options())], confidence, resamples, rows.seed)
    return {name: it[rows.headline] for name, it in scorer.resample(variants, references).items()}


def differences(
    values: Mapping[str, np.ndarray], sign: int, confidence: float, count: int, *, normal: bool = False
) -> Compared:
    """Intervals of values, and of their distances to the best, which are at least 0.

    The distances share the confidence (Bonferroni), since the best is the best of all.

    Args:
        values: name -> its value on all rows, then on resamples or halves of the rows that all names share.
        sign: -1 where lower is better.
        confidence: of the intervals.
        count: rows.
        normal: whether the latter give a standard error alone.
    """
    best = max(values, key=lambda name: sign * values[name][0])

    interval = _normal_interval if normal else percentile_interval
    each = 1 - (1 - confidence) / max(1, len(values) - 1)
    scores = {name: interval(numbers, confidence, count) for name, numbers in values.items()}
    return scores, {name: interval(sign * (values[best] - numbers), each, count) for name, numbers in values.items()}


def _normal_interval(values: np.ndarray, confidence: float, count: int) -> Score:
    """The value, and its standard error over halves of the rows times the quantile of a normal distribution."""
    from statistics import NormalDist

    error = NormalDist().inv_cdf((1 + confidence) / 2) * float(np.std(values[1:], ddof=1))
    return Score(value=float(values[0]), low=float(values[0]) - error, high=float(values[0]) + error, count=count)


def is_separable(difference: Score) -> bool:
    """Whether the interval of a distance to the best leaves out 0."""
    return difference.low > 0
