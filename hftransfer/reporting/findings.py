"""Findings: what in the record of a run says why a model is not better, each with the recipe's key that helps."""

from collections.abc import Callable

from hftransfer.core.results import RunResult
from hftransfer.core.variants import CHEAP_BASELINES
from hftransfer.reporting import data_findings, training_findings
from hftransfer.reporting.tables import confidence, interval
from hftransfer.reporting.training_findings import is_trained

# A class with fewer test rows may be missed by chance.
_ROWS_OF_A_CLASS = 5
# Words of a message that name classes, or weights.
_NAMED = 5


def findings(result: RunResult) -> list[str]:
    """Sentences, the gravest first; empty where nothing stands out."""
    return [sentence for rule in _RULES if (sentence := rule(result))]


def _one_class(result: RunResult) -> str:
    predicted = _predicted_counts(result)
    if sum(map(bool, predicted)) != 1:
        return ""
    label = result.data.labels[next(i for i, count in enumerate(predicted) if count)]
    one = f"The model predicts '{label}' for every test row:"
    if not is_trained(result):
        threshold = "task.false_alarms or task.threshold may be too low or too high, or "
        return f"{one} {threshold if 'false_alarms' in result.recipe['task'] else ''}another model.id is needed."
    weights = ", or task.class_weights: balanced is needed" if "class_weights" in result.recipe["task"] else ""
    return (
        f"{one} training.learning_rate may be too high (or far too low){',' if weights else ', or'} "
        f"training.num_train_epochs too few{weights}."
    )


def _classes_never_predicted(result: RunResult) -> str:
    predicted = _predicted_counts(result)
    if sum(map(bool, predicted)) < 2:
        return ""
    rows = [sum(row) for row in result.confusion]
    missed = [i for i, count in enumerate(predicted) if not count and rows[i] >= _ROWS_OF_A_CLASS]
    if not missed:
        return ""
    named = ", ".join(f"'{result.data.labels[i]}' ({rows[i]} test rows)" for i in missed[:_NAMED])
    more = f" and {len(missed) - _NAMED} more" if missed[_NAMED:] else ""
    weights = "task.class_weights: balanced, " if "class_weights" in result.recipe["task"] else ""
    sampling = "data.sampling: balanced, or " if is_trained(result) else ""
    return f"The model never predicts {named}{more}: {weights}{sampling}more rows of these classes."


def _predicted_counts(result: RunResult) -> list[int]:
    """How often each class is predicted on the test rows; empty where rows have no single class."""
    return [sum(column) for column in zip(*result.confusion, strict=True)]


def _silent(result: RunResult) -> str:
    texts = [example.prediction for example in result.worst]
    if not is_trained(result) or len(texts) < _ROWS_OF_A_CLASS or any(text.strip() for text in texts):
        return ""
    return (
        f"The model writes nothing for its {len(texts)} worst test rows. A CTC model writes blanks alone in its first "
        "hundreds of updates: more training.num_train_epochs, or a higher training.learning_rate."
    )


def _below_cheap_baseline(result: RunResult) -> str:
    gains = {name: gain for name, gain in result.transfer_gain.items() if name in CHEAP_BASELINES}
    worse = {name: gain for name, gain in gains.items() if gain.high < 0}
    if not worse:
        return ""
    name = min(worse, key=lambda it: worse[it].value)
    remedies = {
        "majority": "the model does worse than the most frequent answer; change training.learning_rate",
        "probe": "what the checkpoint knows is lost in training; lower training.learning_rate, or strategy: lp_ft",
        "knn": "what the checkpoint knows is lost in training; lower training.learning_rate, or strategy: lp_ft",
        "linear_probe": "strategy: linear_probe or lp_ft, or a lower training.learning_rate",
        "scratch": "the checkpoint does not help here; another model.id, or more training.num_train_epochs",
    }
    remedy = remedies[name] if is_trained(result) else "another strategy or model.id"
    return (
        f"The cheap baseline {name} is significantly better than the tuned model (gain in {result.headline} "
        f"{interval(worse[name])}, {confidence(result)}): {remedy}."
    )


def _frozen_new_weights(result: RunResult) -> str:
    new, counts = result.new_weights, result.parameters
    gains = list(result.transfer_gain.values())
    if (
        not new
        or not counts["trainable"]
        or counts["trainable"] >= counts["all"]
        or not gains
        or min(gain.low for gain in gains) > 0
    ):
        return ""
    named = f"{', '.join(new[:_NAMED])}{' and others' if new[_NAMED:] else ''}"
    strategy = result.recipe["strategy"]["name"]
    saved = "strategy.config.modules_to_save, " if "config" in result.recipe["strategy"] else ""
    return (
        f"The checkpoint has no weights for {named}, which began at random, and strategy {strategy} may have frozen "
        f"them: strategy: full, {saved}or another model.id."
    )


_RULES: tuple[Callable[[RunResult], str], ...] = (
    _one_class,
    training_findings.flat_loss,
    training_findings.rising_loss,
    training_findings.slow_loss,
    _silent,
    _below_cheap_baseline,
    _frozen_new_weights,
    data_findings.contradictions,
    data_findings.truncation,
    data_findings.lost_labels,
    data_findings.sampling_rate,
    data_findings.pace,
    data_findings.resolution,
    data_findings.repeated_rows,
    _classes_never_predicted,
    data_findings.dominant_class,
    training_findings.overfitting,
    training_findings.unfinished,
    data_findings.small_validation,
    data_findings.classes_without_validation_rows,
)
