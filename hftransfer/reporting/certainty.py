"""What a run says of thresholds, abstaining and other domains, in a sentence each, for terminal, report and card."""

from hftransfer.core.results import RunResult
from hftransfer.reporting.tables import confidence, interval, number, significance

# Rule of `task.threshold` -> the metrics by which it is shown.
_SHOWN = {"f1": ("f1",), "recall_at_precision": ("recall", "precision"), "cost": ("cost",)}
# Thresholds that a sentence names.
_NAMED = 12


def certainty(result: RunResult) -> list[str]:
    """The sentences that the record has numbers for."""
    return [line for rule in _RULES if (line := rule(result))]


def threshold_values(result: RunResult) -> str:
    """Labels with their thresholds; empty where there are none."""
    values = dict(result.fitted.get("thresholds") or result.recipe["task"].get("thresholds") or {})
    named = [f"{label} {number(value)}" for label, value in list(values.items())[:_NAMED]]
    return ", ".join([*named, *(["..."] if len(values) > _NAMED else [])])


def _calibration(result: RunResult) -> str:
    found = result.calibration
    if found is None or found.if_calibrated is None:
        return ""
    sentence = (
        f"Calibration error (ECE) on test: {interval(found.before)} -> {interval(found.after)} by the temperature; "
        f"with perfect probabilities it would be about {number(found.if_calibrated)} on as many rows"
    )
    limit = found.if_calibrated_limit
    if limit is None:
        return f"{sentence}."
    is_worse = found.after.value > limit
    return (
        f"{sentence}, and at most {number(limit)} in {confidence(result)} of such samples: the model is "
        f"{'' if is_worse else 'not '}significantly miscalibrated."
    )


def _thresholds(result: RunResult) -> str:
    thresholds = result.thresholds
    if thresholds is None:
        return ""
    rule = thresholds.rule if isinstance(thresholds.rule, str) else next(iter(thresholds.rule))
    changes = [
        f"{name} {interval(thresholds.before[name])} -> {interval(thresholds.after[name])}, gain "
        f"{interval(thresholds.gain[name])}, {significance(thresholds.gain[name], result)}"
        for name in _SHOWN[rule]
    ]
    return (
        f"Thresholds chosen by {rule} on validation rows ({threshold_values(result)}), on test: {'; '.join(changes)}."
    )


def _abstaining(result: RunResult) -> str:
    curve = result.risk_coverage
    if curve is None:
        return ""
    return (
        f"Abstaining on the least certain 10 % of the test rows: accuracy {interval(curve.accuracy)} -> "
        f"{interval(curve.accuracy_of_90)} ({confidence(result)})."
    )


def _out_of_domain(result: RunResult) -> str:
    found = result.out_of_domain
    if found is None or found.auroc is None:
        return ""
    return (
        f"Out-of-domain score: {found.rows:,} rows of the classes left out ({', '.join(found.classes)}) are told from "
        f"test rows with AUROC {interval(found.auroc)}."
    )


_RULES = (_calibration, _thresholds, _abstaining, _out_of_domain)
