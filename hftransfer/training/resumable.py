"""The Hugging Face Trainer, resumed to the same losses and stopped by SIGTERM at any step, evaluations included."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import gather_object
from transformers import Trainer

from hftransfer.core.termination import Terminated, has_sigterm
from hftransfer.training.checkpoints import PROGRESS
from hftransfer.training.compat import end_step, last_logged_step, load_random_state, save_checkpoint, set_last_logged

if TYPE_CHECKING:
    from torch import Tensor


class ResumableTrainer(Trainer):
    """Trainer that also saves the sum of the losses since its last log, and whether a step is still to be evaluated."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As Trainer."""
        super().__init__(*args, **kwargs)
        self._unlogged: Tensor = torch.zeros((), device=self.args.device)
        self._restored: Tensor | None = None
        self._evaluating = False
        self._checkpoint: str | None = None

    def train(self, resume_from_checkpoint: str | None = None, **kwargs: Any) -> Any:
        """As Trainer's."""
        self._checkpoint = resume_from_checkpoint
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """As Trainer's; the first loss after a checkpoint is returned with those that were not logged before it."""
        loss = super().training_step(*args, **kwargs)
        self._unlogged = self._unlogged + loss.detach()
        if self._restored is not None:
            loss, self._restored = loss + self._restored, None
        return loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """As Trainer's."""
        if "loss" in logs:
            self._unlogged = torch.zeros_like(self._unlogged)
        super().log(logs, *args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """As Trainer's; SIGTERM stops it, and a resumed training does it again with the same random numbers."""
        before = random_states()
        self._evaluating = True
        try:
            metrics: dict[str, float] = super().evaluate(*args, **kwargs)
        except Terminated:
            set_random_states(*before)
            save_checkpoint(self)
            raise
        self._evaluating = False
        return metrics

    def progress(self) -> dict[str, Any]:
        """What a checkpoint needs besides Trainer's files; called by all processes."""
        return {
            "losses": gather_object([self._unlogged.item()]),
            "last_logged": last_logged_step(self),
            "evaluate": self._evaluating,
        }

    def restore_progress(self) -> None:
        """Take over what `progress` gave, when Trainer has read the rest of the checkpoint."""
        if self._checkpoint is None:
            return
        progress = json.loads((Path(self._checkpoint) / PROGRESS).read_text(encoding="utf-8"))
        self._unlogged = self._unlogged + progress["losses"][self.args.process_index]
        self._restored = self._unlogged
        set_last_logged(self, progress["last_logged"])
        if self.state.best_global_step:
            # The state has its path as another process has seen it.
            self.state.best_model_checkpoint = f"{self.args.output_dir}/checkpoint-{self.state.best_global_step}"
        if progress["evaluate"]:
            load_random_state(self, self._checkpoint)
            end_step(self)

    def save_if_terminated(self) -> None:
        """Save the last step where SIGTERM came after its checkpoint would have been written."""
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        if has_sigterm() and self.args.world_size == 1 and not folder.exists():
            # The summary of the training, which the resumed one logs.
            self.state.log_history.pop()
            save_checkpoint(self)


def random_states() -> tuple[Any, Any, Tensor, list[Tensor]]:
    """The states of all generators of random numbers: Python's, NumPy's, those of torch."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda


def set_random_states(python: Any, numpy: Any, cpu: Tensor, cuda: list[Tensor]) -> None:
    """Set the states of all generators of random numbers."""
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(cpu)
    if cuda:
        torch.cuda.set_rng_state_all(cuda)
