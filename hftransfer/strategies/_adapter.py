"""What the strategies share that train adapters of a frozen checkpoint through PEFT: https://huggingface.co/docs/peft."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from hftransfer.core.errors import ModelError, RecipeError
from hftransfer.core.plugins import nearest
from hftransfer.models.layers import encoder, head_names
from hftransfer.strategies import Strategy

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel
    from torch import nn
    from transformers import PreTrainedModel

    from hftransfer.tasks import Task

PeftFields = dict[str, Any]
"""Fields of a PeftConfig, by name."""


class _AdapterStrategy(Strategy):
    """Train an adapter of a frozen checkpoint, and the head; the adapter is merged into the saved model."""

    makes_adapter = True

    def check(self, task: Task, model: PreTrainedModel) -> None:
        """Refuse a loss with weights: checkpoints of an adapter hold the adapter, so that it could not be resumed."""
        if task.loss_has_weights:
            raise RecipeError(
                f"strategy: {self.name} keeps the adapter alone, and the loss of this recipe has weights of its own; "
                "use another strategy (full, last_layers), or task.objective: triplet"
            )

    def attach(self, model: PreTrainedModel, config_class: type[PeftConfig], fields: PeftFields) -> PeftModel:
        """The model wrapped by PEFT; its head, and what `modules_to_save` of the fields names, train in full.

        Raises:
            ModelError: a named module is not there, or the method refuses the model's layers.
        """
        from peft import get_peft_model

        saved = fields.get("modules_to_save") or []
        saved = [saved] if isinstance(saved, str) else saved
        check_modules(model, "modules_to_save", saved)
        config = {**fields, "modules_to_save": [*head_layers(model), *saved] or None}
        try:
            with warnings.catch_warnings():
                # PEFT reads it under the name that Transformers 5.24 gives up.
                warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")
                # Only counted: no memory for an adapter of a model that has none itself.
                on_meta = next(model.parameters()).is_meta
                adapted = get_peft_model(model, config_class(**config), low_cpu_mem_usage=on_meta)
        except (TypeError, ValueError, AssertionError, AttributeError, RuntimeError) as error:
            raise self._refusal(model, error) from None
        # PEFT would look up the base model at every checkpoint, and save embeddings where its vocabulary has another
        # size there.
        adapted.peft_config["default"].base_model_name_or_path = ""
        return adapted

    def adapter(self, model: nn.Module) -> PeftModel | None:
        return model

    def merge(self, model: nn.Module) -> PreTrainedModel:
        """The model of Transformers, the adapter added to its weights.

        Raises:
            ModelError: the method cannot be merged into such layers.
        """
        try:
            return model.merge_and_unload()
        except (ValueError, NotImplementedError) as error:
            raise self._refusal(model.get_base_model(), error) from None

    def _refusal(self, model: PreTrainedModel, error: Exception) -> ModelError:
        method = getattr(self, "method", self.name)
        reason = " ".join(str(error).split())[:300]
        return ModelError(f"{method} cannot adapt a {type(model).__name__}: {reason}")


def check_modules(model: PreTrainedModel, key: str, names: list[str]) -> None:
    """Refuse names, or ends of names, that no module with weights has; `key` is the field that holds them.

    Raises:
        ModelError: one of them.
    """
    with_weights = {name for name, module in model.named_modules() if any(True for _ in module.parameters())}
    for end in names:
        if not any(f".{name}".endswith(f".{end}") for name in with_weights):
            allowed = {name.rpartition(".")[2] for name in with_weights} - {""}
            raise ModelError(f"strategy.{key}: there is no module '{end}'; {nearest(end, allowed)}")


def head_layers(model: PreTrainedModel) -> list[str]:
    """Full names of the layers of the head.

    PEFT wraps modules that have weights of their own, and a head may be a container of layers. A layer that shares the
    embeddings of the base model is left to it.
    """
    shared = {id(parameter) for parameter in encoder(model).parameters()}
    return [
        name
        for head in head_names(model)
        for name, module in model.named_modules()
        if f"{name}.".startswith(f"{head}.")
        and not any(True for _ in module.children())
        and any(True for _ in module.parameters())
        and not any(id(parameter) in shared for parameter in module.parameters())
    ]
