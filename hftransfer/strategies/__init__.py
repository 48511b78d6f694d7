"""What a checkpoint keeps and what it changes."""

from typing import Any, ClassVar

from hftransfer.plugins import Plugin


class Strategy(Plugin):
    """Base of the strategies. `prepare` and `merge` take and give a Transformers model."""

    training: ClassVar[dict[str, Any]] = {}
    """TrainingArguments that suit the strategy; a recipe's `training:` goes before them."""

    def prepare(self, model: Any) -> Any:
        """The model to train."""
        return model

    def merge(self, model: Any) -> Any:
        """The model to ship, made from the trained one."""
        return model
