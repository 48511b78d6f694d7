"""What recipes of earlier versions call otherwise: the table by which `hftransfer update` brings them up to date.

A key or a value that gets another name, or goes, gets a line here in the same commit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


def _unchanged(value: Any) -> object:
    return value


def _below_one(value: Any) -> object:
    """A share of the steps, which `warmup_steps` takes below 1."""
    if isinstance(value, int | float) and 0 <= value < 1:
        return value
    raise LookupError


class Change(NamedTuple):
    """A key that was renamed or removed, or whose value has another name."""

    section: str
    """`evaluation`, `export` ...: a class of `recipe.schema`; `training`; kind and name of a plug-in."""
    key: str
    new_key: str | None
    """None: the key has gone."""
    since: str
    """The version of this package, or of a library that names the key."""
    value: Callable[[Any], object] = _unchanged
    """Old value -> new value; a LookupError for one that the change does not concern."""
    reason: str = ""
    """Why a key has gone."""


_VERSION, _TRANSFORMERS = "0.1.0", "Transformers 5"
_NO_EPOCHS = "the head is a regression on the features, which has none"

CHANGES = (
    Change("evaluation", "shifts", "corruptions", _VERSION),
    Change("evaluation", "source", "source_task", _VERSION),
    Change("export", "operators", "operators", _VERSION, {"fitting": "supported"}.__getitem__),
    Change("data", "check_rows", "check_rows", _VERSION, {"all": 0}.__getitem__),
    Change("strategies/prune", "heads", "attention_heads", _VERSION),
    Change("strategies/linear_probe", "keep_features", "cache_features", _VERSION),
    Change("strategies/few_shot", "head_epochs", None, _VERSION, reason=_NO_EPOCHS),
    Change("strategies/few_shot", "head_learning_rate", None, _VERSION, reason=_NO_EPOCHS),
    Change(
        "tasks/automatic-speech-recognition", "vocabulary", "vocabulary", _VERSION, {"own": "checkpoint"}.__getitem__
    ),
    Change(
        "training",
        "group_by_length",
        "train_sampling_strategy",
        _TRANSFORMERS,
        {True: "group_by_length", False: "random"}.__getitem__,
    ),
    Change("training", "no_cuda", "use_cpu", _TRANSFORMERS),
    Change("training", "warmup_ratio", "warmup_steps", _TRANSFORMERS, _below_one),
)


def changes_of(section: str, key: str) -> list[Change]:
    """The changes of a key."""
    return [change for change in CHANGES if (change.section, change.key) == (section, key)]


def renamed(section: str) -> Mapping[str, tuple[str, ...]]:
    """Former key -> its new name, of a section, in the form of `core.synonyms`."""
    return {
        change.key: (change.new_key,)
        for change in CHANGES
        if change.section == section and change.new_key not in (None, change.key)
    }
