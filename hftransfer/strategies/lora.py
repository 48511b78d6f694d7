"""Low-rank adapters beside the Linear layers of the repeated blocks (Hu et al. 2021, https://arxiv.org/abs/2106.09685)."""

from typing import Any, ClassVar

from pydantic import Field

from hftransfer.errors import ModelError
from hftransfer.layers import block_linears, head_names
from hftransfer.plugins import nearest
from hftransfer.strategies import Strategy


class Lora(Strategy):
    """Train small matrices beside frozen ones; they are merged into the model that ships."""

    training: ClassVar[dict[str, Any]] = {"learning_rate": 3.0e-3, "num_train_epochs": 8}

    r: int = Field(default=8, ge=1)
    """Rank of the update."""
    lora_alpha: int = Field(default=16, ge=1)
    """The update is scaled by lora_alpha / r, or lora_alpha / sqrt(r) with `use_rslora`."""
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on the adapters' input."""
    use_dora: bool = False
    """Weight-decomposed LoRA (https://arxiv.org/abs/2402.09353)."""
    use_rslora: bool = False
    """Rank-stabilized scaling (https://arxiv.org/abs/2312.03732)."""
    target_modules: list[str] | None = None
    """Names, or ends of names, of the modules to adapt; left out, every Linear of the repeated blocks."""

    def prepare(self, model: Any) -> Any:
        """The model wrapped by PEFT, its head trained in full.

        Raises:
            ModelError: no Linear layer stands in a repeated block.
        """
        from peft import LoraConfig, get_peft_model

        targets = self.target_modules or block_linears(model)
        if not targets:
            raise ModelError(f"lora finds no Linear layer in the repeated blocks of {type(model).__name__}")
        for target in self.target_modules or []:
            linears = {name.rpartition(".")[2] for name in block_linears(model)}
            if not any(name == target or name.endswith(f".{target}") for name, _ in model.named_modules()):
                raise ModelError(f"strategy.target_modules: there is no module '{target}'; {nearest(target, linears)}")
        fields = self.model_dump(exclude={"target_modules"})
        adapted = get_peft_model(model, LoraConfig(**fields, target_modules=targets, modules_to_save=head_names(model)))
        # PEFT would look the base up at every checkpoint, and save embeddings where it finds another vocabulary there.
        adapted.peft_config["default"].base_model_name_or_path = ""
        return adapted

    def adapter(self, model: Any) -> Any:
        return model

    def merge(self, model: Any) -> Any:
        """The plain model with the update added to its weights."""
        return model.merge_and_unload()
