"""The checkpoints of a training: which is the newest that is whole."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from hftransfer.core.checksums import damaged_file

COMPLETE = "complete"
"""The file that marks a checkpoint as written to its end, with the hashes of its files."""
PROGRESS = "progress.json"
"""The file of a checkpoint with what Trainer does not save of its log."""


def last_checkpoint(folder: Path, name: str) -> str | None:
    """The newest checkpoint of a training that is whole; None where there is none, and the training starts again.

    All lead to the same model, so that a damaged one can be deleted.
    """
    for mark in sorted(folder.glob(f"checkpoint-*/{COMPLETE}"), key=lambda mark: -_step(mark.parent)):
        damaged = damaged_file(mark.parent, mark)
        if damaged is None:
            return str(mark.parent)
        print(
            f"hftransfer: warning: {mark.parent.name} of the training '{name}' is damaged ({damaged}) and deleted; the "
            "training continues from an earlier one, or from its start",
            file=sys.stderr,
        )
        shutil.rmtree(mark.parent)
    return None


def is_last_step(checkpoint: str) -> bool:
    """Whether a checkpoint is that of the last step."""
    state = json.loads((Path(checkpoint) / "trainer_state.json").read_text(encoding="utf-8"))
    return bool(state["global_step"] >= state["max_steps"])


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
