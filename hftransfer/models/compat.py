"""Parts of Transformers that have no public name, or that 4.57 and 5 do differently: models and their weights.

Each function says which versions it was read in, and why there is no public way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedModel

# No momentum of PyTorch is as large; a decay of TensorFlow is larger.
_MOMENTUM = 0.5


def tokenizer_loader(cls: Any, path: str, **hub_kwargs: Any) -> tuple[Any, dict[str, Any]]:
    """The class that reads a tokenizer for AutoTokenizer, and what `from_pretrained` needs besides; others as they are.

    Transformers 5 writes a class that 4.57 does not know, and a list of extra tokens where that expects a mapping.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast, __version__
    from transformers.models.auto.tokenization_auto import get_tokenizer_config

    if cls is not AutoTokenizer or int(__version__.partition(".")[0]) >= 5:
        return cls, {}
    config = get_tokenizer_config(path, **hub_kwargs)
    extra = config.get("extra_special_tokens")
    kwargs = {"extra_special_tokens": {}, "additional_special_tokens": extra} if isinstance(extra, list) else {}
    return (PreTrainedTokenizerFast if config.get("tokenizer_class") == "TokenizersBackend" else cls), kwargs


def build_model(model_class: type[PreTrainedModel], config: PretrainedConfig) -> PreTrainedModel:
    """A model with random weights.

    Transformers 4.57 and 5: `from_config` is public for Auto classes alone, which may choose another class for the same
    config; the constructor passes over the config's dtype and DeepSpeed's partitioned initialization.
    """
    return model_class._from_config(config)


def initialize_weights(model: PreTrainedModel, module: nn.Module) -> None:
    """Initialize the weights of a part of a model, as the model's class does it, whatever they hold.

    Transformers 4.57 and 5: the public `init_weights` is for whole models. In 5, functions that initialize leave
    parameters alone that are marked as read from a checkpoint, so the mark has to go.
    """
    for parameter in module.parameters():
        parameter.__dict__.pop("_is_hf_initialized", None)
    module.apply(model._init_weights)


def mismatched_names(loading_info: Mapping[str, Any]) -> set[str]:
    """Names of the weights that have another shape in the checkpoint; Transformers 5 gives them with both shapes."""
    return {key if isinstance(key, str) else key[0] for key in loading_info["mismatched_keys"]}


def can_prune_heads(model: PreTrainedModel) -> bool:
    """Whether `prune_heads` takes attention heads out of the model.

    Transformers 4.57: the method is public, but fails in a base model without a private one. Transformers 5 has none.
    """
    return callable(getattr(model.base_model, "_prune_heads", None))


def prepare_for_trainer(model: PreTrainedModel) -> None:
    """What a training by Trainer needs of any model."""
    average_loss_by_batch(model)
    repair_norm_momentum(model)
    repair_shifted_loss(model)


def average_loss_by_batch(model: PreTrainedModel) -> None:
    """Have Trainer take a model's loss as the mean over its batch.

    Trainer of Transformers 4.57 and 5 leaves the division by the number of labels to any model whose `forward` takes
    keyword arguments; with several gradient accumulation steps, a model that divides by itself would learn too fast.
    """
    model.accepts_loss_kwargs = False


def repair_norm_momentum(model: PreTrainedModel) -> None:
    """Have batch norms average over many batches, as PyTorch's do by default.

    Transformers 4.57 and 5 give TensorFlow's decay as PyTorch's momentum (MobileNetV1 and V2: 0.9997, 0.997;
    EfficientNet: 0.99), so that a tuned model is evaluated with the statistics of the last batch alone.
    """
    for norm in _fast_norms(model):
        norm.momentum = 0.1


def has_fast_norms(model: PreTrainedModel) -> bool:
    """Whether a model that is not yet prepared has batch norms that `repair_norm_momentum` changes."""
    return bool(_fast_norms(model))


def _fast_norms(model: PreTrainedModel) -> list[nn.BatchNorm2d]:
    import torch

    return [it for it in model.modules() if isinstance(it, torch.nn.BatchNorm2d) and (it.momentum or 0) > _MOMENTUM]


def repair_shifted_loss(model: PreTrainedModel) -> None:
    """Have an encoder of images with a decoder of texts learn the next token.

    Transformers 4.57 gives such a model the loss of a causal language model, which shifts the labels, after the model
    has shifted what the decoder reads: it would learn the token after the next one. Transformers 5 has it right.
    """
    if model.config.model_type == "vision-encoder-decoder":
        model.loss_function = _token_loss


def _token_loss(logits: Tensor, labels: Tensor, vocab_size: int, **_: Any) -> Tensor:
    """The mean cross-entropy of the tokens whose label is not -100."""
    from torch.nn.functional import cross_entropy

    return cross_entropy(logits.view(-1, vocab_size), labels.view(-1))
