"""What the tasks on tokens share."""

from collections.abc import Callable
from typing import Any

from hftransfer.core.errors import ModelError


def longest(max_length: int, tokenizer: Any) -> int:
    """Tokens kept of a text: no more than the tokenizer says its model takes."""
    return min(max_length, int(tokenizer.model_max_length))


def padded(tokenizer: Any) -> Any:
    """A tokenizer without padding (GPT-2) pads with the end of a text, which the mask then hides.

    Raises:
        ModelError: it has no end of a text either.
    """
    if tokenizer.pad_token is None and tokenizer.eos_token is None:
        raise ModelError("the tokenizer of the checkpoint has no token for padding, and none for the end of a text")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def check_positions(max_length: int, tokenizer: Any, config: Any) -> None:
    """Refuse texts longer than the model has positions for.

    Raises:
        ModelError: as `refuse_longer`.
    """
    refuse_longer("max_length", max_length, longest(max_length, tokenizer), config)


def refuse_longer(key: str, asked: int, kept: int, config: Any) -> None:
    """Refuse a field of the task that asks for more tokens of a text than the model has positions for.

    Raises:
        ModelError: so many as would be kept of it. Models whose positions are relative take any length.
    """
    positions = getattr(config, "max_position_embeddings", None)
    relative = getattr(config, "position_biased_input", True) is False
    if isinstance(positions, int) and 0 < positions < kept and not relative:
        raise ModelError(f"task.{key}: {asked} is more than the {positions} tokens that the checkpoint takes")


def cut(splits: dict[str, Any], key: str, length: int, tokens: Callable[[dict[str, list[Any]]], Any]) -> list[str]:
    """A warning where texts have more tokens than the field `key` of the task keeps, by a thousand rows of each split.

    `tokens` makes all the tokens of rows, a list for each.
    """
    told = []
    for split, rows in splits.items():
        counts = [len(ids) for ids in tokens(rows.select(range(min(1000, len(rows))))[:])]
        if long := sum(count > length for count in counts):
            told.append(f"{100 * long / len(counts):.3g} % of {split}")
    return [f"task.{key}: texts of more than {length} tokens are cut: {', '.join(told)}"] if told else []


def plain_inputs(max_length: int, tokenizer: Any, encode: str) -> str:
    """For `plain`: the lines that make `inputs` with tokenizers alone; `encode` are those that make `made`."""
    return (
        "from tokenizers import Tokenizer\n\n"
        'tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))\n'
        "tokenizer.no_padding()\n"
        f"tokenizer.enable_truncation({longest(max_length, tokenizer)})\n"
        f"{encode}\n"
        'cells = {"input_ids": made.ids, "attention_mask": made.attention_mask, "token_type_ids": made.type_ids}\n'
        "inputs = {it.name: np.array([cells[it.name]]) for it in session.get_inputs()}\n"
    )
