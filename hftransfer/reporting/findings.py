"""Findings: what in the record of a run says why a model is not better, each with the recipe's key that helps."""

import math
from collections.abc import Callable

from hftransfer.core.results import RunResult
from hftransfer.reporting.tables import number

# A class with fewer test rows may be missed by chance.
_ROWS_OF_A_CLASS = 5
# Fewer validation rows tell no two settings apart.
_VALIDATION_ROWS = 20
# Of so few updates nothing follows.
_STEPS = 20
# Words of a message that name classes.
_NAMED = 5


def findings(result: RunResult) -> list[str]:
    """Sentences, the gravest first; empty where nothing stands out."""
    return [sentence for rule in _RULES if (sentence := rule(result))]


def _one_class(result: RunResult) -> str:
    predicted = _predicted_counts(result)
    if sum(map(bool, predicted)) != 1:
        return ""
    label = result.data.labels[next(i for i, count in enumerate(predicted) if count)]
    return (
        f"The model predicts '{label}' for every test row: training.learning_rate may be too high (or far too low), "
        "training.num_train_epochs too few, or task.class_weights: balanced is needed."
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
    return (
        f"The model never predicts {named}{more}: task.class_weights: balanced, data.sampling: balanced, or more rows "
        "of these classes."
    )


def _predicted_counts(result: RunResult) -> list[int]:
    """How often each class is predicted on the test rows; empty where rows have no single class."""
    return [sum(column) for column in zip(*result.confusion, strict=True)]


def _flat_loss(result: RunResult) -> str:
    losses, classes = _losses(result, "loss"), len(result.confusion)
    guessing = math.log(classes) if classes > 1 else 0.0
    if not losses or not guessing or _steps(result) < _STEPS or losses[-1] < 0.95 * guessing:
        return ""
    return (
        f"The training loss ends at {number(losses[-1])}; guessing among {classes} classes gives {number(guessing)}: "
        "the model has learnt nothing. Change training.learning_rate by a factor of 3 to 10, or train more layers "
        "(strategy)."
    )


def _rising_loss(result: RunResult) -> str:
    losses = _losses(result, "loss")
    if len(losses) < 3 or losses[-1] < 1.5 * min(losses) or losses[-1] < 0.5 * losses[0]:
        return ""
    return (
        f"The training loss was {number(min(losses))} and ends at {number(losses[-1])}: training.learning_rate is too "
        "high, or training.warmup_steps too few."
    )


def _overfitting(result: RunResult) -> str:
    validation, training = _losses(result, "eval_loss"), _losses(result, "loss")
    best = min(validation, default=0.0)
    if len(validation) < 3 or validation[-1] < 1.1 * best + 0.02 or not training or training[-1] > training[0]:
        return ""
    place = validation.index(best) + 1
    return (
        f"The validation loss is lowest at evaluation {place} of {len(validation)} ({number(best)}) and ends at "
        f"{number(validation[-1])}, while the training loss falls: training.load_best_model_at_end: true, fewer "
        "training.num_train_epochs, data.augment, or more training.weight_decay."
    )


def _unfinished(result: RunResult) -> str:
    losses = _losses(result, "eval_loss")
    if len(losses) < 2 or losses[-1] > min(losses) or losses[-1] > 0.93 * losses[-2]:
        return ""
    return (
        f"The validation loss still falls at the end ({number(losses[-2])} to {number(losses[-1])} in the last step "
        "of the curve): more training.num_train_epochs, or a higher training.learning_rate."
    )


def _silent(result: RunResult) -> str:
    texts = [example.prediction for example in result.worst]
    if len(texts) < _ROWS_OF_A_CLASS or any(text.strip() for text in texts):
        return ""
    return (
        f"The model writes nothing for its {len(texts)} worst test rows. A CTC model writes blanks alone in its first "
        "hundreds of updates: more training.num_train_epochs, or a higher training.learning_rate."
    )


def _small_validation(result: RunResult) -> str:
    rows = result.data.rows.get("validation", _VALIDATION_ROWS)
    if rows >= _VALIDATION_ROWS:
        return ""
    return f"Validation has {rows} rows, too few to choose settings by: raise data.splits.validation."


def _losses(result: RunResult, name: str) -> list[float]:
    """The tuned model's losses of one kind, in the order of the training."""
    return [entry[name] for entry in result.history.get("tuned", []) if name in entry]


def _steps(result: RunResult) -> float:
    return max((entry.get("step", 0) for entry in result.history.get("tuned", [])), default=0)


_RULES: tuple[Callable[[RunResult], str], ...] = (
    _one_class,
    _flat_loss,
    _rising_loss,
    _silent,
    _classes_never_predicted,
    _overfitting,
    _unfinished,
    _small_validation,
)
