"""Any PEFT method whose adapter can be merged, by PEFT's own name and fields: https://huggingface.co/docs/peft.

Unless its config names them, the modules to adapt are found in the model: the Linear layers of the repeated blocks, or
their norms for `ln_tuning`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from hftransfer.core.errors import ModelError, RecipeError
from hftransfer.core.plugins import nearest
from hftransfer.models.layers import block_linears, blocks
from hftransfer.strategies import TrainingFields
from hftransfer.strategies._adapter import PeftFields, _AdapterStrategy
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel
    from torch import nn
    from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
    from transformers.utils import ModelOutput

# Fields that follow from the model or from the training.
_FIXED_FIELDS = {"peft_type", "task_type", "inference_mode", "total_step", "base_model_name_or_path"}
# These have `merge_and_unload` and refuse to merge, or need what no recipe has: several tasks, adapters or tokens.
_NOT_MERGEABLE = {"lily", "poly", "shadow", "trainable_tokens", "xlora"}
# These choose what to add by the values of the weights.
_READ_WEIGHTS = {"adamss", "frod", "shira"}
# The running means of PEFT's RankAllocator.
_IMPORTANCE = ("exp_avg_ipt", "exp_avg_unc")


class Peft(_AdapterStrategy):
    """Train an adapter of a frozen checkpoint by any method, and the head; it is merged into the saved model."""

    training: ClassVar[TrainingFields] = {"learning_rate": 3.0e-3, "num_train_epochs": 8}

    method: str = "lora"
    """As PEFT writes it: lora, ia3, adalora, vera, boft, oft, loha, lokr, ln_tuning, fourierft, ..."""
    config: PeftFields = Field(default={})
    """Fields of the method's own config; what `modules_to_save` names trains in full, as the head does."""

    def check(self, task: Task, model: PreTrainedModel) -> None:
        methods = {str(peft_type.value).lower() for peft_type in _config_classes()}
        if self.method in methods - mergeable():
            raise RecipeError(
                f"strategy.method: an adapter of '{self.method}' cannot be merged into its model; "
                f"{nearest(self.method, mergeable())}"
            )
        if self.method not in methods:
            raise RecipeError(f"strategy.method: PEFT has no '{self.method}'; {nearest(self.method, mergeable())}")
        allowed = _field_names(_config_class(self.method)) - _FIXED_FIELDS
        for key in self.config:
            if key not in allowed:
                raise RecipeError(f"strategy.config: '{self.method}' has no field '{key}'; {nearest(key, allowed)}")
        super().check(task, model)

    def prepare(self, model: PreTrainedModel) -> nn.Module:
        """The model wrapped by PEFT, its head trained in full.

        Raises:
            ModelError: the method finds nothing to adapt in the model, or refuses its layers.
        """
        config_class = _config_class(self.method)
        known = _field_names(config_class)
        fields = self._targets(model, known) | self.config
        if next(model.parameters()).is_meta:
            # There are no weights from which an adapter could be initialized, as PiSSA does; it is only counted.
            fields = {key: value for key, value in fields.items() if not key.startswith("init_")}
        if "total_step" in known:
            # Of AdaLoRA's schedule: the number of steps is known when the training begins.
            fields |= {"total_step": 10**6}
        try:
            adapted = self.attach(model, config_class, fields)
        except ModelError:
            if self.method not in _READ_WEIGHTS or not next(model.parameters()).is_meta:
                raise
            # Random weights serve to count parameters.
            adapted = self.attach(type(model)(model.config), config_class, fields)
        if self.method == "adalora":
            adapted.register_forward_hook(_add_orthogonality_penalty)
        return adapted

    def _targets(self, model: PreTrainedModel, known: set[str]) -> PeftFields:
        """The fields that name the modules to adapt, unless the config does or the method has none."""
        if "target_modules" not in known or "target_modules" in self.config:
            return {}
        targets = _norms(model) if self.method == "ln_tuning" else block_linears(model)
        if not targets:
            raise ModelError(f"{self.method} finds nothing to adapt in the repeated blocks of {type(model).__name__}")
        return {"target_modules": targets} | ({"feedforward_modules": []} if "feedforward_modules" in known else {})

    def callbacks(self, model: nn.Module) -> list[TrainerCallback]:
        if self.method == "adalora":
            return [_adalora_callback(model)]
        return [_update_callback(model)] if hasattr(model.base_model, "update_and_allocate") else []


def _remaining_ranks(adapted: PeftModel) -> dict[str, list[bool]]:
    """Which ranks of each layer AdaLoRA has left; the others are zeros."""
    parameters = adapted.base_model.model.named_parameters()
    return {name: (weights != 0).flatten().tolist() for name, weights in parameters if ".lora_E." in name}


