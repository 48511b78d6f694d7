"""Any method of PEFT that can be merged, by PEFT's own name and fields: https://huggingface.co/docs/peft.

What it is attached to is found by looking: the Linear layers of the repeated blocks, or the norms for `ln_tuning`.
"""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from hftransfer.core.errors import ModelError, RecipeError
from hftransfer.core.plugins import nearest
from hftransfer.models.layers import block_linears, blocks
from hftransfer.strategies._adapted import _Adapted
from hftransfer.tasks import Task

# Fields that follow from the model or from the training.
_OURS = {"peft_type", "task_type", "inference_mode", "total_step", "base_model_name_or_path"}
# They have the method and refuse it, or need what no recipe tells (several tasks, adapters, tokens).
_UNMERGED = {"lily", "poly", "shadow", "trainable_tokens", "xlora"}
# They look at the weights to know what to add.
_LOOKING = {"adamss", "frod", "shira"}
# The running means of PEFT's RankAllocator.
_IMPORTANCE = ("exp_avg_ipt", "exp_avg_unc")


class Peft(_Adapted):
    """Train what the method adds to a frozen checkpoint, and the head; merged into the model that ships."""

    training: ClassVar[dict[str, Any]] = {"learning_rate": 3.0e-3, "num_train_epochs": 8}

    method: str = "lora"
    """As PEFT writes it: lora, ia3, adalora, vera, boft, oft, loha, lokr, ln_tuning, fourierft, ..."""
    config: dict[str, Any] = Field(default={})
    """Fields of the method's own config; what `modules_to_save` names trains in full, as the head does."""

    def check(self, task: Task, model: Any) -> None:
        known = {str(kind.value).lower() for kind in _configs()}
        if self.method in known - mergeable():
            raise RecipeError(
                f"strategy.method: what '{self.method}' adds cannot be merged into a plain model; "
                f"{nearest(self.method, mergeable())}"
            )
        if self.method not in known:
            raise RecipeError(f"strategy.method: PEFT has no '{self.method}'; {nearest(self.method, mergeable())}")
        own = {field.name for field in dataclasses.fields(_config_class(self.method))} - _OURS
        for key in self.config:
            if key not in own:
                raise RecipeError(f"strategy.config: '{self.method}' has no field '{key}'; {nearest(key, own)}")

    def prepare(self, model: Any) -> Any:
        """The model wrapped by PEFT, its head trained in full.

        Raises:
            ModelError: the method finds nothing in the model, or refuses its layers.
        """
        kind = _config_class(self.method)
        own = {field.name for field in dataclasses.fields(kind)}
        fields = self._targets(model, own) | self.config
        if next(model.parameters()).is_meta:
            # Without weights, to be counted alone: nothing to start from those, as PiSSA does.
            fields = {key: value for key, value in fields.items() if not key.startswith("init_")}
        if "total_step" in own:
            # AdaLoRA's schedule; the number of steps is known when the training begins.
            fields |= {"total_step": 10**6}
        try:
            adapted = self.attach(model, kind, fields)
        except ModelError:
            if self.method not in _LOOKING or not next(model.parameters()).is_meta:
                raise
            # To be counted, any weights do.
            adapted = self.attach(type(model)(model.config), kind, fields)
        if self.method == "adalora":
            adapted.register_forward_hook(_penalized)
        return adapted

    def _targets(self, model: Any, own: set[str]) -> dict[str, Any]:
        if "target_modules" not in own or "target_modules" in self.config:
            return {}
        found = _norms(model) if self.method == "ln_tuning" else block_linears(model)
        if not found:
            raise ModelError(f"{self.method} finds nothing to adapt in the repeated blocks of {type(model).__name__}")
        return {"target_modules": found} | ({"feedforward_modules": []} if "feedforward_modules" in own else {})

    def callbacks(self, model: Any) -> list[Any]:
        if self.method == "adalora":
            return [_allocating(model)]
        return [_updating(model)] if hasattr(model.base_model, "update_and_allocate") else []


