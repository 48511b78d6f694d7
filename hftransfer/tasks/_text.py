"""What the tasks on tokens share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.arrow import read_rows
from hftransfer.core.empty_model import empty_model
from hftransfer.core.errors import ModelError
from hftransfer.tasks._limits import SAMPLED, position_limit, refuse_longer

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from hftransfer.tasks import ModelBatch, Rows


def tokens_kept(max_length: int, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens kept of a text: no more than the tokenizer says its model takes."""
    return min(max_length, int(tokenizer.model_max_length))


def padded(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer; one without a padding token (GPT-2) pads with the end of a text, which the mask then hides.

    Raises:
        ModelError: it has no end of a text either.
    """
    if tokenizer.pad_token is None and tokenizer.eos_token is None:
        raise ModelError("the tokenizer of the checkpoint has no token for padding, and none for the end of a text")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def open_for_pairs(
    read: Callable[..., PreTrainedTokenizerBase], auto_processor: str, config: PretrainedConfig
) -> PreTrainedTokenizerBase:
    """A checkpoint's tokenizer, padded, which names no types of tokens where the model has one type alone.

    RoBERTa models with BERT's tokenizer (KLUE) have no embedding for the type of a second text.
    """
    tokenizer = read(auto_processor)
    names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
    if getattr(config, "type_vocab_size", None) == 1 and names != tokenizer.model_input_names:
        tokenizer = read(auto_processor, model_input_names=names)
    return padded(tokenizer)


def with_offsets(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer, which says where in a text its tokens stand.

    Raises:
        ModelError: it does not.
    """
    if not tokenizer.is_fast:
        raise ModelError(f"{type(tokenizer).__name__} has no offsets: take a checkpoint with tokenizer.json")
    return tokenizer


def pad_batch(tokenizer: PreTrainedTokenizerBase, encoded: list[dict[str, Any]]) -> ModelBatch:
    """A batch of tensors, padded to its longest row."""
    from transformers import DataCollatorWithPadding

    return dict(DataCollatorWithPadding(tokenizer)(encoded))


def check_positions(
    auto_model: str, config: PretrainedConfig, max_length: int, tokenizer: PreTrainedTokenizerBase
) -> int | None:
    """Refuse texts longer than the model has positions for; the number of its positions, None where any number fits.

    Raises:
        ModelError: as `refuse_longer`.
    """
    limit = position_limit(empty_model(auto_model, config))
    refuse_longer("max_length", max_length, tokens_kept(max_length, tokenizer), limit)
    return limit


def truncated(
    splits: Mapping[str, Dataset], key: str, length: int, tokens: Callable[[Rows], list[list[int]]]
) -> list[str]:
    """A warning where texts have more tokens than the field `key` of the task keeps, by a thousand rows of each split.

    `tokens` gives all tokens of a batch of rows, a list for each.
    """
    shares = []
    # A word is at least a token, so that the words after these change nothing.
    words = re.compile(rf"\s*(?:\S+\s+){{0,{length}}}\S*")
    for split, rows in splits.items():
        columns = read_rows(rows.select(range(min(SAMPLED, len(rows)))))
        starts = {
            name: [words.match(it)[0] if isinstance(it, str) else it for it in column]  # type: ignore[index]
            for name, column in columns.items()
        }
        counts = [len(ids) for ids in tokens(starts)]
        if long := sum(count > length for count in counts):
            shares.append(f"{100 * long / len(counts):.3g} % of {split}")
    return [f"task.{key}: texts of more than {length} tokens are truncated: {', '.join(shares)}"] if shares else []


def truncated_shares(tokens: list[list[int]], length: int) -> np.ndarray:
    """The share of each text's tokens beyond the first `length`, shape (texts,)."""
    return np.array([1 - min(1, length / max(len(ids), 1)) for ids in tokens])


def snippet_inputs(max_length: int, tokenizer: PreTrainedTokenizerBase, encode: str) -> str:
    """For `runtime_snippet`: the lines that make `inputs` with tokenizers alone, by the lines that make `made`."""
    return (
        "from tokenizers import Tokenizer\n\n"
        'tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))\n'
        "tokenizer.no_padding()\n"
        f"tokenizer.enable_truncation({tokens_kept(max_length, tokenizer)})\n"
        f"{encode}\n"
        'cells = {"input_ids": made.ids, "attention_mask": made.attention_mask, "token_type_ids": made.type_ids}\n'
        "inputs = {it.name: np.array([cells[it.name]]) for it in session.get_inputs()}\n"
    )
