"""Runtimes that a finished model is shipped for."""

import copy
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hftransfer.core.errors import ExportError
from hftransfer.core.plugins import Plugin
from hftransfer.core.progress import Progress
from hftransfer.tasks import Task

Inputs = dict[str, np.ndarray]

# Quantization as a recipe names it -> the end of the variant's name.
SCHEMES = {"dynamic-int8": "int8", "static-int8": "int8-static", "weight-int4": "int4"}


# Rows by which a group of nodes is found sensitive.
PROBES = 16


@dataclass(frozen=True)
class ExportOptions:
    """What a recipe says of how its model is made smaller."""

    optimize: str = "O2"
    """Level of graph optimization."""
    target: str | None = None
    """The processor that it is made for; None: this machine's."""
    operators: str = "supported"
    """Which operators become integers: those that bear it, or `all`."""
    rows: Callable[[], list[Inputs]] = list
    """Training rows as the model takes them, each a batch of one."""
    known: dict[Any, Any] = field(default_factory=dict)
    """What an exporter has found out of the rows and may need again."""


class Exporter(Plugin):
    """Base of the exporters; the first variant has its name, the others `name-scheme`."""

    module: ClassVar[str]
    """Where Optimum's classes that load a variant are imported from."""
    package: ClassVar[str]
    """What pip installs to have them."""
    keys: ClassVar[frozenset[str]] = frozenset()
    """Of the keys `optimize`, `operators` and `target` of a recipe's `export`, those that mean something here."""

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

    def make(
        self, scheme: str, source: Path, folder: Path, options: ExportOptions, excluded_nodes: frozenset[str]
    ) -> None:
        """Write a smaller or faster copy of what `export` wrote; the nodes of the graph that are spared stay decimal.

        Raises:
            ExportError: the runtime cannot.
        """
        raise NotImplementedError

    def sensitive(self, source: Path, options: ExportOptions) -> list[list[str]]:
        """Groups of nodes of the graph that may be spared, first those that change the outputs most as integers."""
        raise NotImplementedError

    def load(self, task: Task, folder: Path, threads: int = 0) -> Any:
        """The exported model, called as the PyTorch model is, on so many threads; 0: on as many as PyTorch."""
        raise NotImplementedError

    def files(self, folder: Path) -> list[str]:
        """The files in a variant's folder that hold the model."""
        raise NotImplementedError


def is_generative(source: Path) -> bool:
    """Whether the model in a folder writes: it has a decoder, or keeps what it has read."""
    from transformers import AutoConfig

    if any(source.glob("*decoder*")):
        return True
    names = AutoConfig.from_pretrained(source).architectures or []
    return any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names)


@contextmanager
def upstream(what: str, *own: type[Exception]) -> Iterator[None]:
    """What Optimum raises, and a runtime's own exceptions, as a sentence that begins with what could not be done."""
    known: tuple[type[Exception], ...] = (KeyError, ValueError, TypeError, RuntimeError, NotImplementedError, *own)
    try:
        yield
    except known as error:
        raise ExportError(f"{what}: {' '.join(str(error).split())[:300]}") from error


def check_known(kind: str, config: Any, runtime: str) -> None:
    """Make sure that Optimum has an export of the architecture for what models of the Auto class do.

    Raises:
        ExportError: it has none.
    """
    import transformers
    from optimum.exporters.tasks import TasksManager

    wanted = TasksManager.infer_task_from_model(getattr(transformers, kind), library_name="transformers")
    try:
        name = config.model_type
        known = TasksManager.get_supported_tasks_for_model_type(name, runtime, library_name="transformers")
    except KeyError:
        known = {}
    if wanted not in known:
        raise ExportError(
            f"export: Optimum has no {runtime} export of a {config.model_type} for '{wanted}'; leave it out"
        )


def optimum_task(model: Any) -> str:
    """What Optimum's exporters call what a model does; one that writes keeps what it has read."""
    from optimum.exporters.tasks import TasksManager

    kind: str = TasksManager.infer_task_from_model(type(model), library_name="transformers")
    return f"{kind}-with-past" if model.can_generate() else kind


def rank_by_sensitivity(
    nodes: Iterable[str], expected: list[np.ndarray], alone: Callable[[list[str]], list[np.ndarray]]
) -> list[list[str]]:
    """Nodes of one place in every block (`layer.#/attention/self/query/MatMul`) as groups, the most sensitive first.

    The effect of a group is how far the outputs are from the expected ones, those of the decimal graph, when it
    `alone` becomes integers.
    """
    groups: dict[str, list[str]] = {}
    for node in nodes:
        groups.setdefault(re.sub(r"\d+", "#", node), []).append(node)
    effects: dict[str, float] = {}
    for name, group in Progress(groups.items(), desc="finding sensitive nodes", unit="group"):
        pairs = zip(alone(group), expected, strict=True)
        effects[name] = float(np.mean([np.abs(one - other).mean() for one, other in pairs]))
    return [groups[name] for name in sorted(effects, key=lambda name: -effects[name])]


def select_inputs(rows: list[Inputs], names: Collection[str]) -> list[Inputs]:
    """Of the rows what a graph takes; where it asks for segments and rows have none, all is of the first."""
    if "token_type_ids" in names:
        rows = [{"token_type_ids": np.zeros_like(row["input_ids"])} | row for row in rows]
    return [{name: array for name, array in row.items() if name in names} for row in rows]


def fold_parametrizations(model: Any) -> Any:
    """The model with every weight that is computed from others (the weight norm of wav2vec2) as a plain one."""
    import torch

    normed = [name for name, it in model.named_modules() if torch.nn.utils.parametrize.is_parametrized(it)]
    if not normed:
        return model
    model = copy.deepcopy(model)
    for name in normed:
        module = model.get_submodule(name)
        for weight in list(module.parametrizations):
            torch.nn.utils.parametrize.remove_parametrizations(module, weight)
    return model
