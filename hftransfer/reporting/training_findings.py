"""Findings in the curves of the training: a loss that stays, rises, hardly moves, or falls on the training rows alone.

Each rule returns a sentence, empty where it finds nothing.
"""

import math

from hftransfer.core.results import RunResult
from hftransfer.reporting.tables import number

# Of so few updates nothing follows.
_STEPS = 20
# Shares of what the validation loss has fallen: what is lost by overfitting, and what the last evaluation still brings.
_LOST, _STILL_FALLS = 0.15, 0.05
# Learning rates below the one are rarely high enough, above the other rarely low enough, but for a head alone.
_LOW_RATE, _HIGH_RATE = 1e-5, 5e-3


def is_trained(result: RunResult) -> bool:
    """Whether the tuned model was trained by steps, to which the keys of `training` apply."""
    return bool(result.history.get("tuned"))


def flat_loss(result: RunResult) -> str:
    """The training loss ends where guessing by the frequencies of the classes is, and so do the predictions."""
    losses, guessing = _losses(result, "loss"), _guessing_loss(result)
    if not losses or not guessing or _steps(result) < _STEPS or losses[-1] < 0.95 * guessing:
        return ""
    if _better_than_one_class(result):
        # The loss of a distillation or of several tasks is not that of the classes.
        return ""
    return (
        f"The training loss ends at {number(losses[-1])}; guessing among {len(result.confusion)} classes gives "
        f"{number(guessing)}: the model has learnt nothing. {_other_rate(result)}"
    )


def _guessing_loss(result: RunResult) -> float:
    """The cross-entropy of the class frequencies of the training rows; where they are not known, of equal ones."""
    classes = len(result.confusion)
    counts = [count for count in result.data.classes.get("train", {}).values() if count]
    if len(counts) != classes or result.recipe["data"].get("sampling") == "balanced":
        return math.log(classes) if classes > 1 else 0.0
    return -sum(count / sum(counts) * math.log(count / sum(counts)) for count in counts)


def _better_than_one_class(result: RunResult) -> bool:
    """Whether more test rows are right than have the most frequent class, by more than two standard errors."""
    rows = sum(map(sum, result.confusion))
    right = sum(row[i] for i, row in enumerate(result.confusion))
    most = max(map(sum, result.confusion))
    return right > most + 2 * math.sqrt(most * (1 - most / rows))


def _other_rate(result: RunResult) -> str:
    rate, strategy = result.recipe["training"].get("learning_rate"), result.recipe["strategy"]["name"]
    layers = "or train more layers (strategy)"
    if rate is not None and rate < _LOW_RATE:
        return f"training.learning_rate: {rate:g} is far too low; raise it by a factor of 10 to 100, {layers}."
    if rate is not None and rate > _HIGH_RATE and strategy != "linear_probe":
        return f"training.learning_rate: {rate:g} is far too high; lower it by a factor of 10 to 100."
    return f"Change training.learning_rate by a factor of 3 to 10, {layers}."


def rising_loss(result: RunResult) -> str:
    """The training loss ends well above its minimum."""
    losses = _losses(result, "loss")
    if len(losses) < 3 or losses[-1] < 1.5 * min(losses) or losses[-1] < 0.5 * losses[0]:
        return ""
    return (
        f"The training loss was {number(min(losses))} and ends at {number(losses[-1])}: training.learning_rate is too "
        "high, or training.warmup_steps too few."
    )


def slow_loss(result: RunResult) -> str:
    """The training loss hardly moves at a very low learning rate, and the model is no better than others."""
    losses, rate = _losses(result, "loss"), result.recipe["training"].get("learning_rate")
    if len(losses) < 2 or _steps(result) < _STEPS or flat_loss(result):
        return ""
    gains = result.transfer_gain.values()
    if losses[0] <= 0 or abs(losses[0] - losses[-1]) > 0.03 * losses[0] or any(gain.low > 0 for gain in gains):
        return ""
    if rate is None or rate >= _LOW_RATE:
        return ""
    return (
        f"The training loss hardly moves, from {number(losses[0])} to {number(losses[-1])}: training.learning_rate: "
        f"{rate:g} is far too low; raise it by a factor of 10 to 100."
    )


def overfitting(result: RunResult) -> str:
    """The validation loss rises by much of what it had fallen, while the training loss falls."""
    validation, training = _losses(result, "eval_loss"), _losses(result, "loss")
    best = min(validation, default=0.0)
    if len(validation) < 3 or validation[-1] < 1.1 * best + 0.02 or not training or training[-1] > training[0]:
        return ""
    if validation[-1] - best < _LOST * (_start(result) - best):
        return ""
    place = validation.index(best) + 1
    return (
        f"The validation loss is lowest at evaluation {place} of {len(validation)} ({number(best)}) and ends at "
        f"{number(validation[-1])}, while the training loss falls: training.load_best_model_at_end: true, fewer "
        "training.num_train_epochs, data.augment, or more training.weight_decay."
    )


def unfinished(result: RunResult) -> str:
    """The validation loss still falls at the end of the training of a model that is not better than all baselines."""
    losses, gains = _losses(result, "eval_loss"), result.transfer_gain.values()
    if len(losses) < 2 or losses[-1] > min(losses) or losses[-1] > 0.93 * losses[-2]:
        return ""
    fell = _start(result) - losses[-1]
    if losses[-2] - losses[-1] < _STILL_FALLS * fell or (gains and all(gain.low > 0 for gain in gains)):
        return ""
    return (
        f"The validation loss still falls at the end ({number(losses[-2])} to {number(losses[-1])} in the last step "
        "of the curve): more training.num_train_epochs, or a higher training.learning_rate."
    )


def _start(result: RunResult) -> float:
    """Where the validation loss came from: guessing among the classes, or the first evaluation if that is higher."""
    return max(_guessing_loss(result), *_losses(result, "eval_loss")[:1])


def _losses(result: RunResult, name: str) -> list[float]:
    """The tuned model's losses of one kind, in the order of the training."""
    return [entry[name] for entry in result.history.get("tuned", []) if name in entry]


def _steps(result: RunResult) -> float:
    return max((entry.get("step", 0) for entry in result.history.get("tuned", [])), default=0)
