"""The contract of a strategy: how a checkpoint is adapted. Each file of this folder is one strategy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from hftransfer.core.errors import RecipeError
from hftransfer.core.plugins import Plugin
from hftransfer.core.results import HeadInput
from hftransfer.data.encode import EncodedSplits, encode
from hftransfer.models.checkpoint import ResolvedCheckpoint
from hftransfer.models.frozen_features import Features
from hftransfer.models.layers import logits_layer, unfreeze_norm_statistics
from hftransfer.tasks import Outputs, Task

if TYPE_CHECKING:
    from datasets import Dataset
    from peft import PeftModel
    from torch import nn
    from transformers import PreTrainedModel, TrainerCallback

TrainingFields = dict[str, Any]
"""Fields of TrainingArguments, by name."""


@dataclass(frozen=True)
class TrainingContext:
    """What a training may read besides its model."""

    task: Task
    """With labels and processor."""
    rows: dict[str, Dataset]
    """Split -> its rows before they are encoded; `unlabelled` holds those without labels, where there are any."""
    encoded: EncodedSplits
    """The splits with labels, encoded."""
    folder: Path
    """Where a strategy may cache what it computes from the rows, for as long as the run lasts."""
    predict: Callable[[Task, PreTrainedModel, EncodedSplits, str], Outputs]
    """Outputs of any model for the split of the last argument."""
    features: Callable[[nn.Module], Features]
    """Frozen features of the training rows by the model that is trained, before its training; computed once."""
    pooling: str | None
    """The pooling that the checkpoint names as its own, where the model is that checkpoint."""
    seed: int


@dataclass(frozen=True)
class Fitted:
    """What `Strategy.fit` has done."""

    log: list[dict[str, float]]
    """As the Trainer's: one entry a logging."""
    note: str
    """What a reader of the model card has to know of it, in a sentence."""
    head_input: HeadInput | None = None
    """What the layer that makes the logits reads, where the fit has chosen it."""


@dataclass(frozen=True)
class ScriptContext:
    """What a script of a finished run is made of."""

    task: Task
    """With labels and processor."""
    model: PreTrainedModel
    """As it was before the training, not yet prepared."""
    rows: Dataset
    """The training rows, not encoded."""
    head_input: HeadInput | None
    """What `Strategy.fit` has chosen."""


@dataclass(frozen=True, eq=False)
class AuxiliaryTask:
    """Another task that is trained on the same encoder, out of a checked recipe."""

    task: Task
    """With labels and processor."""
    checkpoint: ResolvedCheckpoint
    rows: dict[str, Dataset]
    """Split -> its rows before they are encoded, all with labels."""

    def encode(self, folder: Path) -> EncodedSplits:
        """The rows as the task's model takes them, cached in `folder`."""
        return encode(self.task, self.rows, folder)


