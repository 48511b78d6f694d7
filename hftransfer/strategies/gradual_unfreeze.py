"""The head is trained first, then one more block in each epoch, from the last to the first.

ULMFiT, Howard and Ruder 2018, https://arxiv.org/abs/1801.06146, section 3.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from hftransfer.models.layers import depths, freeze_norm_statistics
from hftransfer.strategies import Strategy, TrainingFields

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class GradualUnfreeze(Strategy):
    """Train all weights in the end; a frozen block costs neither a gradient nor an optimizer step."""

    training: ClassVar[TrainingFields] = {"learning_rate": 3.0e-4, "num_train_epochs": 12}

    every: float = Field(default=1.0, gt=0, le=1e6)
    """Epochs after which the next block is unfrozen; fewer where the training is too short for all blocks."""

    def prepare(self, model: PreTrainedModel) -> nn.Module:
        # A block that is not trained yet has to stay as it is.
        freeze_norm_statistics(model, every=True)
        return model

    def callbacks(self, model: nn.Module) -> list[TrainerCallback]:
        from transformers import TrainerCallback

        depth, every = depths(model), self.every
        last = max(depth.values())

        class Unfreeze(TrainerCallback):
            """Which parameters are trained follows from the epoch alone, so that a resumed training continues alike."""

            def on_step_begin(
                self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any
            ) -> None:
                # With `max_steps` a training may end within an epoch, and its number of epochs is known from the
                # epoch that has been reached alone.
                epochs = state.max_steps * state.epoch / state.global_step if state.global_step else float("inf")
                pace = min(every, epochs / (last + 1))
                unfrozen = int((state.epoch or 0) / pace + 1e-6)
                for name, parameter in model.named_parameters():
                    parameter.requires_grad_(depth[name] >= last - unfrozen)

            def on_train_end(
                self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any
            ) -> None:
                model.requires_grad_(True)

        return [Unfreeze()]
