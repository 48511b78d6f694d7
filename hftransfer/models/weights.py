"""The weights of a model: read from a checkpoint, drawn anew where it has none, positions resized."""

import copy
from pathlib import Path
from typing import Any

from hftransfer.core.errors import ModelError
from hftransfer.models.checkpoint import Checkpoint, ResolvedCheckpoint, read_pretrained
from hftransfer.models.layers import head_names
from hftransfer.tasks import Task


def load_model(task: Task, origin: ResolvedCheckpoint) -> Any:
    """The task's model with the checkpoint's weights; unless the labels are equal, what tells them is drawn anew.

    Raises:
        ModelError: the weights are not safetensors, or none of them fits the config.
    """
    import torch
    import transformers

    # A copy, since a strategy that makes the model smaller says so in its config.
    config = copy.deepcopy(origin.config)
    auto = getattr(transformers, task.model_class(config))
    if origin.weights is None:
        model = _spread(auto.from_config(config))
    else:
        # Half precision, in which some checkpoints are saved, would swallow the small steps of a training.
        model, loaded = read_pretrained(
            auto,
            origin.weights,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
        # Transformers 5 adds the two shapes to a mismatched name.
        mismatched = {key if isinstance(key, str) else key[0] for key in loaded["mismatched_keys"]}
        new = {*loaded["missing_keys"], *mismatched}
        if {name for name, _ in model.named_parameters()} <= new:
            raise ModelError(
                f"no weight of '{origin.weights.path}' has the name and shape of one of a {origin.config.model_type}"
            )
        _draw_anew(model, new, origin)
        _resize_positions(model, mismatched, origin.weights)
        model.beside = _beside(model, origin.weights) if loaded["unexpected_keys"] else {}
    # Trainer of transformers 5 takes a model that accepts loss arguments to divide its loss by itself; many do not.
    model.accepts_loss_kwargs = False
    return model


def _beside(model: Any, weights: Checkpoint) -> dict[str, Any]:
    """What the checkpoint's base has and this model's has not (BERT's pooler, of no use to guess words).

    It is saved with the model, so that a later run from there finds it.
    """
    from transformers import AutoModel

    prefix, own = model.base_model_prefix, model.base_model.state_dict()
    if model.base_model is model:
        return {}
    whole = read_pretrained(AutoModel, weights, use_safetensors=True).state_dict()
    return {f"{prefix}.{name}": it for name, it in whole.items() if name not in own}


def new_model(model: Any) -> Any:
    """Another model of the class and config, with random weights that torch's seed draws."""
    made = _spread(type(model)._from_config(model.config))
    made.accepts_loss_kwargs = False
    return made


def _spread(model: Any) -> Any:
    """Draw the tokens and positions that a new model begins as zeros (YOLOS).

    A LayerNorm of zeros has gradients so large that clipping leaves nothing for the other weights.
    """
    import torch

    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 2 and weights.shape[-2] > 1 and not weights.any():
                torch.nn.init.trunc_normal_(weights, std=model.config.initializer_range)
    return model


def save_model(model: Any, processor: Any, folder: Path) -> None:
    """A model and its processor as `reload` and Transformers read them, with what the checkpoint had beside it."""
    model.save_pretrained(folder, state_dict=getattr(model, "beside", {}) | model.state_dict())
    processor.save_pretrained(folder)


def load_saved(task: Task, checkpoint: Checkpoint) -> Any:
    """A model as it was saved, with the labels that it was saved with."""
    import torch
    import transformers

    config = read_pretrained(transformers.AutoConfig, checkpoint)
    model = read_pretrained(
        getattr(transformers, task.model_class(config)), checkpoint, dtype=torch.float32, use_safetensors=True
    )
    model.accepts_loss_kwargs = False
    return model


def _draw_anew(model: Any, new: set[str], origin: ResolvedCheckpoint) -> None:
    """Draw the weights that the checkpoint lacks, and the head unless it is for the very same labels.

    Transformers leaves parameters that stand in no layer (position embeddings) as the memory was.
    """
    import torch

    heads = head_names(model)
    model.new_weights = sorted(
        name for name, _ in model.named_parameters() if name in new and name.partition(".")[0] not in heads
    )
    if bare := {name for name in new if name.partition(".")[0] not in heads}:
        drawn = new_model(model).state_dict()
        with torch.no_grad():
            for name, weights in model.state_dict().items():
                if name in bare:
                    weights.copy_(drawn[name])
            for name in bare:
                known = f"{name.rpartition('.')[0]}.cls_token"
                if name.endswith("_tokens") and known in drawn and known not in bare:
                    # New tokens (YOLOS) begin as the class token, a little apart: it knows how to read an image.
                    model.get_parameter(name).add_(model.get_parameter(known))
    for head in () if origin.keeps_head else _label_heads(model):
        getattr(model, head).apply(model._init_weights)


def _resize_positions(model: Any, mismatched: set[str], weights: Checkpoint) -> None:
    """Positions of image patches, where the checkpoint has another grid of them: the same places, interpolated.

    As in ViT (Dosovitskiy et al. 2020, https://arxiv.org/abs/2010.11929, section 3.2). The first position is that of
    the class token, the grid follows; tokens behind it keep what was drawn.
    """
    import torch
    from safetensors import safe_open
    from transformers.utils import SAFE_WEIGHTS_NAME, cached_file

    size, patch = (getattr(model.config, name, None) for name in ("image_size", "patch_size"))
    names = [name for name in mismatched if name.endswith(".position_embeddings")]
    if not names or not isinstance(patch, int) or size is None:
        return
    try:
        file = cached_file(weights.path, SAFE_WEIGHTS_NAME, revision=weights.revision)
    except OSError:
        # Weights in several files.
        return
    rows, columns = (side // patch for side in ((size, size) if isinstance(size, int) else size))
    with safe_open(file, framework="pt") as tensors, torch.no_grad():
        for name in names:
            old, new = tensors.get_tensor(name), model.get_parameter(name)
            side = round((old.shape[1] - 1) ** 0.5)
            if side * side + 1 != old.shape[1] or new.shape[1] <= rows * columns or new.shape[2] != old.shape[2]:
                continue
            grid = old[:, 1:].transpose(1, 2).reshape(1, -1, side, side)
            resized = torch.nn.functional.interpolate(grid, (rows, columns), mode="bicubic", align_corners=False)
            new[:, :1], new[:, 1 : rows * columns + 1] = old[:, :1], resized.flatten(2).transpose(1, 2)


def _label_heads(model: Any) -> list[str]:
    """The heads whose shape follows from the number of labels; that of DETR's boxes, for one, does not."""
    import torch

    wider = copy.deepcopy(model.config)
    wider.num_labels += 1
    with torch.device("meta"):
        shapes = {name: it.shape for name, it in type(model)._from_config(wider).named_parameters()}
    changed = [name for name, it in model.named_parameters() if it.shape != shapes[name]]
    return [head for head in head_names(model) if any(name.startswith(f"{head}.") for name in changed)]