class Strategy(Plugin):
    """Base of the strategies.

    Nothing has to be implemented: the base trains all weights of the model on the encoded rows. Declare `training`, and
    override a hook only where a strategy differs. The hooks are called in this order:

    - before any weights are read: `auxiliary_recipes`, `with_auxiliary` and `steps`, then `check` of the strategy and
      `prepare` of every step, on a model without memory for its weights (torch's meta device);
    - in each training, one for every step: `after_checkpoint` (from the second on), `prepare`, `fit`, and unless that
      has trained the model `training_rows`, `callbacks`, `learning_rate_factors` and the Trainer's loop; then `merge`;
    - after the last one, before its `merge`: `auxiliary_models` and `adapter`.

    A strategy is frozen: what changes during a training belongs to the model, to a callback or to `context.folder`.
    """

    training: ClassVar[TrainingFields] = {}
    """TrainingArguments that suit the strategy; those of a recipe's `training:` replace them."""
    uses_unlabelled: ClassVar[bool] = False
    """Whether the strategy trains on the rows of `data.unlabelled`."""
    makes_adapter: ClassVar[bool] = False
    """Whether `adapter` gives the trained model without its checkpoint."""
    replaces_loss: ClassVar[bool] = False
    """Whether the strategy trains with another loss than the model's."""

    def auxiliary_recipes(self) -> dict[str, str]:
        """Name -> the recipe file of another task that is trained on the same encoder."""
        return {}

    def with_auxiliary(self, tasks: Mapping[str, AuxiliaryTask]) -> Self:
        """The strategy with the tasks of its auxiliary recipes, by the same names."""
        return self

    def steps(self) -> list[tuple[Strategy, TrainingFields]]:
        """The trainings in their order, each with TrainingArguments that replace those of the recipe."""
        return [(self, {})]

    def check(self, task: Task, model: PreTrainedModel) -> None:
        """Refuse a task or a model that the strategy cannot adapt. Called once, on a model without weights.

        Raises:
            RecipeError, ModelError: it is such a one.
        """

    def prepare(self, model: PreTrainedModel) -> nn.Module:
        """The model to train, with `requires_grad` of its parameters set; it may be wrapped, or changed in place.

        Called on a model without weights as well, so that its parameters can be counted.
        """
        return model

    def uses_trainer(self, task: Task) -> bool:
        """Whether a model of the task is trained by the Trainer, with the arguments in `training` of the recipe."""
        return True

    def fit(self, model: PreTrainedModel, context: TrainingContext) -> Fitted | None:
        """Train the prepared model in place by another algorithm than the Trainer's; None where the Trainer does."""
        return None

    def training_rows(self, model: nn.Module, context: TrainingContext) -> EncodedSplits:
        """The rows to train and to validate on.

        Called once a training, on the prepared model. What is the same in every epoch is computed here.
        """
        return context.encoded

    def callbacks(self, model: nn.Module) -> list[TrainerCallback]:
        """The strategy's own TrainerCallbacks for the prepared model."""
        return []

    def learning_rate_factors(self, model: nn.Module) -> dict[str, float]:
        """Parameter name -> factor of the learning rate; parameters that are left out have factor 1."""
        return {}

    def script_values(self, context: ScriptContext) -> dict[str, Any]:
        """What the template `train_NAME.py.jinja` of `reporting/` needs to train without this package (`eject`).

        Of a strategy without such a template it is not called. A checkpoint among the values is copied to the script,
        unless it is on the Hub.

        Raises:
            RecipeError: a field of the strategy asks for what the script does not do.
        """
        return {}

    def after_checkpoint(self, checkpoint: str) -> Strategy:
        """The strategy as a later step of a training; `checkpoint` is the folder of the model of the previous step."""
        return self

    def auxiliary_models(self, model: nn.Module) -> dict[str, PreTrainedModel]:
        """Name -> the trained model of an auxiliary task, complete with its encoder."""
        return {}

    def adapter(self, model: nn.Module) -> PeftModel | None:
        """The trained model as an adapter that `save_pretrained` writes without its checkpoint; None for no adapter."""
        return None

    def merge(self, model: nn.Module) -> PreTrainedModel:
        """The model of Transformers that is saved, out of the trained one; BatchNorms that `prepare` froze move again.

        Baselines are scored without it, on the rows that `training_rows` gave.
        """
        unfreeze_norm_statistics(model)
        return model


def remove_hooks(model: nn.Module) -> nn.Module:
    """The model without the hooks that a strategy has listed in `model.hooks`."""
    for hook in model.hooks:
        hook.remove()
    del model.hooks
    return model


def check_single_label(strategy: Strategy, task: Task, model: PreTrainedModel) -> None:
    """Refuse rows that have not exactly one class each.

    Raises:
        RecipeError: these have not.
        ModelError: the model has no layer that computes the logits of the classes.
    """
    if not task.single_label:
        raise RecipeError(f"strategy {strategy.name} needs one class a row, and these rows of '{task.name}' have none")
    logits_layer(model)
