"""What the tasks on tokens share."""

from typing import Any

from hftransfer.errors import ModelError


def longest(max_length: int, tokenizer: Any) -> int:
    """Tokens kept of a text: no more than the tokenizer says its model takes."""
    return min(max_length, int(tokenizer.model_max_length))


def check_positions(max_length: int, tokenizer: Any, config: Any) -> None:
    """Refuse texts longer than the model has positions for.

    Raises:
        ModelError: it has fewer. Models whose positions are relative take any length.
    """
    positions = getattr(config, "max_position_embeddings", None)
    relative = getattr(config, "position_biased_input", True) is False
    if isinstance(positions, int) and not relative and longest(max_length, tokenizer) > positions:
        raise ModelError(f"task.max_length: {max_length} is more than the {positions} tokens that the checkpoint takes")
