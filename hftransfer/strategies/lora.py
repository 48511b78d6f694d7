"""Low-rank adapters of the Linear layers in the repeated blocks (LoRA, Hu et al. 2021, https://arxiv.org/abs/2106.09685)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from hftransfer.core.errors import ModelError
from hftransfer.models.layers import block_linears, module_pattern
from hftransfer.strategies import ScriptContext, TrainingFields
from hftransfer.strategies._adapter import _AdapterStrategy, check_modules, head_layers

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


class Lora(_AdapterStrategy):
    """Train small matrices alongside frozen ones; they are merged into the saved model."""

    training: ClassVar[TrainingFields] = {"learning_rate": 3.0e-3, "num_train_epochs": 8}

    r: int = Field(default=8, ge=1, le=8192)
    """Rank of the update."""
    lora_alpha: int = Field(default=16, ge=1, le=10**6)
    """The update is scaled by lora_alpha / r, or lora_alpha / sqrt(r) with `use_rslora`."""
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the adapters' input."""
    use_dora: bool = False
    """Weight-decomposed LoRA (https://arxiv.org/abs/2402.09353)."""
    use_rslora: bool = False
    """Rank-stabilized scaling (https://arxiv.org/abs/2312.03732)."""
    target_modules: list[str] | None = None
    """Names, or ends of names, of the modules to adapt; left out, every Linear layer of the repeated blocks."""

    def script_values(self, context: ScriptContext) -> dict[str, Any]:
        fields = self.model_dump(exclude_defaults=True) | {"r": self.r, "lora_alpha": self.lora_alpha}
        targets = self.target_modules or module_pattern(context.model, block_linears(context.model))
        saved = head_layers(context.model) or None
        return {"lora_fields": fields | {"target_modules": targets, "modules_to_save": saved}}

    def prepare(self, model: PreTrainedModel) -> nn.Module:
        """The model wrapped by PEFT, its head trained in full.

        Raises:
            ModelError: the repeated blocks have no Linear layer, or a named module is not there.
        """
        from peft import LoraConfig

        targets = self.target_modules or block_linears(model)
        if not targets:
            raise ModelError(f"lora finds no Linear layer in the repeated blocks of {type(model).__name__}")
        check_modules(model, "target_modules", self.target_modules or [])
        return self.attach(model, LoraConfig, self.model_dump() | {"target_modules": targets})
