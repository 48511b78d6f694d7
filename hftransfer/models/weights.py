"""The weights of a model: read from a checkpoint, newly initialized where it has none, position embeddings resized."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING

from hftransfer.core.compat import save_processor
from hftransfer.core.errors import ModelError
from hftransfer.models.checkpoint import Checkpoint, ResolvedCheckpoint
from hftransfer.models.compat import build_model, initialize_weights, mismatched_names, prepare_for_trainer
from hftransfer.models.layers import head_names
from hftransfer.models.reading import read_pretrained
from hftransfer.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from peft import PeftModel
    from torch import Tensor
    from transformers import PreTrainedModel

    from hftransfer.tasks import Processor


def load_model(task: Task, origin: ResolvedCheckpoint) -> PreTrainedModel:
    """The task's model with the checkpoint's weights; its head is newly initialized unless it fits the labels.

    Attributes are added to the model: `new_weights`, the names of the parameters outside the head that the checkpoint
    lacks; `new_head`, whether it lacks some of the head; `label_heads`, the parts of the head that were initialized for
    the labels; `has_drawn`, whether a whole model was initialized for what the checkpoint lacks; `shorter`, position
    embeddings -> those of the checkpoint whose first ones they are; and `extra_state`, weights of the checkpoint for
    which this model has no place.

    Raises:
        ModelError: the weights are not safetensors, or none of them fits the config.
    """
    import torch

    # A copy: a strategy that makes the model smaller changes its config.
    config = copy.deepcopy(origin.config)
    auto = task.model_loader(config)
    if origin.weights is None:
        model = _initialize_zero_embeddings(auto.from_config(config))
        model.new_weights, model.new_head = [], True
    else:
        # Half precision, in which some checkpoints are saved, would round away the small steps of a training.
        model, loading_info = read_pretrained(
            auto,
            origin.weights,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
        mismatched = mismatched_names(loading_info)
        missing = {*loading_info["missing_keys"], *mismatched}
        if {name for name, _ in model.named_parameters()} <= missing:
            raise ModelError(
                f"no weight of '{origin.weights.path}' has the name and shape of one of a {origin.config.model_type}"
            )
        _initialize_missing(model, missing)
        model.label_heads = [] if origin.reuses_head else _initialize_label_heads(model)
        model.shorter = _resize_positions(model, mismatched, origin.weights)
        model.extra_state = _extra_state(model, origin.weights) if loading_info["unexpected_keys"] else {}
    prepare_for_trainer(model)
    return model


def load_saved(task: Task, checkpoint: Checkpoint) -> PreTrainedModel:
    """A model as `save_model` wrote it, with the labels in its config.

    Raises:
        ModelError: the checkpoint cannot be read.
    """
    import torch
    import transformers

    config = read_pretrained(transformers.AutoConfig, checkpoint)
    auto = task.model_loader(config)
    model = read_pretrained(auto, checkpoint, dtype=torch.float32, use_safetensors=True)
    prepare_for_trainer(model)
    return model


def save_adapter(model: PeftModel, folder: Path) -> None:
    """A PEFT adapter as `PeftModel.from_pretrained` reads it.

    PEFT holds names of modules in sets, whose order differs from process to process; they are written sorted.
    """
    model.save_pretrained(folder)
    file, config = folder / "adapter_config.json", next(iter(model.peft_config.values()))
    fields = json.loads(file.read_text(encoding="utf-8"))
    for name, value in fields.items():
        if isinstance(getattr(config, name, None), set):
            fields[name] = sorted(value)
    file.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def save_model(model: PreTrainedModel, processor: Processor, folder: Path) -> None:
    """Write a model and its processor as `load_saved` and Transformers read them, with `extra_state` of the model."""
    model.save_pretrained(folder, state_dict=getattr(model, "extra_state", {}) | model.state_dict())
    save_processor(processor, folder)


def new_model(model: PreTrainedModel) -> PreTrainedModel:
    """Another model of the same class and config, with random weights by torch's seed.

    Of a model on the meta device, another without weights.
    """
    import torch

    if model.device.type == "meta":
        with torch.device("meta"):
            return build_model(type(model), model.config)
    new = _initialize_zero_embeddings(build_model(type(model), model.config))
    prepare_for_trainer(new)
    return new


def _initialize_zero_embeddings(model: PreTrainedModel) -> PreTrainedModel:
    """Initialize the tokens and positions that a new model has as zeros (YOLOS), from a truncated normal.

    A LayerNorm of zeros has gradients so large that clipping leaves nothing for the other weights.
    """
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 2 and parameter.shape[-2] > 1 and not parameter.any():
                torch.nn.init.trunc_normal_(parameter, std=model.config.initializer_range)
    return model


def _initialize_missing(model: PreTrainedModel, missing: set[str]) -> None:
    """Initialize what the checkpoint lacks outside the head.

    Transformers leaves parameters that belong to no layer (position embeddings) as the memory was.
    """
    import torch

    head_modules = head_names(model)
    outside = {name for name in missing if name.partition(".")[0] not in head_modules}
    model.new_weights = sorted(name for name, _ in model.named_parameters() if name in outside)
    model.new_head = any(name in missing - outside for name, _ in model.named_parameters())
    model.has_drawn = bool(outside)
    if not outside:
        return
    random_weights = new_model(model).state_dict()
    with torch.no_grad():
        for name, weights in model.state_dict().items():
            if name in outside:
                weights.copy_(random_weights[name])
        for name in outside:
            class_token = f"{name.rpartition('.')[0]}.cls_token"
            if name.endswith("_tokens") and class_token in random_weights and class_token not in outside:
                # New tokens (YOLOS) start near the class token, which already gathers what is in an image.
                model.get_parameter(name).add_(model.get_parameter(class_token))


def _initialize_label_heads(model: PreTrainedModel) -> list[str]:
    """Initialize the heads whose shape depends on the number of labels; that of DETR's boxes, for one, does not.

    Returns:
        Their names.
    """
    import torch

    wider = copy.deepcopy(model.config)
    wider.num_labels += 1
    with torch.device("meta"):
        shapes = {name: parameter.shape for name, parameter in build_model(type(model), wider).named_parameters()}
    changed = [name for name, parameter in model.named_parameters() if parameter.shape != shapes[name]]
    label_heads = [head for head in head_names(model) if any(name.startswith(f"{head}.") for name in changed)]
    for head in label_heads:
        initialize_weights(model, getattr(model, head))
    return label_heads


def _extra_state(model: PreTrainedModel, weights: Checkpoint) -> dict[str, Tensor]:
    """Weights of the checkpoint's base model that this one has no place for (BERT's pooler in a masked language model).

    They are saved with the model, so that a later run which starts from it finds them.
    """
    from transformers import AutoModel

    if model.base_model is model:
        return {}
    prefix, names = model.base_model_prefix, model.base_model.state_dict()
    base = read_pretrained(AutoModel, weights, use_safetensors=True)
    return {f"{prefix}.{name}": tensor for name, tensor in base.state_dict().items() if name not in names}


def _resize_positions(model: PreTrainedModel, mismatched: Iterable[str], weights: Checkpoint) -> dict[str, str]:
    """Fit the position embeddings to the model where the checkpoint has another number of them.

    Those of image patches are interpolated, as in ViT (Dosovitskiy et al. 2020, https://arxiv.org/abs/2010.11929,
    section 3.2). The first position is that of the class token, the grid follows; tokens after the grid stay newly
    initialized. Of sequences (Whisper with a shorter window) the first positions are taken.

    Returns:
        Parameter -> the name in the checkpoint of that whose first positions it has.
    """
    from safetensors import safe_open
    from transformers.utils import SAFE_WEIGHTS_NAME, cached_file

    names = [name for name in mismatched if name.endswith((".position_embeddings", ".embed_positions.weight"))]
    shorter: dict[str, str] = {}
    if not names:
        return shorter
    try:
        file = cached_file(weights.path, SAFE_WEIGHTS_NAME, revision=weights.revision)
    except OSError:
        # Weights in several files.
        return shorter
    size, patch = (getattr(model.config, name, None) for name in ("image_size", "patch_size"))
    with safe_open(file, framework="pt") as tensors:
        stored_names = tensors.keys()
        for name in names:
            # A classifier has Whisper's encoder alone, under a shorter name.
            stored = next((key for key in stored_names if f".{key}".endswith(f".{name}")), None)
            if stored is None:
                continue
            old, new = tensors.get_tensor(stored), model.get_parameter(name)
            if name.endswith(".weight"):
                if len(old) >= len(new) and old.shape[1:] == new.shape[1:]:
                    new.data.copy_(old[: len(new)])
                    model.new_weights.remove(name)
                    shorter[name] = stored
            elif isinstance(patch, int) and size is not None:
                height, width = (side // patch for side in ((size, size) if isinstance(size, int) else size))
                _interpolate(old, new.data, height, width)
    return shorter


def _interpolate(old: Tensor, new: Tensor, height: int, width: int) -> None:
    """Write positions, shape (1, 1 + patches, channels), into those of a grid of `height` x `width` patches, in place.

    Nothing is done where the old grid is no square, or the new positions are fewer than the grid has.
    """
    import torch

    side = round((old.shape[1] - 1) ** 0.5)
    if side * side + 1 != old.shape[1] or new.shape[1] <= height * width or new.shape[2] != old.shape[2]:
        return
    grid = old[:, 1:].transpose(1, 2).reshape(1, -1, side, side)
    resized = torch.nn.functional.interpolate(grid, (height, width), mode="bicubic", align_corners=False)
    new[:, :1], new[:, 1 : height * width + 1] = old[:, :1], resized.flatten(2).transpose(1, 2)
