"""What a model takes: how many tokens, by its position embeddings, and which, by its vocabulary."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from hftransfer.core.errors import ModelError

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from hftransfer.tasks._types import Rows

SAMPLED = 1000
"""Rows of a split that `check` tokenizes."""

# Embeddings of the positions in a text, as architectures call them; not those of images and sounds, nor of entities.
_POSITIONS = re.compile(
    r"(?!.*(tower|vision|visual|audio|entity))(.*\.)?(embed_positions|position_embeddings|positions_embed|wpe)"
)
_DECODER = re.compile(r"(^|\.)decoder\.")
# Sizes of the vocabulary in configs; what is generated may have one of its own (Marian, FSMT).
_SIZES = {"encoder": ("vocab_size",), "decoder": ("decoder_vocab_size", "tgt_vocab_size", "vocab_size")}


def position_limit(model: PreTrainedModel, *, generates: bool = False) -> int | None:
    """The tokens of a text that a model has positions for; None where its positions are relative, and any number fits.

    RoBERTa and others number the positions of a text after that of the padding token, so that `padding_idx + 1`
    embeddings serve none. Those of a decoder count where it `generates`.
    """
    config = model.config
    # ProphetNet predicts several tokens at once, with the position after that of the last one.
    after = int(generates and getattr(config, "ngram", 0) > 0)
    limits = [
        module.weight.shape[0] - _offset(module) - after
        for name, module in model.named_modules()
        if _POSITIONS.fullmatch(name)
        and getattr(module, "weight", None) is not None
        and (not config.is_encoder_decoder or bool(_DECODER.search(name)) == generates)
    ]
    declared = getattr(config, "max_position_embeddings", None)
    relative = getattr(config, "position_biased_input", True) is False
    if isinstance(declared, int) and declared > 0 and not relative:
        limits.append(declared)
    return min(limits, default=None)


def _offset(module: object) -> int:
    """Embeddings before that of the first token."""
    padding = getattr(module, "padding_idx", None)
    return int(getattr(module, "offset", 0)) if padding is None else padding + 1


def refuse_longer(key: str, wanted: int, kept_tokens: int, limit: int | None) -> None:
    """Refuse a field of the task that asks for more tokens of a text than the model has positions for.

    Raises:
        ModelError: so many would be kept.
    """
    if limit is not None and kept_tokens > limit:
        raise ModelError(f"task.{key}: {wanted} is more than the {limit} tokens that the checkpoint takes")


def refuse_unknown_ids(
    ids: Iterable[Iterable[int]],
    tokenizer: PreTrainedTokenizerBase,
    config: PretrainedConfig | None,
    *,
    generates: bool = False,
) -> None:
    """Refuse token ids, those of each text, for which the model has no embedding; and such a padding token.

    Raises:
        ModelError: the tokenizer is not that of the checkpoint, or its vocabulary has grown.
    """
    size = vocabulary_size(config, "decoder" if generates else "encoder")
    if size is None:
        return
    largest = max((max(text, default=0) for text in ids), default=0)
    largest = max(largest, tokenizer.pad_token_id or 0)
    if largest >= size:
        raise ModelError(
            f"the tokenizer gives '{tokenizer.convert_ids_to_tokens(largest)}' the id {largest}, and the model has "
            f"embeddings for {size} tokens, 0 to {size - 1}: name the checkpoint's own tokenizer (model.processor), or "
            "save the checkpoint after `model.resize_token_embeddings(len(tokenizer))`; of a new model, raise "
            "model.config.vocab_size"
        )


def check_sampled_ids(
    splits: Mapping[str, Dataset],
    tokenizer: PreTrainedTokenizerBase,
    config: PretrainedConfig,
    encode: Callable[[Rows], object],
) -> None:
    """Encode some rows of each split, where the tokenizer has ids that the model has no embedding for.

    Raises:
        ModelError: by `encode`, as `refuse_unknown_ids`.
    """
    size = vocabulary_size(config)
    if size is not None and max(tokenizer.get_vocab().values(), default=0) >= size:
        for rows in splits.values():
            encode(rows[:SAMPLED])


def start_token(model: PreTrainedModel, labels: list[int]) -> int:
    """The token before the first one that the decoder writes, when it learns these labels; no weights are needed.

    Raises:
        AttributeError, TypeError, ValueError, AssertionError: the config names none.
    """
    import torch

    if not hasattr(model, "prepare_decoder_input_ids_from_labels"):
        # M2M100 and Blenderbot do the same within `forward`.
        return int(model.config.decoder_start_token_id)
    return int(model.prepare_decoder_input_ids_from_labels(torch.tensor([labels]))[0, 0])


def check_start(model: PreTrainedModel, labels: list[int]) -> None:
    """Refuse a sequence-to-sequence model that cannot begin to generate.

    Raises:
        ModelError: its config names no first token, or one that it has no embedding for.
    """
    config = model.config
    help_text = (
        "give model.config.decoder_start_token_id, the id of the token by which generation begins (that of padding for "
        "T5 and Pegasus, the end of a text for BART)"
    )
    try:
        start = start_token(model, labels)
    except (AttributeError, TypeError, ValueError, AssertionError) as error:
        reason = f"this {config.model_type} cannot begin to generate: {' '.join(str(error).split())[:300]}"
        if getattr(config, "decoder_start_token_id", None) is None:
            reason = f"the config of this {config.model_type} has no decoder_start_token_id: {help_text}"
        raise ModelError(reason) from None
    size = vocabulary_size(config, "decoder")
    if size is not None and not 0 <= start < size:
        raise ModelError(
            f"generation would begin with the token {start}, and the {config.model_type} has embeddings for {size} "
            f"tokens, 0 to {size - 1}: {help_text}"
        )


def vocabulary_size(config: PretrainedConfig | None, part: str = "encoder") -> int | None:
    """Tokens that a part of the model has embeddings for; None where they are no table (CANINE)."""
    composed = getattr(config, part, None) or getattr(config, "text_config", None) or config
    sizes = (getattr(composed, name, None) for name in _SIZES[part])
    return next((size for size in sizes if isinstance(size, int) and size > 0), None)
