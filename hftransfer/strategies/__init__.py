"""What a checkpoint keeps and what it changes."""

from pathlib import Path
from typing import Any, ClassVar

from hftransfer.encoding import Encoded
from hftransfer.plugins import Plugin


class Strategy(Plugin):
    """Base of the strategies. `prepare` and `merge` take and give a Transformers model."""

    training: ClassVar[dict[str, Any]] = {}
    """TrainingArguments that suit the strategy; a recipe's `training:` goes before them."""

    def prepare(self, model: Any) -> Any:
        """The model to train."""
        return model

    def keep(self, model: Any, encoded: Encoded, folder: Path) -> Encoded:
        """The rows to train on: what no step of the training changes is computed here, once, into `folder`."""
        return encoded

    def callbacks(self) -> list[Any]:
        """TrainerCallbacks of the strategy."""
        return []

    def adapter(self, model: Any) -> Any:
        """What a trained model adds to its checkpoint, where that can be saved by itself; else None."""
        return None

    def merge(self, model: Any) -> Any:
        """The model to ship, made from the trained one."""
        return model
