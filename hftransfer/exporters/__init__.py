"""Runtimes that a finished model is shipped for."""

from pathlib import Path
from typing import Any

from hftransfer.plugins import Plugin
from hftransfer.tasks import Task


class Exporter(Plugin):
    """Base of the exporters; its name is the name of its first variant, `name-quantization` that of the second."""

    def export(self, task: Task, model: Any, processor: Any, folder: Path) -> None:
        """Write the model, its config and its processor.

        Raises:
            ExportError: the runtime has no way to hold the model.
        """
        raise NotImplementedError

    def quantize(self, source: Path, folder: Path, quantization: str) -> None:
        """Write a quantized copy of what `export` wrote.

        Raises:
            ExportError: the quantization fails.
        """
        raise NotImplementedError

    def load(self, task: Task, folder: Path) -> Any:
        """The exported model, called as the PyTorch model is."""
        raise NotImplementedError

    def files(self, folder: Path) -> list[str]:
        """The files in a variant's folder that hold the model."""
        raise NotImplementedError
