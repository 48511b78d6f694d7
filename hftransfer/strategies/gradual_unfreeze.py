"""The head first, then a block more in each epoch, from the last to the first.

ULMFiT, Howard and Ruder 2018, https://arxiv.org/abs/1801.06146, section 3.3.
"""

from typing import Any, ClassVar

from pydantic import Field

from hftransfer.models.layers import depths
from hftransfer.strategies import Strategy


class GradualUnfreeze(Strategy):
    """Everything trains in the end; a block that is frozen costs neither gradient nor step."""

    training: ClassVar[dict[str, Any]] = {"learning_rate": 3.0e-4, "num_train_epochs": 12}

    every: float = Field(default=1.0, gt=0)
    """Epochs after which the next block joins; fewer where the training is too short for all blocks."""

    def callbacks(self, model: Any) -> list[Any]:
        from transformers import TrainerCallback

        depth, every = depths(model), self.every
        last = max(depth.values())

        class Unfreeze(TrainerCallback):
            """Which parameters train follows from the epoch alone, so that a resumed training goes on alike."""

            def on_step_begin(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
                # By its steps a training may end within an epoch, the only one that Trainer then tells of.
                epochs = state.max_steps * state.epoch / state.global_step if state.global_step else float("inf")
                pace = min(every, epochs / (last + 1))
                joined = int((state.epoch or 0) / pace + 1e-6)
                for name, parameter in model.named_parameters():
                    parameter.requires_grad_(depth[name] >= last - joined)

            def on_train_end(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
                model.requires_grad_(True)

        return [Unfreeze()]
