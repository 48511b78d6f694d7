"""Which split a folder or a file holds, by its name."""

from __future__ import annotations

import re

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""Lower-case word in the name of a folder or file -> the split that it holds."""
# Words that a folder's name may have besides that of its split: `training_set`, `obj_train_data`, `train_images`.
_GENERIC = frozenset(
    ("audio", "data", "dataset", "files", "folder", "images", "imgs", "obj", "samples", "seg", "set", "split", "wavs")
)


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^a-z]+", name.lower()) if word]


def split_of(name: str) -> str | None:
    """The split that a folder of this name holds: `Train`, `train2017`, `training_set`, but not `train_station`."""
    words = [word for word in _words(name) if word not in _GENERIC]
    return SPLITS.get(words[0]) if len(words) == 1 else None


def split_in(name: str) -> str | None:
    """The split that a name holds as a whole word: `instances_val2017`, `dev-clean`, but not `latest`."""
    return next((SPLITS[word] for word in _words(name) if word in SPLITS), None)


def without_split(name: str) -> tuple[str, ...]:
    """The words of a name but for those of splits."""
    return tuple(word for word in _words(name) if word not in SPLITS)
