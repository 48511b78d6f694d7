"""Runtimes that a finished model is shipped for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hftransfer.plugins import Plugin
from hftransfer.tasks import Task

Inputs = dict[str, np.ndarray]

# Quantization as a recipe names it -> the end of the variant's name.
SCHEMES = {"dynamic-int8": "int8", "static-int8": "int8-static", "weight-int4": "int4"}


@dataclass(frozen=True)
class Wishes:
    """What a recipe says of how its model is made smaller."""

    optimize: str = "O2"
    """Level of graph optimization."""
    target: str | None = None
    """The processor that it is made for; None: this machine's."""
    operators: str = "fitting"
    """Which operators become integers: those that bear it, or `all`."""
    rows: Callable[[], list[Inputs]] = list
    """Training rows as the model takes them, each a batch of one."""
    known: dict[Any, Any] = field(default_factory=dict)
    """What an exporter has found out of the rows and may need again."""


class Exporter(Plugin):
    """Base of the exporters; the first variant has its name, the others `name-scheme`."""

    def check(self, kind: str, config: Any, scheme: str | None) -> None:
        """Look at the model's Auto class and config before anything is trained.

        Raises:
            ExportError: the runtime cannot make the scheme of such a model.
        """

    def export(self, task: Task, model: Any, processor: Any, folder: Path) -> None:
        """Write the model, its config and its processor.

        Raises:
            ExportError: the runtime has no way to hold the model.
        """
        raise NotImplementedError

    def schemes(self, source: Path) -> list[str]:
        """What can be made of what `export` wrote, in the order in which a search tries it."""
        raise NotImplementedError

    def make(self, scheme: str, source: Path, folder: Path, wishes: Wishes, spared: frozenset[str]) -> None:
        """Write a smaller or faster copy of what `export` wrote; the nodes of the graph that are spared stay decimal.

        Raises:
            ExportError: the runtime cannot.
        """
        raise NotImplementedError

    def sensitive(self, source: Path, wishes: Wishes) -> list[list[str]]:
        """Groups of nodes of the graph that may be spared, first those that change the outputs most as integers."""
        raise NotImplementedError

    def load(self, task: Task, folder: Path, threads: int = 0) -> Any:
        """The exported model, called as the PyTorch model is, on so many threads; 0: on as many as PyTorch."""
        raise NotImplementedError

    def files(self, folder: Path) -> list[str]:
        """The files in a variant's folder that hold the model."""
        raise NotImplementedError
