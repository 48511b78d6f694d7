"""The checkpoints of a training: which is the newest that is whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from hftransfer.core import ranks
from hftransfer.core.files import damaged_file

COMPLETE = "complete"
"""The file that marks a checkpoint as written to its end, with the hashes of its files."""
PROGRESS = "progress.json"
"""The file of a checkpoint with what Trainer does not save of its log."""


def last_checkpoint(folder: Path, name: str) -> str | None:
    """The newest checkpoint of a training that is whole; None where there is none, and the training starts again.

    All lead to the same model, so that a damaged one can be deleted.
    """
    for mark in sorted(folder.glob(f"checkpoint-*/{COMPLETE}"), key=lambda mark: -_step(mark.parent)):
        damaged = _damage(mark.parent)
        if damaged is None:
            return str(mark.parent)
        ranks.warn(
            f"{mark.parent.name} of the training '{name}' is damaged ({damaged}) and deleted; the training continues "
            "from an earlier one, or from its start"
        )
        shutil.rmtree(mark.parent)
    return None


def is_last_step(checkpoint: str) -> bool:
    """Whether a checkpoint is that of the last step."""
    state = _state(Path(checkpoint))
    return bool(state["global_step"] >= state["max_steps"])


def _damage(checkpoint: Path) -> str | None:
    """What is damaged of a checkpoint, or of the best one so far, which its training ends with."""
    damaged = damaged_file(checkpoint, checkpoint / COMPLETE)
    if damaged is not None:
        return damaged
    best = _state(checkpoint).get("best_global_step")
    if not best or best == _step(checkpoint):
        return None
    folder = checkpoint.with_name(f"checkpoint-{best}")
    whole = (folder / COMPLETE).is_file() and damaged_file(folder, folder / COMPLETE) is None
    return None if whole else f"the best one, {folder.name}"


def _state(checkpoint: Path) -> dict[str, Any]:
    return dict(json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8")))


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
