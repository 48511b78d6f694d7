"""Which numbers a TrainingArguments field may hold, and which of its fields a run does not use.

Trainer takes every number: with a negative weight decay the weights grow, with a smoothing of -1 the loss is another.
"""

from __future__ import annotations

from typing import NamedTuple


class Range(NamedTuple):
    """The numbers from `least` to `most`."""

    least: float
    most: float
    without_least: bool = False
    without_most: bool = False

    def __contains__(self, value: object) -> bool:
        """Whether a number lies in the range; NaN lies in none."""
        if not isinstance(value, int | float):
            return False
        over = value > self.least if self.without_least else value >= self.least
        return over and (value < self.most if self.without_most else value <= self.most)

    def __str__(self) -> str:
        """The range in words."""
        least = f"more than {self.least:,}" if self.without_least else f"at least {self.least:,}"
        return f"{least} and {'less than' if self.without_most else 'at most'} {self.most:,}"


_COUNT = Range(1, 10**9)
_STEPS = Range(0, 10**9, without_least=True)
RANGES = {
    "per_device_train_batch_size": Range(1, 10**6),
    "per_device_eval_batch_size": Range(1, 10**6),
    "gradient_accumulation_steps": Range(1, 10**6),
    "eval_accumulation_steps": Range(1, 10**6),
    "num_train_epochs": Range(0, 10**6, without_least=True),
    "max_steps": _COUNT,
    "learning_rate": Range(0, 1000, without_least=True),
    "warmup_steps": Range(0, 10**9),
    "warmup_ratio": Range(0, 1),
    "weight_decay": Range(0, 100),
    "adam_beta1": Range(0, 1, without_most=True),
    "adam_beta2": Range(0, 1, without_most=True),
    "adam_epsilon": Range(0, 1),
    "max_grad_norm": Range(0, 10**6),
    "label_smoothing_factor": Range(0, 1, without_most=True),
    "neftune_noise_alpha": Range(0, 1000),
    "torch_empty_cache_steps": _COUNT,
    # Below 1 they are a part of all steps.
    "logging_steps": _STEPS,
    "eval_steps": _STEPS,
    "save_steps": _STEPS,
    "eval_delay": Range(0, 10**9),
    "save_total_limit": _COUNT,
    "dataloader_num_workers": Range(0, 256),
    "dataloader_prefetch_factor": Range(1, 1000),
    "ddp_bucket_cap_mb": Range(1, 10**5),
    "ddp_timeout": Range(1, 10**7),
}
"""Field -> the numbers that it may hold."""
# A number of a version of Transformers that is newer than this file.
_ANY = Range(-(10**9), 10**9)

_NO_METRICS = "Trainer computes the loss alone; name metrics in 'evaluation.metrics'"
_PUSHED_AT_THE_END = "a run is pushed once, at its end: section 'hub'"
UNUSED = {
    "hub_model_id": "'hub.repo'",
    "hub_strategy": _PUSHED_AT_THE_END,
    "hub_always_push": _PUSHED_AT_THE_END,
    "hub_revision": _PUSHED_AT_THE_END,
    "hub_private_repo": "'hub.private'",
    "push_to_hub_model_id": "'hub.repo'",
    "push_to_hub_organization": "'hub.repo'",
    "fp16_backend": "'fp16' or 'bf16'",
    "fp16_opt_level": "'fp16' or 'bf16'",
    "half_precision_backend": "'fp16' or 'bf16'",
    "local_rank": "torchrun or accelerate launch, which number the processes",
    "_n_gpu": "CUDA_VISIBLE_DEVICES in the environment",
    "tpu_num_cores": "accelerate launch",
    "tpu_metrics_debug": "'debug'",
    "mp_parameters": "accelerate launch",
    "parallelism_config": "accelerate launch with a configuration file",
    "use_mps_device": "'use_cpu', if the GPU is not to be used",
    "per_gpu_train_batch_size": "'per_device_train_batch_size'",
    "per_gpu_eval_batch_size": "'per_device_eval_batch_size'",
    "fsdp_min_num_params": "data parallelism by torchrun",
    "fsdp_transformer_layer_cls_to_wrap": "data parallelism by torchrun",
    "adafactor": "'optim: adafactor'",
    "torchdynamo": "'torch_compile_backend'",
    "length_column_name": "the task, which counts the tokens of its rows",
    "past_index": "the model's config; a run has no use for past states",
    "ray_scope": "Ray Tune's own client",
    "jit_mode_eval": "'torch_compile'",
    "use_legacy_prediction_loop": _NO_METRICS,
    "prediction_loss_only": _NO_METRICS,
    "include_inputs_for_metrics": _NO_METRICS,
    "include_for_metrics": _NO_METRICS,
    "batch_eval_metrics": _NO_METRICS,
    "eval_do_concat_batches": _NO_METRICS,
    "eval_use_gather_object": _NO_METRICS,
    "greater_is_better": "a smaller loss, always: checkpoints are chosen by it",
}
"""Fields that have no effect on a run, or no form in YAML, and what to use instead."""


def broken_range(key: str, value: object) -> Range | None:
    """The range of a field, if a number lies outside of it; None where the value may stay."""
    if (key, value) == ("max_steps", -1):
        # Trainer's word for as many as the epochs have; 0 would be the same.
        return None
    allowed = RANGES.get(key, _ANY)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return allowed if is_number and value not in allowed else None