def _ranks(adapted: Any) -> dict[str, list[bool]]:
    """Which ranks of each layer AdaLoRA has left: it masks the others with zeros."""
    parameters = adapted.base_model.model.named_parameters()
    return {name: (it != 0).flatten().tolist() for name, it in parameters if ".lora_E." in name}


def _allocating(model: Any) -> Any:
    """A callback by which AdaLoRA spreads its ranks anew after each step, by the gradients of it."""
    from safetensors.torch import load_file, save_file
    from transformers import TrainerCallback

    allocator = model.base_model.rankallocator

    def file(args: Any, state: Any) -> Path:
        """Where a checkpoint holds what was found of the importance of each weight."""
        return Path(args.output_dir) / f"checkpoint-{state.global_step}" / "importance.safetensors"

    class Allocate(TrainerCallback):
        """The config knows of the ranks while they are spread, and not when a checkpoint is saved.

        PEFT would cut its matrices down to them, which a training that goes on, its matrices whole, cannot read.
        """

        ranks: dict[str, list[bool]] | None = None

        def on_train_begin(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
            config = model.peft_config["default"]
            config.total_step = state.max_steps
            config.tinit = min(config.tinit or state.max_steps // 10, state.max_steps // 3)
            config.tfinal = min(config.tfinal or state.max_steps // 3, state.max_steps // 3)
            allocator.set_total_step(state.max_steps)
            self.ranks = _ranks(model)
            if (before := file(args, state)).is_file():
                for name, tensor in load_file(before, device=str(model.device)).items():
                    kind, _, weight = name.partition(":")
                    getattr(allocator, kind)[weight] = tensor

        def on_optimizer_step(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
            config = model.peft_config["default"]
            config.rank_pattern = self.ranks
            model.base_model.update_and_allocate(state.global_step)
            self.ranks, config.rank_pattern = config.rank_pattern, None

        def on_save(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
            if state.is_world_process_zero:
                means = {kind: getattr(allocator, kind) for kind in _IMPORTANCE}
                named = {f"{kind}:{name}": it for kind, of in means.items() for name, it in of.items()}
                save_file(named, file(args, state))

    return Allocate()


def _updating(model: Any) -> Any:
    """A callback for AdaMSS, which spreads its subspaces where its `use_asa` is set."""
    from transformers import TrainerCallback

    class Update(TrainerCallback):
        """It needs no more than the step."""

        def on_optimizer_step(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
            model.base_model.update_and_allocate(state.global_step)

    return Update()


def _penalized(adapted: Any, _args: Any, output: Any) -> Any:
    """AdaLoRA keeps its matrices orthogonal (Zhang et al. 2023, https://arxiv.org/abs/2303.10512, equation 4).

    PEFT itself adds the penalty only to models that it is told the task of.
    """
    import torch

    if not adapted.training or getattr(output, "loss", None) is None:
        return output
    found = [(name, it) for name, it in adapted.named_parameters() if "lora_A" in name or "lora_B" in name]
    squares = [it @ it.T if "lora_A" in name else it.T @ it for name, it in found]
    apart = [torch.linalg.norm(it - torch.eye(len(it), device=it.device)) for it in squares]
    output.loss = output.loss + adapted.peft_config["default"].orth_reg_weight * sum(apart) / len(apart)
    return output


def mergeable() -> set[str]:
    """The methods whose update can be written into the weights of a plain model."""
    from peft import PEFT_TYPE_TO_TUNER_MAPPING

    tuners = PEFT_TYPE_TO_TUNER_MAPPING.items()
    merged = {kind for kind, tuner in tuners if callable(getattr(tuner, "merge_and_unload", None))}
    return {str(kind.value).lower() for kind in merged} - _UNMERGED


def _configs() -> dict[Any, Any]:
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    return dict(PEFT_TYPE_TO_CONFIG_MAPPING)


def _config_class(method: str) -> Any:
    return next(kind for name, kind in _configs().items() if str(name.value).lower() == method)


def _norms(model: Any) -> list[str]:
    """The norm layers within the repeated blocks."""
    inside = tuple(f"{block}." for block in blocks(model))
    return [
        name
        for name, module in model.named_modules()
        if name.startswith(inside) and "Norm" in type(module).__name__ and any(True for _ in module.parameters(False))
    ]
