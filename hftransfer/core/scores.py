"""Scores as a record holds them: a metric with its interval, calibration, thresholds, abstaining, other domains."""

from typing import Any

from hftransfer.core.plugins import Record


class Score(Record):
    """A metric, or a difference of two, on some rows, with its bootstrap interval."""

    value: float
    """On all rows."""
    low: float
    """Lower end of the interval, at the confidence `evaluation.confidence` of the recipe."""
    high: float
    """Upper end of the interval."""
    count: int
    """Rows."""


class Calibration(Record):
    """How far the probabilities of the tuned model are from how often it is right, on the test rows."""

    temperature: float | dict[str, float]
    """The logits were divided by it; fitted to validation rows, and part of the last layer. Of several labels: label ->
    temperature."""
    before: Score
    """The expected calibration error (ECE) of the undivided logits; of several labels, its mean over the labels."""
    after: Score
    """That of the model as it ships."""
    if_calibrated: float | None = None
    """What it would be on average, on as many rows, if its probabilities were exactly right."""
    if_calibrated_limit: float | None = None
    """What it would then not exceed in the share `evaluation.confidence` of such samples of rows."""
    curve_before: list[tuple[float, float, int]]
    """Mean confidence, accuracy and rows of each bin of confidence, for the undivided logits. Of several labels: mean
    probability of a label, the share that has it, and decisions."""
    curve: list[tuple[float, float, int]]
    """The same for the model as it ships."""


class Thresholds(Record):
    """Thresholds on the probabilities of labels, chosen on validation rows, and what they change on the test rows."""

    rule: Any
    """`task.threshold` of the recipe."""
    values: dict[str, float]
    """Label -> the probability above which it is predicted."""
    before: dict[str, Score]
    """Metric -> score without thresholds: the most probable class, of several labels those above 0.5."""
    after: dict[str, Score]
    """Metric -> score with thresholds."""
    gain: dict[str, Score]
    """Metric -> gain by the thresholds, positive is better, with the interval of a paired bootstrap."""


class RiskCoverage(Record):
    """What a model gains that answers only where it is certain, on the test rows.

    El-Yaniv and Wiener 2010, https://jmlr.org/papers/v11/el-yaniv10a.html
    """

    curve: list[tuple[float, float, float]]
    """Coverage (the share of rows that are answered), accuracy on them, and the lowest confidence among them."""
    aurc: Score
    """Area under the curve of error by coverage, lower is better (Geifman and El-Yaniv 2019,
    https://arxiv.org/abs/1805.08206)."""
    accuracy: Score
    """On all rows; of several labels, the share of rows that are right in each."""
    accuracy_of_90: Score
    """On the 90 % of the rows of which the model is most certain."""


class OutOfDomain(Record):
    """How well rows of other domains are told from test rows by their distance from the training rows."""

    classes: list[str]
    """The classes that were left out of training, validation and test."""
    rows: int
    """Rows of these classes among those of the test split."""
    auroc: Score | None = None
    """The probability that a row of these classes is farther from the training rows than a test row."""
