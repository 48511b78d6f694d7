"""The probability from which a label is predicted, chosen on validation rows by a named rule."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

ThresholdRule = Literal["f1"] | dict[Literal["recall_at_precision"], float] | dict[Literal["cost"], dict[str, float]]
"""How thresholds are chosen, as a recipe writes it."""

MOST_UNCERTAIN = 0.5
"""The threshold without a rule."""
FEWEST = 5
"""Rows with a label, and rows without it, below which its threshold is not fitted."""

_ERRORS = ("false_positive", "false_negative")
_ALLOWED = "f1, {recall_at_precision: 0.9} or {cost: {false_positive: 1, false_negative: 5}}"


class _Counts(NamedTuple):
    """What each candidate for the threshold of one label would do, arrays of shape (candidates,)."""

    thresholds: np.ndarray
    correct: np.ndarray
    """Rows with the label that are above the threshold."""
    predicted: np.ndarray
    """Rows above the threshold."""
    actual: int
    """Rows with the label."""


def check_rule(rule: object) -> object:
    """A rule that is written as it should be.

    Raises:
        ValueError: it is not.
    """
    if rule is None or rule == "f1":
        return rule
    if not isinstance(rule, dict) or len(rule) != 1 or next(iter(rule)) not in ("recall_at_precision", "cost"):
        raise ValueError(f"should be {_ALLOWED}, got {rule!r}")
    ((name, value),) = rule.items()
    if name == "recall_at_precision" and not (_is_number(value) and 0 < value <= 1):
        raise ValueError(f"recall_at_precision: a precision lies between 0 and 1, got {value!r}")
    if name == "cost":
        costs = value if isinstance(value, dict) else {}
        if set(costs) != set(_ERRORS) or not all(_is_number(it) and it > 0 for it in costs.values()):
            raise ValueError(f"cost: give {' and '.join(_ERRORS)}, each above 0, got {value!r}")
    return rule


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def fit_thresholds(scores: np.ndarray, flags: np.ndarray, rule: Any) -> list[float | str]:
    """The threshold of each label, or why it has none of its own; of equally good ones that closest to 0.5.

    - `f1`: the highest F1 of all labels together (micro), which the thresholds reach jointly: with the best F1 given,
      each label has to gain the most of 2 x correct - F1 x (predicted + actual) for itself (Dinkelbach 1967,
      https://doi.org/10.1287/mnsc.13.7.492).
    - `recall_at_precision`: the highest recall whose precision is at least this.
    - `cost`: the lowest sum of what false positives and false negatives cost.

    Args:
        scores: probabilities of shape (rows, labels).
        flags: 0 or 1 of the same shape, whether a row has the label.
        rule: as a recipe writes it.
    """
    counts = [_count(scores[:, label], flags[:, label]) for label in range(scores.shape[1])]
    reasons = [_too_few(flags[:, label]) for label in range(scores.shape[1])]
    if rule == "f1":
        return [reason or threshold for reason, threshold in zip(reasons, _best_f1(counts, reasons), strict=True)]
    ((name, value),) = rule.items()
    choose = _best_recall if name == "recall_at_precision" else _lowest_cost
    return [reason or choose(it, value) for reason, it in zip(reasons, counts, strict=True)]


def _too_few(flags: np.ndarray) -> str:
    """Why a label's threshold cannot be fitted; empty where it can."""
    actual, rows = int(flags.sum()), len(flags)
    if min(actual, rows - actual) >= FEWEST:
        return ""
    return f"{actual} of {rows} validation rows have it, and {FEWEST} with and {FEWEST} without it are needed"


def _count(scores: np.ndarray, flags: np.ndarray) -> _Counts:
    order = np.argsort(scores, kind="stable")
    scores, correct = scores[order], np.concatenate([[0], np.cumsum(flags[order])])
    steps = np.unique(np.concatenate([[0.0], scores, [1.0]]))
    thresholds = np.append((steps[:-1] + steps[1:]) / 2, MOST_UNCERTAIN)
    below = np.searchsorted(scores, thresholds, side="right")
    actual = int(correct[-1])
    return _Counts(thresholds, actual - correct[below], len(scores) - below, actual)


def _best(counts: _Counts, utility: np.ndarray) -> int:
    """The candidate of the highest utility, of equal ones the closest to 0.5."""
    # Utilities that differ by rounding alone are equal.
    best = np.flatnonzero(utility >= utility.max() - 1e-9)
    return int(best[np.argmin(abs(counts.thresholds[best] - MOST_UNCERTAIN))])


def _best_f1(counts: list[_Counts], reasons: list[str]) -> list[float]:
    undecided = [len(it.thresholds) - 1 for it in counts]
    best, chosen = _f1(counts, undecided), undecided
    while True:
        proposed = [
            last if reason else _best(it, 2 * it.correct - best * (it.predicted + it.actual))
            for it, last, reason in zip(counts, undecided, reasons, strict=True)
        ]
        score = _f1(counts, proposed)
        if score <= best + 1e-12:
            return [float(it.thresholds[place]) for it, place in zip(counts, chosen, strict=True)]
        best, chosen = score, proposed


def _f1(counts: list[_Counts], chosen: list[int]) -> float:
    """The F1 of all labels together, each at its candidate."""
    correct = sum(int(it.correct[place]) for it, place in zip(counts, chosen, strict=True))
    total = sum(int(it.predicted[place]) + it.actual for it, place in zip(counts, chosen, strict=True))
    return 2 * correct / total if total else 0.0


def _best_recall(counts: _Counts, precision: float) -> float | str:
    reached = counts.correct / np.maximum(1, counts.predicted)
    allowed = (reached >= precision) & (counts.correct > 0)
    if not allowed.any():
        return (
            f"no threshold reaches a precision of {precision} on the validation rows; the highest is {max(reached):.3f}"
        )
    return float(counts.thresholds[_best(counts, np.where(allowed, counts.correct, -1))])


def _lowest_cost(counts: _Counts, costs: dict[str, float]) -> float:
    false_positives, false_negatives = counts.predicted - counts.correct, counts.actual - counts.correct
    cost = costs["false_positive"] * false_positives + costs["false_negative"] * false_negatives
    return float(counts.thresholds[_best(counts, -cost)])