def _adalora_callback(model: PeftModel) -> TrainerCallback:
    """A callback by which AdaLoRA allocates its ranks after each step, by the gradients of the step."""
    from safetensors.torch import load_file, save_file
    from transformers import TrainerCallback

    allocator = model.base_model.rankallocator

    def importance_file(args: TrainingArguments, state: TrainerState) -> Path:
        """The file of a checkpoint for the running means of each weight's importance."""
        return Path(args.output_dir) / f"checkpoint-{state.global_step}" / "importance.safetensors"

    class Allocate(TrainerCallback):
        """Puts the ranks into the config while they are allocated, and takes them out before a checkpoint is saved.

        PEFT would reduce the saved matrices to these ranks, and a resumed training, whose matrices have all ranks,
        could not load them.
        """

        ranks: dict[str, list[bool]] | None = None

        def on_train_begin(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any
        ) -> None:
            config = model.peft_config["default"]
            config.total_step = state.max_steps
            config.tinit = min(config.tinit or state.max_steps // 10, state.max_steps // 3)
            config.tfinal = min(config.tfinal or state.max_steps // 3, state.max_steps // 3)
            allocator.set_total_step(state.max_steps)
            self.ranks = _remaining_ranks(model)
            if (file := importance_file(args, state)).is_file():
                for name, tensor in load_file(file, device=str(model.device)).items():
                    mean, _, weight = name.partition(":")
                    getattr(allocator, mean)[weight] = tensor

        def on_optimizer_step(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any
        ) -> None:
            config = model.peft_config["default"]
            config.rank_pattern = self.ranks
            model.base_model.update_and_allocate(state.global_step)
            self.ranks, config.rank_pattern = config.rank_pattern, None

        def on_save(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any
        ) -> None:
            if state.is_world_process_zero:
                by_mean = {mean: getattr(allocator, mean) for mean in _IMPORTANCE}
                flat = {f"{mean}:{name}": it for mean, tensors in by_mean.items() for name, it in tensors.items()}
                save_file(flat, importance_file(args, state))

    return Allocate()


def _update_callback(model: PeftModel) -> TrainerCallback:
    """A callback for AdaMSS, which reallocates its subspaces if `use_asa` is set."""
    from transformers import TrainerCallback

    class Update(TrainerCallback):
        """Tells the method the number of the step; it needs nothing else."""

        def on_optimizer_step(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kwargs: Any
        ) -> None:
            model.base_model.update_and_allocate(state.global_step)

    return Update()


def _add_orthogonality_penalty(adapted: PeftModel, _args: tuple[()], output: ModelOutput) -> ModelOutput:
    """A forward hook that keeps AdaLoRA's matrices orthogonal.

    Zhang et al. 2023, https://arxiv.org/abs/2303.10512, equation 4. PEFT itself adds the penalty only to models whose
    `task_type` is set.
    """
    import torch

    if not adapted.training or getattr(output, "loss", None) is None:
        return output
    matrices = [(name, matrix) for name, matrix in adapted.named_parameters() if "lora_A" in name or "lora_B" in name]
    products = [matrix @ matrix.T if "lora_A" in name else matrix.T @ matrix for name, matrix in matrices]
    distances = [torch.linalg.norm(product - torch.eye(len(product), device=product.device)) for product in products]
    weight = adapted.peft_config["default"].orth_reg_weight
    output.loss = output.loss + weight * sum(distances) / len(distances)
    return output


def mergeable() -> set[str]:
    """The methods whose adapter can be merged into the weights of its model."""
    from peft import PEFT_TYPE_TO_TUNER_MAPPING

    tuners = PEFT_TYPE_TO_TUNER_MAPPING.items()
    merging = {peft_type for peft_type, tuner in tuners if callable(getattr(tuner, "merge_and_unload", None))}
    return {str(peft_type.value).lower() for peft_type in merging} - _NOT_MERGEABLE


def _config_classes() -> dict[Any, type[PeftConfig]]:
    """PeftType -> the config class of the method."""
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    return dict(PEFT_TYPE_TO_CONFIG_MAPPING)


def _config_class(method: str) -> type[PeftConfig]:
    return next(cls for peft_type, cls in _config_classes().items() if str(peft_type.value).lower() == method)


def _field_names(config_class: type[PeftConfig]) -> set[str]:
    return {field.name for field in dataclasses.fields(config_class)}


def _norms(model: PreTrainedModel) -> list[str]:
    """The norm layers of the repeated blocks."""
    inside = tuple(f"{block}." for block in blocks(model))
    return [
        name
        for name, module in model.named_modules()
        if name.startswith(inside) and "Norm" in type(module).__name__ and any(True for _ in module.parameters(False))
    ]
